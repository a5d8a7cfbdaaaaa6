//! Swift's own login: a user and a key in headers. tempauth answers 200, and for how long the token is good; RGW answers
//! 204, and does not say for how long.

use std::time::Duration;

use longshore_driver_sdk::{DriverError, Reason, Result};
use reqwest::header::{HeaderMap, HeaderValue};

use super::Granted;
use crate::config::{Config, Secret};
use crate::failure;

const WHAT: &str = "log in";

pub(crate) struct Login {
    http: reqwest::Client,
    url: String,
    user: HeaderValue,
    key: HeaderValue,
    storage_url: Option<String>,
}

impl Login {
    pub(crate) fn new(http: &reqwest::Client, config: &Config, url: &str) -> Result<Self> {
        let header = |name: &str, text: Option<&str>| {
            HeaderValue::from_str(text.unwrap_or_default()).map_err(|_| {
                DriverError::new(
                    Reason::RequestNotUnderstood,
                    format!("{name}= has characters that no header takes"),
                )
            })
        };
        let mut key = header("password", config.password.as_ref().map(Secret::reveal))?;
        key.set_sensitive(true);
        Ok(Self {
            http: http.clone(),
            url: url.to_owned(),
            user: header("user", config.user.as_deref())?,
            key,
            storage_url: config.storage_url.clone(),
        })
    }

    pub(crate) async fn run(&self) -> Result<Granted> {
        let request =
            self.http.get(&self.url).header("x-auth-user", &self.user).header("x-auth-key", &self.key);
        let answer = request.send().await.map_err(|error| failure::unsent(WHAT, &self.url, &error))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => granted(answer.headers(), self.storage_url.as_deref())
                .unwrap_or_else(|| Err(self.no_login(status))),
            401 | 403 => Err(DriverError::new(
                Reason::BackendCredentials,
                format!("{WHAT}: {} does not take this user and key; mend `user` and `password`", self.url),
            )),
            429 | 498 | 500.. => Err(DriverError::new(
                Reason::BackendUnavailable,
                format!("{WHAT}: the server failed ({status} of {})", self.url),
            )),
            _ => Err(self.no_login(status)),
        }
    }

    fn no_login(&self, status: u16) -> DriverError {
        DriverError::new(
            Reason::BackendUnavailable,
            format!("{WHAT}: {} is no login of this version ({status}); mend `auth_url`", self.url),
        )
    }
}

/// `None`: the headers are not there.
fn granted(headers: &HeaderMap, storage_url: Option<&str>) -> Option<Result<Granted>> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let token = text("x-auth-token").or_else(|| text("x-storage-token"))?;
    let url = storage_url.or_else(|| text("x-storage-url"))?;
    let seconds: Option<u64> = text("x-auth-token-expires").and_then(|text| text.trim().parse().ok());
    Some(Granted::new(url, token, seconds.map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_answers_of_both_servers_are_read() {
        let swift = headers(&[
            ("x-storage-url", "http://h/v1/AUTH_test"),
            ("x-auth-token", "AUTH_tk1"),
            ("x-auth-token-expires", "86399"),
        ]);
        let swift_granted = granted(&swift, None).unwrap().unwrap();
        assert_eq!(swift_granted.storage_url, "http://h/v1/AUTH_test");
        assert_eq!(swift_granted.lifetime, Some(Duration::from_secs(86399)));
        let rgw = headers(&[("x-storage-url", "http://h/swift/v1"), ("x-auth-token", "AUTH_rgwtk1")]);
        assert_eq!(granted(&rgw, None).unwrap().unwrap().lifetime, None);
        let moved = granted(&rgw, Some("https://other/swift/v1/")).unwrap().unwrap();
        assert_eq!(moved.storage_url, "https://other/swift/v1");
        assert!(granted(&headers(&[("x-auth-token", "t")]), None).is_none());
    }
}
