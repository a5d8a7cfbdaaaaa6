//! How deep JSON is nested. A parser may skip what it does not know without a limit; whoever reads the same bytes later need
//! not.

/// Whether arrays and objects lie in each other deeper than this, as far as the bytes are JSON.
pub(super) fn is_deeper(json: &[u8], levels: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_of_texts_alone() {
        for (json, depth) in [
            ("0", 0),
            ("[]", 1),
            ("[[],[],{}]", 2),
            ("{\"a\":{\"b\":[1]}}", 3),
            ("\"[[[[\"", 0),
            ("[\"\\\"[[\", \"\\\\\", []]", 2),
        ] {
            assert!(!is_deeper(json.as_bytes(), depth), "{json}");
            assert!(depth == 0 || is_deeper(json.as_bytes(), depth - 1), "{json}");
        }
    }
}
