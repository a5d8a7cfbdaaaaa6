//! What an operator can do about a storage that fails: a sentence for each reason of the contract, for log and command line.

use longshore_driver_sdk::Reason;

/// The next step.
pub fn next_step(reason: Reason) -> &'static str {
    match reason {
        Reason::BackendUnavailable | Reason::Starting | Reason::Draining => {
            "look whether the driver runs, and at its log; the core dials again by itself"
        }
        Reason::Timeout => {
            "the driver or its backend hangs or is too slow: look at its log, and restart it if it stays so"
        }
        Reason::StoreMismatch => {
            "start the driver at the store that it had before; if the other one is meant, set `store_id` of the storage and restart the core"
        }
        Reason::VersionMismatch => "install core and driver of one major version of the protocol",
        Reason::NoSpace | Reason::QuotaExceeded => "make room in the store; pulls go on",
        Reason::ReadOnly => "make the store writable again; pulls go on",
        Reason::RateLimited | Reason::TooManyStreams | Reason::Conflict => {
            "try again later; if it stays so, look what else uses the store"
        }
        Reason::BackendCredentials => "mend the credentials or the permissions that the driver has",
        Reason::ChecksumMismatch | Reason::ShortObject | Reason::IoError => {
            "the store, or the way to it, is damaged: look at the disk and at the driver's log, and restore what is lost"
        }
        Reason::KeyNotFound
        | Reason::UploadUnknown
        | Reason::KeyExists
        | Reason::UploadExists
        | Reason::PreconditionFailed
        | Reason::SizeMismatch
        | Reason::TooLarge
        | Reason::KeyConflict
        | Reason::UploadCommitted
        | Reason::RequestNotUnderstood
        | Reason::InvalidKey
        | Reason::OffsetMismatch
        | Reason::OffsetPastEnd
        | Reason::Fenced
        | Reason::NotSupported
        | Reason::DriverBug => {
            "the driver does not keep the contract: install another version of it, and tell its author"
        }
    }
}
