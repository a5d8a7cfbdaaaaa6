//! Names in URLs. Owns what is escaped in them (RFC 3986 2.3 leaves letters, digits and four signs as they are).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// A path; its slashes stay.
pub(crate) fn path(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

/// One value of a query.
pub(crate) fn value(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// The other way; `None`: not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_escaped_and_comes_back() {
        let name = "a b/c+d%2F?e#f&g=h~é.@,\n";
        let encoded = path(name);
        assert_eq!(encoded, "a%20b/c%2Bd%252F%3Fe%23f%26g%3Dh~%C3%A9.%40%2C%0A");
        assert_eq!(decode(&encoded).as_deref(), Some(name));
        assert_eq!(value("a/b c"), "a%2Fb%20c");
        assert_eq!(decode("%ff"), None);
    }
}
