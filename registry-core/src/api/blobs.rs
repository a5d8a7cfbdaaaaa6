//! Blobs: spec end-2 and end-10.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error::ApiError;
use super::{preconditions, respond};
use crate::metrics::redirects::Redirects;
use crate::oci::{Digest, RangeHeader};
use crate::registry::Repository;
use crate::registry::blobs::{BlobReading, ReadOutcome};
use crate::registry::redirect::Signing;

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
    client: Option<IpAddr>,
    redirects: &Redirects,
) -> Result<Response, ApiError> {
    if let Some(response) = preconditions::not_modified(request, digest) {
        repository.blob_size(digest).await?;
        return Ok(response);
    }
    let range = range(request, digest);
    let outcome = if repository.redirects(client) && !is_about_our_tag(request) {
        let object = repository.find_blob(digest).await?;
        if let Some(signing) = repository.sign_blob(&object).await {
            redirects.count(repository.storage(), signing.outcome());
            if let Signing::Url(url) = signing {
                return Ok(elsewhere(digest, &url));
            }
        }
        repository.read_found(digest, &object, range).await?
    } else {
        repository.read_blob(digest, range).await?
    };
    match outcome {
        ReadOutcome::Reading(reading) => Ok(body(digest, reading)),
        ReadOutcome::Unsatisfiable(size) => Err(ApiError::OutsideBlob { size }),
    }
}

/// A client repeats these at the store (RFC 9110 15.4), which has other tags: it would refuse the one, and answer the other
/// with the whole.
fn is_about_our_tag(request: &HeaderMap) -> bool {
    request.contains_key(header::IF_MATCH) || request.contains_key(header::IF_RANGE)
}

/// 307: the client repeats its request, with its `Range`, at the store (RFC 9110 15.4.8). Until the URL expires, whoever has
/// it reads the blob without a login, so no cache may keep it for the next one to ask (RFC 9111 5.2.2.5).
fn elsewhere(digest: &Digest, url: &str) -> Response {
    let mut response = respond::empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    respond::set(headers, header::LOCATION, url);
    respond::set(headers, respond::CONTENT_DIGEST, &digest.to_string());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
