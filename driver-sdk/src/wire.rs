//! Between the trait's types and the messages on the wire. Owns the bijection of reasons and gRPC codes (contract
//! section E), in both directions, and nothing else may build or read a status.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::driver::{
    Capabilities, Description, Durability, Entry, Fence, Limits, MoveCost, Object, Probe, ProbeState, Upload,
    UploadId, UploadState,
};
use crate::error::{Detail, DriverError, Reason, Result};
use crate::key::Key;

/// `google.rpc.ErrorInfo.domain` of every error of this protocol.
pub const ERROR_DOMAIN: &str = "longshore.driver.v1";

/// The canonical code of a reason.
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::KeyNotFound | Reason::UploadUnknown => Code::NotFound,
        Reason::KeyExists | Reason::UploadExists => Code::AlreadyExists,
        Reason::PreconditionFailed
        | Reason::SizeMismatch
        | Reason::TooLarge
        | Reason::StoreMismatch
        | Reason::VersionMismatch
        | Reason::ReadOnly
        | Reason::KeyConflict
        | Reason::UploadCommitted => Code::FailedPrecondition,
        Reason::RequestNotUnderstood | Reason::InvalidKey => Code::InvalidArgument,
        Reason::OffsetMismatch | Reason::OffsetPastEnd => Code::OutOfRange,
        Reason::Fenced | Reason::Conflict => Code::Aborted,
        Reason::RateLimited | Reason::NoSpace | Reason::QuotaExceeded | Reason::TooManyStreams => {
            Code::ResourceExhausted
        }
        Reason::BackendUnavailable | Reason::Starting | Reason::Draining => Code::Unavailable,
        Reason::Timeout => Code::DeadlineExceeded,
        Reason::BackendCredentials => Code::PermissionDenied,
        Reason::ChecksumMismatch | Reason::ShortObject => Code::DataLoss,
        Reason::NotSupported => Code::Unimplemented,
        Reason::IoError | Reason::DriverBug => Code::Internal,
    }
}

/// What a code means when no `ErrorInfo` of ours comes with it: a driver may set the code alone.
fn default_reason(code: Code) -> Reason {
    match code {
        Code::NotFound => Reason::KeyNotFound,
        Code::AlreadyExists => Reason::KeyExists,
        Code::FailedPrecondition => Reason::PreconditionFailed,
        Code::InvalidArgument => Reason::RequestNotUnderstood,
        Code::OutOfRange => Reason::OffsetMismatch,
        Code::Aborted => Reason::Conflict,
        Code::ResourceExhausted => Reason::RateLimited,
        Code::Unavailable => Reason::BackendUnavailable,
        Code::DeadlineExceeded | Code::Cancelled => Reason::Timeout,
        Code::PermissionDenied | Code::Unauthenticated => Reason::BackendCredentials,
        Code::DataLoss => Reason::ChecksumMismatch,
        Code::Unimplemented => Reason::NotSupported,
        Code::Ok | Code::Unknown | Code::Internal => Reason::DriverBug,
    }
}

/// An error, on its way out of a driver.
pub fn to_status(error: &DriverError) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(error.reason().as_str(), ERROR_DOMAIN, metadata(error.detail()));
    if let Some(delay) = error.retry_after() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(code(error.reason()), error.message(), details)
}

