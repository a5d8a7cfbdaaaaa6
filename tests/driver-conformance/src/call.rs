//! Unary calls as a check makes them: with a deadline, and with answers whose reason can be compared.

use std::fmt;
use std::time::Duration;

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::put_request::Condition;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::connection::Connection;
use crate::verdict::{Failure, Verdict};

/// No call of a check takes longer on a driver that works, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Of `google.rpc.ErrorInfo` (R4).
pub const DOMAIN: &str = "longshore.driver.v1";

/// What did not come within the deadline.
pub(crate) fn late(what: &str) -> Status {
    Status::deadline_exceeded(format!("{what} did not come within {} s", DEADLINE.as_secs()))
}

/// What a call ended with.
pub type Call<T> = Result<T, Said>;

/// An error as the driver said it.
#[derive(Debug, Clone)]
pub struct Said(Box<Refusal>);

impl std::ops::Deref for Said {
    type Target = Refusal;

    fn deref(&self) -> &Refusal {
        &self.0
    }
}

/// What an error consists of.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub code: Code,
    /// `ErrorInfo.reason`, if the domain is the protocol's.
    pub reason: Option<String>,
    /// `ErrorInfo.domain`, whatever it is.
    pub domain: Option<String>,
    pub metadata: std::collections::HashMap<String, String>,
    pub message: String,
    /// Bytes of `grpc-status-details-bin`.
    pub details: usize,
}

impl Said {
    /// Parts an answer from what was said instead.
    ///
    /// # Errors
    /// What was said.
    pub fn of<T>(outcome: Result<Response<T>, Status>) -> Call<T> {
        outcome.map(Response::into_inner).map_err(|status| Self::from(&status))
    }

    pub fn is(&self, code: Code, reason: &str) -> bool {
        self.code == code && self.reason.as_deref() == Some(reason)
    }

    /// A number among the metadata, such as `received` or `size`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.metadata.get(name)?.parse().ok()
    }
}

impl From<&Status> for Said {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self(Box::new(Refusal {
            code: status.code(),
            reason: info.filter(|info| info.domain == DOMAIN).map(|info| info.reason.clone()),
            domain: info.map(|info| info.domain.clone()),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            details: status.details().len(),
        }))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.as_deref().unwrap_or("no reason of the contract");
        write!(f, "{:?} / {reason}: {}", self.code, self.message)?;
        if self.metadata.is_empty() { Ok(()) } else { write!(f, " {:?}", self.metadata) }
    }
}

/// A request with the kit's deadline.
pub fn timely<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// Fails unless the call was refused in this way.
///
/// # Errors
/// When it was not.
pub fn refused<T: fmt::Debug>(
    sent: impl fmt::Display,
    outcome: Call<T>,
    code: Code,
    reason: &str,
) -> Verdict<Said> {
    match outcome {
        Err(said) if said.is(code, reason) => Ok(said),
        Err(said) => Err(Failure::new(sent, format!("{code:?} / {reason}"), said)),
        Ok(answer) => Err(Failure::new(sent, format!("{code:?} / {reason}"), brief(&answer))),
    }
}

/// Fails unless the call was refused as one that the driver does not have. gRPC's own UNIMPLEMENTED is enough (contract
/// section E: without `ErrorInfo` the code alone counts).
///
/// # Errors
/// When it was not.
pub fn unsupported<T: fmt::Debug>(sent: impl fmt::Display, outcome: Call<T>) -> Verdict {
    match outcome {
        Err(said) if said.code == Code::Unimplemented && said.domain.is_none() => Ok(()),
        other => refused(sent, other, Code::Unimplemented, "NOT_SUPPORTED").map(drop),
    }
}

/// The answer of a call that must succeed.
///
/// # Errors
/// When it did not.
pub fn answered<T>(sent: impl fmt::Display, outcome: Call<T>) -> Verdict<T> {
    outcome.map_err(|said| Failure::new(sent, "OK", said))
}

/// A message in a line that can be read.
fn brief(answer: &impl fmt::Debug) -> String {
    const MOST: usize = 300;
    let text = format!("OK: {answer:?}");
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident, $message:ident => $answer:ident;)*) => {
        impl Connection {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// What the driver said.
                pub async fn $name(&self, request: v1::$message) -> Call<v1::$answer> {
                    Said::of(self.storage.clone().$name(timely(request)).await)
                }
            )*
        }
    };
}

calls! {
    /// Stat, as it is.
    stat, StatRequest => StatResponse;
    /// Get, as it is.
    get, GetRequest => GetResponse;
    /// Put, as it is.
    put, PutRequest => PutResponse;
    /// Delete, as it is.
    delete, DeleteRequest => DeleteResponse;
    /// Move, as it is.
    r#move, MoveRequest => MoveResponse;
    /// List, as it is.
    list, ListRequest => ListResponse;
    /// GetUpload, as it is.
    get_upload, GetUploadRequest => GetUploadResponse;
    /// ListUploads, as it is.
    list_uploads, ListUploadsRequest => ListUploadsResponse;
    /// EndUpload, as it is.
    end_upload, EndUploadRequest => EndUploadResponse;
    /// Sign, as it is.
    sign, SignRequest => SignResponse;
}

impl Connection {
    /// Stat of a key: the object.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn stat_key(&self, key: &str) -> Call<v1::Object> {
        self.stat(v1::StatRequest { key: key.to_owned() })
            .await
            .map(|answer| answer.object.unwrap_or_default())
    }

    /// Get of a key: object and content.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn get_key(&self, key: &str) -> Call<(v1::Object, bytes::Bytes)> {
        let answer = self.get(v1::GetRequest { key: key.to_owned() }).await?;
        Ok((answer.object.unwrap_or_default(), answer.content))
    }

    /// Put under a condition.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn put_if(
        &self,
        key: &str,
        content: impl Into<bytes::Bytes>,
        condition: Condition,
    ) -> Call<v1::Object> {
        let request =
            v1::PutRequest { key: key.to_owned(), content: content.into(), condition: Some(condition) };
        self.put(request).await.map(|answer| answer.object.unwrap_or_default())
    }

    /// Put, whatever is there.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn put_key(&self, key: &str, content: impl Into<bytes::Bytes>) -> Call<v1::Object> {
        self.put_if(key, content, Condition::Always(v1::put_request::Always {})).await
    }

    /// Put, if nothing is there.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn put_new(&self, key: &str, content: impl Into<bytes::Bytes>) -> Call<v1::Object> {
        self.put_if(key, content, Condition::IfAbsent(v1::put_request::IfAbsent {})).await
    }

    /// Delete of one key: its outcome.
    ///
    /// # Errors
    /// What the driver said of the whole call.
    pub async fn delete_key(&self, key: &str, if_match: Option<&str>) -> Call<v1::delete_response::Outcome> {
        let item = v1::delete_request::Item { key: key.to_owned(), if_match: if_match.map(str::to_owned) };
        let answer = self.delete(v1::DeleteRequest { items: vec![item] }).await?;
        Ok(answer.outcomes.into_iter().next().unwrap_or_default())
    }
}
