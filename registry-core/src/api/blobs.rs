//! Blobs: spec end-2 and end-10.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error::ApiError;
use super::{preconditions, respond};
use crate::oci::{Digest, RangeHeader};
use crate::registry::Repository;
use crate::registry::blobs::{BlobReading, ReadOutcome};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(super) async fn head(
    repository: &Repository,
    digest: &Digest,
    request: &HeaderMap,
    may_push: bool,
) -> Result<Response, ApiError> {
    // A lease is for those alone who may push what needs it.
    let size =
        if may_push { repository.lease_blob(digest).await? } else { repository.blob_size(digest).await? };
    if let Some(response) = preconditions::not_modified(request, digest) {
        return Ok(response);
    }
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), digest, size);
    Ok(response)
}

pub(super) async fn get(
    repository: &Repository,
    digest: &Digest,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(response) = preconditions::not_modified(request, digest) {
        repository.blob_size(digest).await?;
        return Ok(response);
    }
    match repository.read_blob(digest, range(request, digest)).await? {
        ReadOutcome::Reading(reading) => Ok(body(digest, reading)),
        ReadOutcome::Unsatisfiable(size) => Err(ApiError::OutsideBlob { size }),
    }
}

/// A range that is conditional on another content is ignored; the comparison is the strong one (RFC 9110 13.1.5), so a weak
/// tag never fits.
fn range(request: &HeaderMap, digest: &Digest) -> Option<RangeHeader> {
    let condition = request
        .get(header::IF_RANGE)
        .map(|value| value.to_str().unwrap_or_default().trim_matches('"').to_owned());
    if condition.is_some_and(|condition| condition != digest.to_string()) {
        return None;
    }
    RangeHeader::parse(request.get(header::RANGE)?.to_str().ok()?)
}

fn body(digest: &Digest, reading: BlobReading) -> Response {
    // An error in the stream makes hyper cut the connection: a short body never ends cleanly.
    let mut response = Response::new(Body::from_stream(reading.bytes));
    let headers = response.headers_mut();
    match reading.range {
        None => describe(headers, digest, reading.size),
        Some(range) => {
            describe(headers, digest, range.length());
            respond::set(
                headers,
                header::CONTENT_RANGE,
                &format!("bytes {}-{}/{}", range.first, range.last, reading.size),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
    }
    response
}

fn describe(headers: &mut HeaderMap, digest: &Digest, length: u64) {
    headers.insert(header::CONTENT_TYPE, OCTETS);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    respond::set_digest(headers, digest);
}

pub(super) async fn delete(repository: &Repository, digest: &Digest) -> Result<Response, ApiError> {
    repository.delete_blob(digest).await?;
    Ok(respond::empty(StatusCode::ACCEPTED))
}