fn metadata(detail: &Detail) -> HashMap<String, String> {
    let pairs: &[(&str, u64)] = match detail {
        Detail::None => &[],
        Detail::Offsets { received, durable } => &[("received", *received), ("durable", *durable)],
        Detail::Size(size) => &[("size", *size)],
    };
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

/// An error, on its way into the core. A status without `ErrorInfo` but with a transport error behind it means that the
/// connection broke, whatever its code says: nobody knows whether the call took effect.
pub fn from_status(status: &Status) -> DriverError {
    let details = status.get_error_details();
    let retry_after = details.retry_info().and_then(|info| info.retry_delay);
    let info = details.error_info().filter(|info| info.domain == ERROR_DOMAIN);
    if info.is_none() && status.source().is_some() {
        return DriverError::new(
            Reason::BackendUnavailable,
            format!("the connection to the driver broke: {}", chain(status)),
        )
        .with_unknown_outcome();
    }
    let reason = info
        .and_then(|info| Reason::parse(&info.reason))
        .filter(|reason| code(*reason) == status.code())
        .unwrap_or_else(|| default_reason(status.code()));
    let error = DriverError::new(reason, status.message())
        .with_detail(info.map_or(Detail::None, |info| detail(reason, &info.metadata)))
        .with_retry_after(retry_after);
    match reason {
        Reason::Timeout | Reason::DriverBug => error.with_unknown_outcome(),
        Reason::BackendUnavailable if info.is_none() => error.with_unknown_outcome(),
        _ => error,
    }
}

fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn detail(reason: Reason, metadata: &HashMap<String, String>) -> Detail {
    let number = |name: &str| metadata.get(name).and_then(|text| text.parse().ok());
    match reason {
        Reason::OffsetMismatch => match (number("received"), number("durable")) {
            (Some(received), Some(durable)) => Detail::Offsets { received, durable },
            _ => Detail::None,
        },
        Reason::OffsetPastEnd => number("size").map_or(Detail::None, Detail::Size),
        _ => Detail::None,
    }
}

/// A message of the other side that breaks the contract.
pub(crate) fn misunderstood(what: &str) -> DriverError {
    DriverError::new(Reason::RequestNotUnderstood, what)
}

/// An answer of a driver that breaks the contract.
pub(crate) fn bad_answer(what: &str) -> DriverError {
    DriverError::new(Reason::DriverBug, format!("the driver's answer breaks the contract: {what}"))
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

fn system_time(time: &Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(*time).ok()
}

/// A duration in either direction; what can't be expressed is no limit worth naming.
pub(crate) fn duration(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|value| Duration::try_from(*value).ok())
}

pub(crate) fn object_out(object: Object) -> v1::Object {
    v1::Object {
        key: object.key.as_str().to_owned(),
        size: object.size,
        etag: object.etag.unwrap_or_default(),
        modified: object.modified.map(timestamp),
    }
}

pub(crate) fn object_in(object: Option<v1::Object>) -> Result<Object> {
    let object = object.ok_or_else(|| bad_answer("no object in it"))?;
    Ok(Object {
        key: Key::parse_with_store_id(&object.key).map_err(|error| bad_answer(&error.to_string()))?,
        size: object.size,
        etag: Some(object.etag).filter(|etag| !etag.is_empty()),
        modified: object.modified.as_ref().and_then(system_time),
    })
}

pub(crate) fn entry_out(entry: Entry) -> v1::Entry {
    let is = match entry {
        Entry::Object(object) => v1::entry::Is::Object(object_out(object)),
        Entry::CommonPrefix(prefix) => v1::entry::Is::CommonPrefix(prefix),
    };
    v1::Entry { is: Some(is) }
}

pub(crate) fn entry_in(entry: v1::Entry) -> Result<Entry> {
    match entry.is {
        Some(v1::entry::Is::Object(object)) => Ok(Entry::Object(object_in(Some(object))?)),
        Some(v1::entry::Is::CommonPrefix(prefix)) => Ok(Entry::CommonPrefix(prefix)),
        None => Err(bad_answer("an entry that is neither an object nor a common prefix")),
    }
}

pub(crate) fn fence_out(fence: &Fence) -> v1::Fence {
    v1::Fence { counter: fence.counter, owner: fence.owner.clone() }
}

pub(crate) fn fence_in(fence: Option<v1::Fence>) -> Result<Fence> {
    let fence = fence.ok_or_else(|| misunderstood("no fence given"))?;
    Ok(Fence { counter: fence.counter, owner: fence.owner })
}

pub(crate) fn upload_out(upload: Upload) -> v1::Upload {
    let state = match upload.state {
        UploadState::Open => v1::UploadState::Open,
        UploadState::Committed => v1::UploadState::Committed,
    };
    v1::Upload {
        upload_id: upload.id.as_str().to_owned(),
        state: state.into(),
        key: upload.key.as_str().to_owned(),
        durable: upload.durable,
        bookmark: upload.bookmark,
        fence: Some(fence_out(&upload.fence)),
        mark_every: upload.mark_every.unwrap_or(0),
        updated: Some(timestamp(upload.updated)),
        object: upload.object.map(object_out),
    }
}

pub(crate) fn upload_in(upload: Option<v1::Upload>) -> Result<Upload> {
    let upload = upload.ok_or_else(|| bad_answer("no upload in it"))?;
    let state = match upload.state() {
        v1::UploadState::Open => UploadState::Open,
        v1::UploadState::Committed => UploadState::Committed,
        v1::UploadState::Unspecified => return Err(bad_answer("an upload without a state")),
    };
    Ok(Upload {
        id: UploadId::parse(&upload.upload_id)
            .map_err(|_| bad_answer("an upload id that the core did not choose"))?,
        state,
        key: Key::parse(&upload.key).map_err(|error| bad_answer(&error.to_string()))?,
        durable: upload.durable,
        bookmark: upload.bookmark,
        fence: upload
            .fence
            .map(|fence| Fence { counter: fence.counter, owner: fence.owner })
            .unwrap_or_default(),
        mark_every: Some(upload.mark_every).filter(|every| *every > 0),
        updated: upload.updated.as_ref().and_then(system_time).unwrap_or(SystemTime::UNIX_EPOCH),
        object: upload.object.map(|object| object_in(Some(object))).transpose()?,
    })
}

pub(crate) fn probe_out(probe: Probe) -> v1::ProbeResponse {
    use v1::probe_response::State;
    let state = match probe.state {
        ProbeState::Ready => State::Ready,
        ProbeState::Starting => State::Starting,
        ProbeState::Degraded => State::Degraded,
        ProbeState::ReadOnly => State::ReadOnly,
    };
    v1::ProbeResponse { state: state.into(), reason: probe.reason, bytes_free: probe.bytes_free }
}

pub(crate) fn probe_in(probe: v1::ProbeResponse) -> Probe {
    use v1::probe_response::State;
    let state = match probe.state() {
        State::Ready => ProbeState::Ready,
        State::Starting => ProbeState::Starting,
        State::ReadOnly => ProbeState::ReadOnly,
        State::Degraded | State::Unspecified => ProbeState::Degraded,
    };
    Probe { state, reason: probe.reason, bytes_free: probe.bytes_free }
}

pub(crate) fn capabilities_out(capabilities: &Capabilities) -> v1::Capabilities {
    let durability = match capabilities.durability {
        Durability::Process => v1::Durability::Process,
        Durability::Os => v1::Durability::Os,
        Durability::Stable => v1::Durability::Stable,
    };
    let move_cost = match capabilities.move_cost {
        None => v1::MoveCost::Unspecified,
        Some(MoveCost::Rename) => v1::MoveCost::Rename,
        Some(MoveCost::ServerCopy) => v1::MoveCost::ServerCopy,
        Some(MoveCost::ClientCopy) => v1::MoveCost::ClientCopy,
    };
    v1::Capabilities {
        durability: durability.into(),
        range_read: capabilities.range_read,
        put_if_absent: capabilities.put_if_absent,
        put_if_match: capabilities.put_if_match,
        delete_if_match: capabilities.delete_if_match,
        list_is_current: capabilities.list_is_current,
        uploads_shared: capabilities.uploads_shared,
        sign_get: capabilities.sign_get,
        crc32c: true,
        r#move: move_cost.into(),
    }
}

pub(crate) fn limits_out(limits: &Limits) -> v1::Limits {
    v1::Limits {
        max_chunk_bytes: limits.max_chunk,
        max_inline_bytes: limits.max_inline,
        max_object_bytes: limits.max_object.unwrap_or(0),
        max_streams: limits.max_streams.unwrap_or(0),
        max_page: limits.max_page,
        upload_ttl: prost_types::Duration::try_from(limits.upload_ttl).ok(),
    }
}

/// What a handshake says of the driver, weakest where it says nothing (rule R1).
pub(crate) fn description_in(answer: &v1::HandshakeResponse) -> Result<Description> {
    let capabilities = answer.capabilities.unwrap_or_default();
    let limits = answer.limits.unwrap_or_default();
    if !(64 * 1024..=1024 * 1024).contains(&limits.max_chunk_bytes) {
        return Err(bad_answer("max_chunk_bytes is not between 64 KiB and 1 MiB"));
    }
    if limits.max_inline_bytes < Limits::default().max_inline {
        return Err(bad_answer("max_inline_bytes is less than 4 MiB + 64 KiB, which a manifest needs"));
    }
    if limits.max_page < 1000 {
        return Err(bad_answer("max_page is less than 1000"));
    }
    Ok(Description {
        name: answer.driver_name.clone(),
        version: answer.driver_version.clone(),
        capabilities: capabilities_in(&capabilities),
        limits: Limits {
            max_chunk: limits.max_chunk_bytes,
            max_inline: limits.max_inline_bytes,
            max_object: Some(limits.max_object_bytes).filter(|bytes| *bytes > 0),
            max_streams: Some(limits.max_streams).filter(|streams| *streams > 0),
            max_page: limits.max_page,
            upload_ttl: duration(limits.upload_ttl.as_ref()).unwrap_or(Limits::default().upload_ttl),
        },
    })
}

fn capabilities_in(capabilities: &v1::Capabilities) -> Capabilities {
    Capabilities {
        durability: match capabilities.durability() {
            v1::Durability::Stable => Durability::Stable,
            v1::Durability::Os => Durability::Os,
            v1::Durability::Process | v1::Durability::Unspecified => Durability::Process,
        },
        range_read: capabilities.range_read,
        put_if_absent: capabilities.put_if_absent,
        put_if_match: capabilities.put_if_match,
        delete_if_match: capabilities.delete_if_match,
        list_is_current: capabilities.list_is_current,
        uploads_shared: capabilities.uploads_shared,
        sign_get: capabilities.sign_get,
        move_cost: match capabilities.r#move() {
            v1::MoveCost::Unspecified => None,
            v1::MoveCost::Rename => Some(MoveCost::Rename),
            v1::MoveCost::ServerCopy => Some(MoveCost::ServerCopy),
            v1::MoveCost::ClientCopy => Some(MoveCost::ClientCopy),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for reason in Reason::ALL {
            let sent =
                DriverError::new(*reason, "a sentence").with_retry_after(Some(Duration::from_millis(1500)));
            let received = from_status(&to_status(&sent));
            assert_eq!(received.reason(), *reason);
            assert_eq!(received.message(), "a sentence");
            assert_eq!(received.retry_after(), Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn offsets_survive_the_wire() {
        let detail = Detail::Offsets { received: 7, durable: 5 };
        let sent = DriverError::new(Reason::OffsetMismatch, "x").with_detail(detail.clone());
        assert_eq!(from_status(&to_status(&sent)).detail(), &detail);
    }

    #[test]
    fn a_bare_code_has_a_meaning() {
        assert_eq!(from_status(&Status::not_found("x")).reason(), Reason::KeyNotFound);
        assert_eq!(from_status(&Status::unavailable("x")).reason(), Reason::BackendUnavailable);
        assert_eq!(from_status(&Status::unknown("x")).reason(), Reason::DriverBug);
    }

    #[test]
    fn a_reason_that_contradicts_its_code_is_not_believed() {
        let details = ErrorDetails::with_error_info("KEY_NOT_FOUND", ERROR_DOMAIN, HashMap::new());
        let status = Status::with_error_details(Code::Unavailable, "down", details);
        assert_eq!(from_status(&status).reason(), Reason::BackendUnavailable);
    }

    #[test]
    fn a_broken_connection_is_unavailable_whatever_its_code() {
        let status = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        let error = from_status(&status);
        assert_eq!(error.reason(), Reason::BackendUnavailable);
        assert!(error.is_outcome_unknown());
    }
}
