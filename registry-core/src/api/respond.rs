//! Pieces that responses are made of.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::oci::{Digest, RepositoryName};

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Says nothing but its status.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    response
}

pub(super) fn json(content_type: &'static str, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Sets a header; a value that can't be one is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The digest, also as the entity tag: content under a digest never changes.
pub(super) fn set_digest(headers: &mut HeaderMap, digest: &Digest) {
    set(headers, CONTENT_DIGEST, &digest.to_string());
    set(headers, header::ETAG, &format!("\"{digest}\""));
}

/// Whether the client has these bytes already (RFC 9110 13.1.2).
pub(super) fn not_modified(request: &HeaderMap, digest: &Digest) -> Option<Response> {
    let wanted = request.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    let same = |tag: &str| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == digest.to_string()
    };
    wanted.split(',').any(same).then(|| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set_digest(response.headers_mut(), digest);
        response
    })
}

/// `Range: 0-<end>` of an upload: what is durable (spec end-5, end-13). Nothing yet reads `0-0`, as every registry has it.
pub(super) fn set_upload_range(headers: &mut HeaderMap, durable: u64) {
    set(headers, header::RANGE, &format!("0-{}", durable.saturating_sub(1)));
}

/// 201: this digest is there now.
pub(super) fn created_blob(name: &RepositoryName, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    set(headers, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(headers, CONTENT_DIGEST, &digest.to_string());
    response
}
