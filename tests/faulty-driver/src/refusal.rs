//! How a call fails: the reasons of contract section E with their codes, and the status that tells them.

use std::collections::HashMap;
use std::io;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::faults::Fault;

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

const DOMAIN: &str = "longshore.driver.v1";

/// A line of the table of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) name: &'static str,
    pub(crate) code: Code,
}

macro_rules! reasons {
    ($($name:ident: $code:ident,)*) => {
        $(pub(crate) const $name: Reason = Reason { name: stringify!($name), code: Code::$code };)*
    };
}

reasons! {
    KEY_NOT_FOUND: NotFound,
    UPLOAD_UNKNOWN: NotFound,
    KEY_EXISTS: AlreadyExists,
    UPLOAD_EXISTS: AlreadyExists,
    PRECONDITION_FAILED: FailedPrecondition,
    SIZE_MISMATCH: FailedPrecondition,
    TOO_LARGE: FailedPrecondition,
    STORE_MISMATCH: FailedPrecondition,
    VERSION_MISMATCH: FailedPrecondition,
    KEY_CONFLICT: FailedPrecondition,
    UPLOAD_COMMITTED: FailedPrecondition,
    REQUEST_NOT_UNDERSTOOD: InvalidArgument,
    INVALID_KEY: InvalidArgument,
    OFFSET_MISMATCH: OutOfRange,
    OFFSET_PAST_END: OutOfRange,
    FENCED: Aborted,
    CONFLICT: Aborted,
    BACKEND_UNAVAILABLE: Unavailable,
    DRAINING: Unavailable,
    CHECKSUM_MISMATCH: DataLoss,
    SHORT_OBJECT: DataLoss,
    NOT_SUPPORTED: Unimplemented,
    IO_ERROR: Internal,
}

/// Why a call failed.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// What the core acts on, next to the reason.
    pub(crate) numbers: Vec<(&'static str, u64)>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), numbers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, number: u64) -> Self {
        self.numbers.push((name, number));
        self
    }

    /// An I/O failure that says nothing about absence (R5).
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        Self::new(IO_ERROR, format!("{what}: {error}"))
    }

    /// The status that goes out.
    pub(crate) fn into_status(self, fault: Fault) -> Status {
        // Only where it is told: the driver itself has to know.
        let is_bent = fault == Fault::AbsenceAsError && self.reason == KEY_NOT_FOUND;
        let told = if is_bent { IO_ERROR } else { self.reason };
        let mut code = told.code;
        let (mut reason, mut domain, mut message) = (told.name, DOMAIN, self.message);
        let mut numbers: HashMap<String, String> =
            self.numbers.into_iter().map(|(name, number)| (name.to_owned(), number.to_string())).collect();
        match fault {
            Fault::ErrorWithoutInfo => return Status::new(code, message),
            Fault::ErrorOfAnotherDomain => domain = "faulty.example",
            Fault::ErrorCodeUnknown => code = Code::Unknown,
            Fault::ErrorReasonUnlisted => reason = "SOMETHING_ELSE",
            Fault::ErrorWithoutMessage => message.clear(),
            Fault::ErrorDetailsLong => {
                numbers.insert("trace".to_owned(), "x".repeat(5000));
            }
            Fault::OffsetsUntold | Fault::SizeUntold => numbers.clear(),
            _ => {}
        }
        let details = ErrorDetails::with_error_info(reason, domain, numbers);
        Status::with_error_details(code, message, details)
    }
}
