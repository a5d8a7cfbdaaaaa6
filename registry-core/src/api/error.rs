//! The one table from what went wrong to what a client is told: status, code, sentence. 4xx bodies say what the client did;
//! 5xx bodies carry the request id only, and what happened stands in the log.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use longshore_driver_sdk::{DriverError, Reason};
use serde_json::json;

use super::operation::RouteError;
use super::respond;
use crate::auth::Refusal;
use crate::oci::{DigestProblem, ErrorCode, ManifestProblem};
use crate::registry::RegistryError;
use crate::storage::advice::next_step;

/// What clients are told to wait when the store says nothing better, in seconds.
const RETRY_AFTER: u64 = 5;

#[derive(Debug)]
pub(super) enum ApiError {
    Route(RouteError),
    Registry(RegistryError),
    /// With the upload that it is about, so that the client finds back.
    Upload(RegistryError, String),
    Request(RequestProblem),
    Refused(Refusal),
    /// A range that a blob of this size has nothing of.
    OutsideBlob {
        size: u64,
    },
}

/// A header or body that can't be what it must be.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestProblem {
    #[error("{0}")]
    ContentRange(#[from] crate::oci::InvalidContentRange),
    #[error("Content-Length says {length}, but the range of the chunk has {range} bytes")]
    LengthDiffers { length: u64, range: u64 },
    #[error("the body broke off: {0}")]
    Body(String),
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body is not the JSON that this endpoint takes: {0}")]
    Json(String),
    #[error("Content-Type is {0:?}; this endpoint takes application/json")]
    NotJson(String),
    #[error("a call may ask for at most {limit} digests; ask in several calls")]
    TooManyDigests { limit: usize },
    #[error("the answer can't be written as JSON: {0}")]
    Unwritable(String),
    #[error("the request was dropped before it was answered")]
    Dropped,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<RequestProblem> for ApiError {
    fn from(error: RequestProblem) -> Self {
        Self::Request(error)
    }
}

/// One row of the table.
struct Told {
    status: StatusCode,
    code: ErrorCode,
    detail: serde_json::Value,
}

fn told(status: StatusCode, code: ErrorCode) -> Told {
    Told { status, code, detail: serde_json::Value::Null }
}

impl ApiError {
    fn told(&self) -> Told {
        match self {
            Self::Route(error) => route(error),
            Self::Refused(refusal) => refused(refusal),
            Self::Registry(error) | Self::Upload(error, _) => registry(error),
            Self::Request(error) => request(error),
            Self::OutsideBlob { .. } => told(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::SizeInvalid),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Route(error) => error.to_string(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Registry(error) | Self::Upload(error, _) => error.to_string(),
            Self::Request(error) => error.to_string(),
            Self::OutsideBlob { size } => {
                format!("the blob has {size} bytes, and the range asked for has none of them")
            }
        }
    }

    /// `storage`: where the repository lies that it is about.
    pub(super) fn log(&self, request: &str, method: &Method, path: &str, storage: Option<&str>) {
        let status = self.told().status;
        let error = self.sentence();
        let next = self.reason().map(next_step);
        if status.is_server_error() {
            tracing::error!(request, %method, path, status = status.as_u16(), storage, error, next, "request failed");
        } else {
            tracing::debug!(request, %method, path, status = status.as_u16(), error, "request refused");
        }
    }

    /// Of the storage, if it is its failure.
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Registry(RegistryError::Storage(error))
            | Self::Upload(RegistryError::Storage(error), _) => Some(error.reason()),
            _ => None,
        }
    }

    pub(super) fn into_response(self, request: &str) -> Response {
        let Told { status, code, detail } = self.told();
        let message = if status.is_server_error() {
            format!(
                "the registry could not do this now; the operator finds the reason in its log under request {request}"
            )
        } else {
            self.sentence()
        };
        let mut error = json!({"code": code.as_str(), "message": message});
        if !detail.is_null() {
            error["detail"] = detail;
        }
        let mut response = Response::new(Body::from(json!({"errors": [error]}).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"longshore\""));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after()));
        }
        if let Self::OutsideBlob { size } = self {
            respond::set(headers, header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        if let Self::Route(RouteError::Method(allowed)) = &self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        if let Self::Refused(Refusal::ReadOnly) = &self {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Self::Upload(error, location) = &self {
            respond::set(headers, header::LOCATION, location);
            if let RegistryError::OffsetMismatch { durable } = error {
                respond::set_upload_range(headers, *durable);
            }
        }
        response
    }

    fn retry_after(&self) -> u64 {
        match self {
            Self::Registry(RegistryError::Storage(error))
            | Self::Upload(RegistryError::Storage(error), _) => {
                error.retry_after().map_or(RETRY_AFTER, |delay| delay.as_secs().max(1))
            }
            _ => RETRY_AFTER,
        }
    }
}

fn refused(refusal: &Refusal) -> Told {
    match refusal {
        Refusal::Unauthorized | Refusal::BadCredentials => {
            told(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        }
        Refusal::Denied { .. } | Refusal::NoOperator { .. } => told(StatusCode::FORBIDDEN, ErrorCode::Denied),
        Refusal::ReadOnly => told(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        Refusal::Busy => told(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
    }
}

fn route(error: &RouteError) -> Told {
    match error {
        RouteError::NoSuchPath => told(StatusCode::NOT_FOUND, ErrorCode::Unsupported),
        RouteError::Method(_) => told(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        RouteError::Name(_) => told(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
        RouteError::Digest(DigestProblem::Malformed(_) | DigestProblem::Unsupported(_))
        | RouteError::NoDigest => told(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
        RouteError::Tag(_) => told(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
        RouteError::UploadId(_) => told(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
        RouteError::PageSize(_) => told(StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        RouteError::TooManyTags => told(StatusCode::URI_TOO_LONG, ErrorCode::ManifestInvalid),
    }
}

fn request(error: &RequestProblem) -> Told {
    use RequestProblem as P;
    match error {
        P::ContentRange(_) => told(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid),
        P::LengthDiffers { .. } => told(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
        P::Body(_) => told(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid),
        P::BodyTooLarge { .. } => told(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::Unsupported),
        P::Json(_) | P::TooManyDigests { .. } => told(StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        P::NotJson(_) => told(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Unsupported),
        P::Unwritable(_) | P::Dropped => told(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown),
    }
}

fn registry(error: &RegistryError) -> Told {
    use RegistryError as E;
    match error {
        E::BlobUnknown(digest) => {
            Told { detail: json!({"digest": digest}), ..told(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown) }
        }
        E::UploadUnknown(_) => told(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
        E::UploadFinished(_) | E::Body(_) => told(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid),
        E::OffsetMismatch { .. } | E::UploadTakenOver => {
            told(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid)
        }
        E::DigestMismatch { .. } | E::FinishedAs(_) | E::ManifestDigestMismatch { .. } => {
            told(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid)
        }
        E::ChunkSize { .. } => told(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
        E::ManifestUnknown(_) => told(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
        E::ManifestInvalid(ManifestProblem::Schema1) => told(StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        E::ManifestInvalid(_) => told(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
        E::PreconditionFailed { .. } => told(StatusCode::PRECONDITION_FAILED, ErrorCode::Denied),
        E::ManifestTooLarge { .. } => told(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid),
        E::ReferencesUnknown(digests) => {
            let detail = digests.iter().map(|digest| json!({"digest": digest})).collect();
            Told { status: StatusCode::BAD_REQUEST, code: ErrorCode::ManifestBlobUnknown, detail }
        }
        E::NameUnknown(_) => told(StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
        E::TookTooLong => told(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
        E::Damaged { .. } => told(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown),
        E::Storage(error) => storage(error),
    }
}

fn storage(error: &DriverError) -> Told {
    match error.reason() {
        Reason::BackendUnavailable
        | Reason::Starting
        | Reason::Draining
        | Reason::Timeout
        | Reason::Conflict
        | Reason::TooManyStreams
        | Reason::NoSpace
        | Reason::QuotaExceeded
        | Reason::StoreMismatch
        | Reason::VersionMismatch
        | Reason::ReadOnly => told(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
        Reason::RateLimited => told(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests),
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
        | Reason::BackendCredentials
        | Reason::ChecksumMismatch
        | Reason::ShortObject
        | Reason::NotSupported
        | Reason::IoError
        | Reason::DriverBug => told(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_down_is_503_with_retry_after_and_a_missing_key_is_no_404() {
        let down =
            ApiError::from(RegistryError::from(DriverError::new(Reason::BackendUnavailable, "secret path")));
        let response = down.into_response("id");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        let limited = ApiError::from(RegistryError::from(DriverError::new(Reason::RateLimited, "x")));
        let response = limited.into_response("id");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        for reason in Reason::ALL {
            let status = storage(&DriverError::new(*reason, "x")).status;
            assert_ne!(status, StatusCode::NOT_FOUND, "{reason:?}: only a rule of the registry makes a 404");
        }
    }

    #[tokio::test]
    async fn what_failed_inside_stays_inside() {
        let error = ApiError::from(RegistryError::Damaged { key: "secret".into(), problem: "secret".into() });
        let body = axum::body::to_bytes(error.into_response("id-7").into_body(), 4096).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("id-7") && !text.contains("secret"), "{text}");
    }
}
