//! `<name>` of the distribution spec.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Host and name together must stay below 256 bytes (distribution spec, "Pulling manifests").
const MAX: usize = 255;

/// The name of a repository: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/...)*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

/// A text that is no repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a repository name: lower-case letters and digits, joined by '.', '_', '__' or '-', in parts separated by '/', 255 bytes at most"
)]
pub struct InvalidRepositoryName(pub String);

impl RepositoryName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidRepositoryName;

    fn from_str(text: &str) -> Result<Self, InvalidRepositoryName> {
        if text.len() <= MAX && text.split('/').all(is_component) {
            return Ok(Self(text.into()));
        }
        Err(InvalidRepositoryName(text.chars().take(MAX).collect()))
    }
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well =
        bytes.first().copied().is_some_and(alphanumeric) && bytes.last().copied().is_some_and(alphanumeric);
    ends_well
        && bytes
            .split(|b| alphanumeric(*b))
            .all(|joint| matches!(joint, b"" | b"." | b"_" | b"__") || joint.iter().all(|b| *b == b'-'))
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_the_spec_is_kept() {
        for good in ["a", "team/app", "a.b", "a_b", "a__b", "a-b", "a---b", "0/1/2", "a/b/c/d.e_f-g"] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", "-a", "a-", "_a", "a b", "a\0", "é",
            "..", "a/../b", &long,
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }
}
