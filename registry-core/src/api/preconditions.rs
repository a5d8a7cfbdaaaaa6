//! Requests that depend on what the client has, or has seen: entity tags and their comparison (RFC 9110 8.8.3, 13.1).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;

use super::respond;
use crate::oci::Digest;
use crate::registry::precondition::{Contents, Precondition};

/// Whether the client has these bytes already. The comparison is the weak one, as RFC 9110 13.1.2 has it; our own tags are
/// strong.
pub(super) fn not_modified(request: &HeaderMap, digest: &Digest) -> Option<Response> {
    let has = match contents(request, &header::IF_NONE_MATCH, true)? {
        Contents::Any => true,
        Contents::Of(digests) => digests.contains(&digest.to_string()),
    };
    has.then(|| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        respond::set_digest(response.headers_mut(), digest);
        response
    })
}

/// What a write depends on. `If-Match` is compared strongly (RFC 9110 13.1.1).
pub(super) fn of_write(request: &HeaderMap) -> Precondition {
    Precondition {
        only_if: contents(request, &header::IF_MATCH, false),
        unless: contents(request, &header::IF_NONE_MATCH, true),
    }
}

/// The entity tags of a header, on however many lines; `None`: it is not there.
fn contents(request: &HeaderMap, name: &HeaderName, weak: bool) -> Option<Contents> {
    if !request.contains_key(name) {
        return None;
    }
    let mut digests = Vec::new();
    for line in request.get_all(name) {
        for tag in line.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return Some(Contents::Any);
            }
            let tag = tag.strip_prefix("W/").filter(|_| weak).unwrap_or(tag);
            digests.push(tag.trim_matches('"').to_owned());
        }
    }
    Some(Contents::Of(digests))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn an_entity_tag_is_found_among_others_and_on_any_line() {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let own = format!("\"{digest}\"");
        let modified = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
            }
            not_modified(&headers, &digest).is_none()
        };
        for lines in [&[&*own][..], &["*"], &["\"x\"", &format!("\"y\", W/{own}")]] {
            assert!(!modified(lines), "{lines:?}");
        }
        for lines in [&[][..], &["\"x\""], &["W/\"sha256:ab\"", "\"\""]] {
            assert!(modified(lines), "{lines:?}");
        }
    }

    #[test]
    fn a_weak_tag_never_lets_a_write_through() {
        let mut headers = HeaderMap::new();
        assert!(of_write(&headers).is_none());
        headers.insert(header::IF_MATCH, HeaderValue::from_static("W/\"sha256:00\""));
        assert_eq!(of_write(&headers).only_if, Some(Contents::Of(vec!["W/\"sha256:00".to_owned()])));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert_eq!(of_write(&headers).unless, Some(Contents::Any));
    }
}
