//! The id of the client's request that a call is made for, so that the log of the core and that of a driver can be laid
//! side by side. The core sets it around its work; every call to a driver carries it (contract clause T9).

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::driver::UploadId;

/// The name of the metadata of a call, and of the header of a request.
pub const HEADER: &str = "x-request-id";
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// One to 64 letters, digits, dots, underscores and hyphens: safe in a log as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new one, of 64 random bits.
    pub fn random() -> Self {
        Self(UploadId::random().map_or_else(|_| "unknown".into(), |id| id.as_str()[..16].into()))
    }

    /// `None`: not of this form.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does work for this request.
    pub async fn within<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As [`tokio::spawn`], and still for the request that is worked for.
pub fn spawn<F>(work: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match CURRENT.try_with(Clone::clone) {
        Ok(id) => tokio::spawn(id.within(work)),
        Err(_) => tokio::spawn(work),
    }
}

/// Names the request that is worked for.
pub(crate) fn attach(headers: &mut HeaderMap) {
    let value = CURRENT.try_with(|id| HeaderValue::from_str(id.as_str()));
    if let Ok(Ok(value)) = value {
        headers.insert(HEADER, value);
    }
}

/// What a call names; anything else than an id is left out.
pub(crate) fn of(headers: &HeaderMap) -> Option<RequestId> {
    headers.get(HEADER)?.to_str().ok().and_then(RequestId::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_id_follows_the_work_into_other_tasks() {
        let headers = || {
            let mut headers = HeaderMap::new();
            attach(&mut headers);
            headers
        };
        let id = RequestId::parse("proxy-7.a_B").unwrap();
        let inner = id.clone().within(async move { spawn(async move { headers() }).await.unwrap() }).await;
        assert_eq!(of(&inner), Some(id));
        assert_eq!(of(&headers()), None, "outside of a request there is none");
        assert_eq!(of(&spawn(async move { headers() }).await.unwrap()), None);
    }

    #[test]
    fn what_could_forge_a_line_of_a_log_is_no_id() {
        for text in ["", "a b", "a\nb", "a=b", "\"", "é", "\u{1b}[2J", &"x".repeat(65)] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
        assert!(RequestId::parse(&"x".repeat(64)).is_some());
        assert_eq!(RequestId::random().as_str().len(), 16);
    }
}
