//! `<digest>`: an algorithm and its hexadecimal value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The registered algorithms that this registry verifies (image spec, "Registered Algorithms").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestProblem;

    fn from_str(text: &str) -> Result<Self, DigestProblem> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestProblem::Unsupported(text.chars().take(64).collect())),
        }
    }
}

/// A content address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// A text that is no digest, or none that can be verified here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestProblem {
    #[error("{0:?} is not a digest: write sha256: and 64 lower-case hexadecimal digits, or sha512: and 128")]
    Malformed(String),
    #[error("the algorithm {0:?} is not supported: use sha256 or sha512")]
    Unsupported(String),
}

impl Digest {
    /// Of a finished hash.
    pub fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        Self { algorithm, hex: hash.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl FromStr for Digest {
    type Err = DigestProblem;

    fn from_str(text: &str) -> Result<Self, DigestProblem> {
        let malformed = || DigestProblem::Malformed(text.chars().take(160).collect());
        let (algorithm, hex) = text.split_once(':').ok_or_else(malformed)?;
        let known_form = !algorithm.is_empty()
            && algorithm
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b));
        if !known_form || hex.is_empty() {
            return Err(malformed());
        }
        let algorithm: Algorithm = algorithm.parse()?;
        let is_hex = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex.len() != algorithm.hex_length() || !is_hex {
            return Err(malformed());
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digests_read_as_written() {
        for text in [format!("sha256:{}", "0f".repeat(32)), format!("sha512:{}", "a1".repeat(64))] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_and_unsupported_are_told_apart() {
        let hex = "0f".repeat(32);
        for text in [
            "",
            "sha256",
            "sha256:",
            ":",
            "sha256:xyz",
            "sha256:../../x",
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("sha512:{hex}"),
            &format!("SHA256:{hex}"),
        ] {
            assert!(matches!(text.parse::<Digest>(), Err(DigestProblem::Malformed(_))), "{text}");
        }
        assert!(matches!("blake3:abc".parse::<Digest>(), Err(DigestProblem::Unsupported(_))));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,200}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
