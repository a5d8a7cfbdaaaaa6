//! What went wrong in a worker, as the contract has it. Owns the sentence for people: the old driver, the call, and the last
//! line of its traceback.

use std::io;
use std::time::Duration;

use longshore_driver_sdk::{DriverError, Reason};
use serde::Deserialize;

/// What a call to a worker came to.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The worker says so, and can be asked again.
    Told(Box<Told>),
    /// It gave no sign for so long.
    Silent(Duration),
    /// Its socket is closed, or what came was no frame.
    Broken(io::Error),
}

/// An exception, as the worker tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) kind: Cause,
    /// Of a start that failed: what the same means in a call.
    cause: Option<Cause>,
    /// Of the old driver: `get_content`, `stream_write`.
    pub(crate) call: String,
    message: String,
    /// The last of the traceback.
    line: Option<String>,
    #[serde(rename = "where")]
    place: Option<String>,
    errno: Option<i32>,
    traceback: Option<String>,
    /// It failed before anything was written.
    untouched: bool,
}

/// What an exception means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    Absent,
    Unavailable,
    Configuration,
    Unsupported,
    Unsafe,
    Short,
    TooMany,
    Mismatch,
    #[default]
    #[serde(other)]
    Bug,
}

impl Failure {
    /// Whether the worker can be asked again.
    pub(crate) fn leaves_worker(&self) -> bool {
        matches!(self, Self::Told(_))
    }

    /// `ended`: how the worker had ended by itself.
    pub(crate) fn into_error(self, driver: &str, call: &str, ended: Option<&str>) -> DriverError {
        let may_have_changed = WRITES.contains(&call) && !self.changed_nothing();
        let error = self.told(driver, call, ended);
        if may_have_changed { error.with_unknown_outcome() } else { error }
    }

    /// Whether a call that writes has surely not done so.
    fn changed_nothing(&self) -> bool {
        match self {
            Self::Told(told) => {
                told.untouched
                    || matches!(told.kind, Cause::Unsafe | Cause::Unsupported)
                    || told.errno.is_some_and(|errno| PATH_ERRORS.contains(&errno))
            }
            Self::Silent(_) | Self::Broken(_) => false,
        }
    }

    fn told(self, driver: &str, call: &str, ended: Option<&str>) -> DriverError {
        match self {
            Self::Told(told) => told.into_error(driver, call),
            Self::Silent(patience) => {
                let message = format!(
                    "the old driver `{driver}` gave no sign for {} s in {call}; its worker was killed",
                    patience.as_secs_f32()
                );
                DriverError::new(Reason::Timeout, message)
            }
            Self::Broken(error) if error.kind() == io::ErrorKind::InvalidData => {
                let message = format!("the old driver `{driver}`, in {call}: {error}");
                DriverError::new(Reason::DriverBug, message).with_source(error)
            }
            Self::Broken(error) => {
                let how = ended.map_or_else(|| error.to_string(), str::to_owned);
                let message = format!(
                    "the worker of the old driver `{driver}` ended in {call}: {how}; what it printed is in the log"
                );
                DriverError::new(Reason::BackendUnavailable, message)
                    .with_unknown_outcome()
                    .with_source(error)
            }
        }
    }
}

impl Told {
    fn into_error(self, driver: &str, call: &str) -> DriverError {
        if let Some(traceback) = &self.traceback {
            tracing::debug!(driver, call, "{}", traceback.trim_end());
        }
        let called = if self.call.is_empty() { call } else { &self.call };
        let line = self.line.as_deref().unwrap_or_default();
        let said = match (self.message.as_str(), line) {
            ("", "") => "it failed and did not say why".to_owned(),
            ("", line) => line.to_owned(),
            (message, "") => message.to_owned(),
            // Most last lines are the message with the exception's name before it.
            (message, line) if line.ends_with(message) => line.to_owned(),
            (message, line) => format!("{message} ({line})"),
        };
        let place = self.place.as_ref().map(|place| format!(", at {place}")).unwrap_or_default();
        let message = format!("the old driver `{driver}`, {called}: {said}{place}");
        DriverError::new(self.reason(), message)
    }

    fn reason(&self) -> Reason {
        match self.cause.unwrap_or(self.kind) {
            Cause::Absent if self.cause.is_none() => Reason::KeyNotFound,
            Cause::Unavailable => self.reason_of_errno().unwrap_or(Reason::BackendUnavailable),
            // An operator mends it, and nothing has to be started anew then.
            Cause::Absent | Cause::Configuration => Reason::BackendUnavailable,
            Cause::Unsupported | Cause::Unsafe => Reason::NotSupported,
            Cause::Short => Reason::ShortObject,
            Cause::Mismatch => Reason::ChecksumMismatch,
            Cause::TooMany | Cause::Bug => Reason::DriverBug,
        }
    }

    /// Some failures of a system say more than that it is away.
    fn reason_of_errno(&self) -> Option<Reason> {
        let reason = DriverError::io("", io::Error::from_raw_os_error(self.errno?)).reason();
        (reason != Reason::IoError || self.errno == Some(EIO)).then_some(reason)
    }
}

const EIO: i32 = 5;
/// ENOTDIR, EISDIR, ENAMETOOLONG: the path can't be written to, and was not.
const PATH_ERRORS: [i32; 3] = [20, 21, 36];
/// Calls to a worker after which something may be different.
const WRITES: [&str; 3] = ["put", "write", "remove"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(value: serde_json::Value) -> DriverError {
        let told: Told = serde_json::from_value(value).unwrap();
        Failure::Told(Box::new(told)).into_error("file", "put", None)
    }

    #[test]
    fn an_error_names_the_driver_the_call_and_the_last_line() {
        let error = told(json!({
            "kind": "unavailable", "call": "put_content", "message": "No space left on device", "errno": 28,
            "line": "OSError: [Errno 28] No space left on device", "where": "file.py:68 in put_content",
        }));
        assert_eq!(error.reason(), Reason::NoSpace);
        for said in ["`file`", "put_content", "OSError: [Errno 28]", "file.py:68"] {
            assert!(error.message().contains(said), "{error}");
        }
    }

    #[test]
    fn a_file_and_a_folder_at_once_is_a_conflict_of_keys_and_a_refused_connection_is_none() {
        let of = |errno| told(json!({"kind": "unavailable", "errno": errno})).reason();
        assert_eq!(of(20), Reason::KeyConflict);
        assert_eq!(of(111), Reason::BackendUnavailable);
        assert_eq!(of(5), Reason::IoError);
    }

    #[test]
    fn what_a_later_worker_may_say_is_a_bug() {
        assert_eq!(told(json!({"kind": "weather"})).reason(), Reason::DriverBug);
    }

    #[test]
    fn a_worker_that_hangs_or_ends_leaves_the_outcome_unknown() {
        let silent = Failure::Silent(Duration::from_millis(2500)).into_error("file", "put", None);
        assert_eq!((silent.reason(), silent.is_outcome_unknown()), (Reason::Timeout, true));
        assert!(!Failure::Silent(Duration::ZERO).into_error("file", "get", None).is_outcome_unknown());
        assert!(told(json!({"kind": "unavailable", "errno": 28})).is_outcome_unknown());
        assert!(!told(json!({"kind": "unavailable", "errno": 20})).is_outcome_unknown());
        assert!(!told(json!({"kind": "unavailable", "untouched": true})).is_outcome_unknown());
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        let ended = Failure::Broken(eof).into_error("file", "get", Some("signal: 9 (SIGKILL)"));
        assert!(ended.message().contains("signal: 9"), "{ended}");
    }
}
