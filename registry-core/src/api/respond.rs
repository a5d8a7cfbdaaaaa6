//! Pieces that responses are made of.

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::error::{ApiError, RequestProblem};
use crate::oci::{Digest, RepositoryName};

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(super) const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
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

/// As [`json`], of what may be large, without a tree of values between.
pub(super) fn serialized(content_type: &'static str, body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| RequestProblem::Unwritable(error.to_string()))?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// What HEAD leaves of an answer: all but the body, whose length stays told (RFC 9110 9.3.2).
pub(super) fn take_body(response: &mut Response) {
    let body = std::mem::take(response.body_mut());
    let told = response.headers().contains_key(header::CONTENT_LENGTH);
    let bodiless = matches!(response.status(), StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
    if let (Some(length), false, false) = (body.size_hint().exact(), told, bodiless) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
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

/// All warnings of a response together (spec, "Warnings").
const MAX_WARNINGS: usize = 4096;

/// Tells the user something that is no error: `299 - "<text>"`, within the bound that the spec sets for all of them.
pub(super) fn warn(headers: &mut HeaderMap, text: &str) {
    let mut room = headers
        .get_all(header::WARNING)
        .iter()
        .fold(MAX_WARNINGS, |room, warning| room.saturating_sub(warning.len()))
        .saturating_sub("299 - \"\"".len());
    let mut quoted = String::new();
    for character in text.chars() {
        // A quoted string (RFC 9110 5.6.4) of visible ASCII.
        let piece = match character {
            '"' | '\\' => format!("\\{character}"),
            ' '..='~' => character.to_string(),
            _ => "?".to_owned(),
        };
        if piece.len() > room {
            break;
        }
        room -= piece.len();
        quoted += &piece;
    }
    if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\""))
        && !quoted.is_empty()
    {
        headers.append(header::WARNING, value);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_stay_below_their_bound_together() {
        let mut headers = HeaderMap::new();
        warn(&mut headers, "a \"b\" \\ \u{e9}\n");
        assert_eq!(headers[header::WARNING], r#"299 - "a \"b\" \\ ??""#);
        for _ in 0..3 {
            warn(&mut headers, &"\"x".repeat(1500));
        }
        let lengths: Vec<_> = headers.get_all(header::WARNING).iter().map(HeaderValue::len).collect();
        assert_eq!(lengths.len(), 2, "what finds no room is left out");
        assert!(lengths.iter().sum::<usize>() <= MAX_WARNINGS, "{lengths:?}");
        for warning in headers.get_all(header::WARNING) {
            let text = warning.to_str().unwrap();
            let inner = text.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"')).unwrap();
            let unescaped = inner.replace("\\\\", "").replace("\\\"", "");
            assert!(!unescaped.contains(['"', '\\']), "every quote is escaped: {text}");
        }
    }
}
