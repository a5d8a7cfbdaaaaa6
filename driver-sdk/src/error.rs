//! What can go wrong in a store. Owns the closed list of reasons (contract section E) and what follows from each: the
//! canonical gRPC code (wire.rs), and whether trying again can help.

use std::fmt;
use std::time::Duration;

/// Everything a driver call may end with.
pub type Result<T> = std::result::Result<T, DriverError>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure with its meaning.
#[derive(Debug, Clone)]
pub struct DriverError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    reason: Reason,
    message: String,
    detail: Detail,
    retry_after: Option<Duration>,
    outcome_unknown: bool,
    source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
}

/// Facts that the other side acts on, next to the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Detail {
    /// The reason says it all.
    #[default]
    None,
    /// With [`Reason::OffsetMismatch`]: where the session really is.
    Offsets { received: u64, durable: u64 },
    /// With [`Reason::OffsetPastEnd`]: the object's size.
    Size(u64),
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The closed list of reasons. The text is what stands in `google.rpc.ErrorInfo.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As written on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// The backend states that there is no such object.
    KeyNotFound = "KEY_NOT_FOUND",
    /// The backend states that there is no such session.
    UploadUnknown = "UPLOAD_UNKNOWN",
    /// The key is taken.
    KeyExists = "KEY_EXISTS",
    /// The upload id is taken.
    UploadExists = "UPLOAD_EXISTS",
    /// `if_match` does not hold.
    PreconditionFailed = "PRECONDITION_FAILED",
    /// A commit names another size than was received; the session stays open.
    SizeMismatch = "SIZE_MISMATCH",
    /// Larger than a limit of the driver.
    TooLarge = "TOO_LARGE",
    /// The driver is at another store than the core expects.
    StoreMismatch = "STORE_MISMATCH",
    /// No protocol version in common.
    VersionMismatch = "VERSION_MISMATCH",
    /// The store takes no writes.
    ReadOnly = "READ_ONLY",
    /// A key would have to be an object and a folder at once.
    KeyConflict = "KEY_CONFLICT",
    /// The session is committed: nothing can be written to it.
    UploadCommitted = "UPLOAD_COMMITTED",
    /// A message this driver does not understand.
    RequestNotUnderstood = "REQUEST_NOT_UNDERSTOOD",
    /// A key outside the grammar.
    InvalidKey = "INVALID_KEY",
    /// A chunk or mark not at the session's offset.
    OffsetMismatch = "OFFSET_MISMATCH",
    /// A read that begins behind the end.
    OffsetPastEnd = "OFFSET_PAST_END",
    /// A writer with a higher fence has the session.
    Fenced = "FENCED",
    /// Somebody else is at it; try the whole operation again.
    Conflict = "CONFLICT",
    /// The backend asks for fewer requests.
    RateLimited = "RATE_LIMITED",
    /// The store is full.
    NoSpace = "NO_SPACE",
    /// A quota of the backend is used up.
    QuotaExceeded = "QUOTA_EXCEEDED",
    /// More streams than the driver takes.
    TooManyStreams = "TOO_MANY_STREAMS",
    /// The backend, or the driver itself, can't be reached.
    BackendUnavailable = "BACKEND_UNAVAILABLE",
    /// The driver is not ready yet.
    Starting = "STARTING",
    /// The driver is about to stop.
    Draining = "DRAINING",
    /// No answer in time; the outcome is unknown.
    Timeout = "TIMEOUT",
    /// The backend refuses the driver's credentials.
    BackendCredentials = "BACKEND_CREDENTIALS",
    /// Bytes do not match their checksum.
    ChecksumMismatch = "CHECKSUM_MISMATCH",
    /// An object is shorter than it must be.
    ShortObject = "SHORT_OBJECT",
    /// A capability that was not declared.
    NotSupported = "NOT_SUPPORTED",
    /// The medium failed (EIO).
    IoError = "IO_ERROR",
    /// Anything else: a bug.
    DriverBug = "DRIVER_BUG",
}

impl Reason {
    /// The reason of this text, if it is in the list.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::TooManyStreams
                | Self::BackendUnavailable
                | Self::Starting
                | Self::Draining
                | Self::Timeout
                | Self::Conflict
        )
    }
}

impl DriverError {
    /// A failure, with a sentence for people that names the object concerned.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            detail: Detail::None,
            retry_after: None,
            outcome_unknown: false,
            source: None,
        }))
    }

    /// There is no object at `key`.
    pub fn key_not_found(key: &crate::Key) -> Self {
        Self::new(Reason::KeyNotFound, format!("no object at key {key}"))
    }

    /// There is no session `id`.
    pub fn upload_unknown(id: &crate::UploadId) -> Self {
        Self::new(Reason::UploadUnknown, format!("no upload session {id}"))
    }

    /// An I/O failure while doing `what`: full disks, failed media and read-only mounts get reasons of their own. A file
    /// that is missing is *not* taken for a missing object: only the driver knows which look-up states that (rule R5).
    pub fn io(what: impl fmt::Display, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let reason = match error.kind() {
            Kind::StorageFull => Reason::NoSpace,
            Kind::QuotaExceeded => Reason::QuotaExceeded,
            Kind::ReadOnlyFilesystem => Reason::ReadOnly,
            Kind::PermissionDenied => Reason::BackendCredentials,
            Kind::TimedOut => Reason::Timeout,
            Kind::NotADirectory | Kind::IsADirectory => Reason::KeyConflict,
            _ => Reason::IoError,
        };
        Self::new(reason, format!("{what}: {error}")).with_source(error)
    }

    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.detail = detail;
        self
    }

    #[must_use]
    pub fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        self.0.retry_after = delay;
        self
    }

    /// Marks a failure after which nobody knows whether the call took effect: the connection broke, or no answer came.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.0.outcome_unknown = true;
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn detail(&self) -> &Detail {
        &self.0.detail
    }

    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the call may have taken effect in spite of the failure.
    pub fn is_outcome_unknown(&self) -> bool {
        self.0.outcome_unknown
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        self.0.reason.is_transient()
    }

    fn is_absence(&self) -> bool {
        matches!(self.0.reason, Reason::KeyNotFound | Reason::UploadUnknown)
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason.as_str(), self.0.message)
    }
}

impl std::error::Error for DriverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<crate::key::InvalidKey> for DriverError {
    fn from(error: crate::key::InvalidKey) -> Self {
        Self::new(Reason::InvalidKey, error.to_string())
    }
}

/// Turns the absence that a backend stated into `None`, and leaves every other failure a failure.
pub trait Optional<T> {
    /// # Errors
    /// Every failure but absence.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> Optional<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_text() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("WEATHER"), None);
    }

    #[test]
    fn a_full_disk_a_failed_medium_and_a_missing_file_are_three_things() {
        let reason = |code| DriverError::io("write", std::io::Error::from_raw_os_error(code)).reason();
        assert_eq!(reason(28), Reason::NoSpace);
        assert_eq!(reason(5), Reason::IoError);
        assert_eq!(reason(2), Reason::IoError, "a failed look-up never states absence (R5)");
        assert_eq!(reason(30), Reason::ReadOnly);
    }

    #[test]
    fn only_stated_absence_is_optional() {
        let absent: Result<()> = Err(DriverError::new(Reason::KeyNotFound, "x"));
        assert!(absent.optional().unwrap().is_none());
        let down: Result<()> = Err(DriverError::new(Reason::BackendUnavailable, "x"));
        assert_eq!(down.optional().unwrap_err().reason(), Reason::BackendUnavailable);
    }
}
