//! `<reference>` and `<tag>`.

use std::fmt;
use std::str::FromStr;

use super::digest::{Digest, DigestProblem};

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// A text that is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a tag: a letter, digit or '_', then at most 127 of these or '.' and '-'")]
pub struct InvalidTag(pub String);

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag under which clients list a subject's referrers where a registry does not (spec, "Referrers Tag Schema"):
    /// algorithm and value, cut to 32 and 64 characters.
    pub fn of_referrers(subject: &Digest) -> Option<Self> {
        let algorithm: String = subject.algorithm().as_str().chars().take(32).collect();
        let encoded: String = subject.hex().chars().take(64).collect();
        format!("{algorithm}-{encoded}").parse().ok()
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = text.bytes().next().is_some_and(word);
        if first && text.len() <= 128 && text.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidTag(text.chars().take(160).collect()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    #[error(transparent)]
    Digest(#[from] DigestProblem),
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        // No tag has a colon in it.
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_the_grammar_of_the_spec() {
        for good in ["latest", "1", "_x", "1.0-rc_2", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", ".a", "a/b", "a:b", "a b", "é", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_colon_makes_a_digest() {
        assert!(matches!("latest".parse(), Ok(Reference::Tag(_))));
        assert!(matches!("sha256:abc".parse::<Reference>(), Err(InvalidReference::Digest(_))));
    }
}
