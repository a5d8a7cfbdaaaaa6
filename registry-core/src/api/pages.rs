//! Lists in pages: how long one is, and where the next one is found (RFC 8288, `rel="next"`).

use axum::http::{HeaderMap, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::operation::{Limit, MAX_PAGE};
use super::respond;

/// What a value of a query may hold besides letters and digits (RFC 3986 3.4); '+' is a space to some clients.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

/// How many entries a page has; told to the client when it is fewer than it asked for.
pub(super) fn length(wish: Option<Limit>, default: usize, headers: &mut HeaderMap) -> usize {
    let Some(limit) = wish else { return default };
    if limit.cut {
        respond::warn(headers, &format!("n is at most {MAX_PAGE}; the header Link leads to the rest"));
    }
    limit.entries
}

/// Where the next page is.
pub(super) fn set_next(headers: &mut HeaderMap, path: &str, query: &[(&str, &str)]) {
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY_VALUE)))
        .collect();
    respond::set(headers, header::LINK, &format!("<{path}?{}>; rel=\"next\"", query.join("&")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_link_comes_back_as_it_was() {
        let mut headers = HeaderMap::new();
        set_next(&mut headers, "/v2/a/referrers/x", &[("n", "5"), ("artifactType", "a/b+c&d=\u{e9} >")]);
        assert_eq!(
            headers[header::LINK],
            "</v2/a/referrers/x?n=5&artifactType=a/b%2Bc%26d%3D%C3%A9%20%3E>; rel=\"next\""
        );
    }
}
