//! Checksums of images. docker-registry 0.9.1 (`lib/checksums.py`, `simple_checksum_handler`) has one kind: of the JSON's bytes, a
//! newline and the layer's bytes together. Until 0.9.0 clients older than docker 0.10 had theirs beside it or instead: a TarSum,
//! which is made of what is in the archive and says nothing of its bytes.

use std::fmt::Write as _;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

const SIMPLE: &str = "sha256:";

/// What became of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nobody asked for it, or there is not what it takes; that is said as damage.
    NotMade,
    /// There is no checksum that we can make too.
    NotPossible,
    Matches,
    Differs,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    Several(Vec<String>),
    One(String),
}

/// The simple checksums that stand in `_checksum`, or what stands there instead. A file that is no JSON is a checksum itself
/// (docker-registry 0.9.1, `images.py`, `load_checksums`).
pub(super) fn simple(content: &[u8]) -> Result<Vec<String>, String> {
    let all = match serde_json::from_slice(content) {
        Ok(Recorded::Several(all)) => all,
        Ok(Recorded::One(one)) => vec![one],
        Err(_) => vec![String::from_utf8_lossy(content).trim().to_owned()],
    };
    let simple: Vec<String> = all.iter().filter(|one| one.starts_with(SIMPLE)).cloned().collect();
    if simple.is_empty() { Err(all.join(", ")) } else { Ok(simple) }
}

/// The simple checksum of an image whose layer comes piece by piece.
pub(super) struct Summing(Sha256);

impl Summing {
    pub(super) fn of_json(json: &[u8]) -> Self {
        Self(Sha256::new().chain_update(json).chain_update(b"\n"))
    }

    pub(super) fn add(&mut self, layer: &[u8]) {
        self.0.update(layer);
    }

    pub(super) fn sum(self) -> String {
        self.0.finalize().iter().fold(SIMPLE.to_owned(), |mut text, byte| {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_in_each_form_that_registries_wrote() {
        let one = Ok(vec!["sha256:ab".to_owned()]);
        assert_eq!(simple(br#"["sha256:ab"]"#), one);
        assert_eq!(simple(br#"["tarsum+sha256:cd", "sha256:ab"]"#), one);
        assert_eq!(simple(b"sha256:ab"), one);
        assert_eq!(simple(b"\"sha256:ab\"\n"), one);
    }

    #[test]
    fn what_is_no_simple_checksum_is_named() {
        assert_eq!(simple(br#"["tarsum+sha256:cd"]"#), Err("tarsum+sha256:cd".to_owned()));
        assert_eq!(simple(b"tarsum.v1+sha256:cd\n"), Err("tarsum.v1+sha256:cd".to_owned()));
        for nothing in [&b""[..], b"[]", b" \n"] {
            assert_eq!(simple(nothing), Err(String::new()));
        }
        assert!(simple(b"\xff\xfe").is_err() && simple(b"[1]").is_err() && simple(b"{}").is_err());
    }

    /// sha256sum of `{"id":"x"}`, a newline and `layer`.
    #[test]
    fn json_and_layer_are_summed_with_a_newline_between_them() {
        let mut summing = Summing::of_json(br#"{"id":"x"}"#);
        summing.add(b"lay");
        summing.add(b"er");
        assert_eq!(summing.sum(), "sha256:a156458e53c55aa77931778f7d9e62d681abd652f13db995edcf02f57fc58a79");
    }
}
