//! Keys: what the core calls an object by. Owns their grammar (contract clause K1, proto rule R7); a `Key` that exists
//! is valid, so nobody checks again and nobody can reach out of the store with one.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The one key below [`DRIVER_PREFIX`] that the core may read and, once, write (proto rule R8).
pub const STORE_ID_KEY: &str = ".driver/store-id";
/// Keys below this belong to the driver and are never listed.
pub const DRIVER_PREFIX: &str = ".driver";
const MAX_KEY: usize = 1024;
const MAX_COMPONENT: usize = 255;

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is not a valid key: {problem}")]
pub struct InvalidKey {
    key: String,
    problem: &'static str,
}

/// The name of an object: components of `[A-Za-z0-9._+=,@~-]` joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// # Errors
    /// When the text breaks the grammar or lies below `.driver/`.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        check(text)?;
        if is_reserved(text) {
            return Err(invalid(text, "keys below .driver/ belong to the driver"));
        }
        Ok(Self(text.into()))
    }

    /// The key of the store's id.
    pub fn store_id() -> Self {
        Self(STORE_ID_KEY.into())
    }

    /// As [`Key::parse`], and the store's id besides: what a Get or Put on the wire may name.
    ///
    /// # Errors
    /// As [`Key::parse`].
    pub fn parse_with_store_id(text: &str) -> Result<Self, InvalidKey> {
        if text == STORE_ID_KEY { Ok(Self::store_id()) } else { Self::parse(text) }
    }

    /// Whether this is [`STORE_ID_KEY`].
    pub fn is_store_id(&self) -> bool {
        &*self.0 == STORE_ID_KEY
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// Keys sort as their texts do, so maps of keys can be asked for any text.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What a listing is limited to: nothing (the whole store) or a folder, ending in `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The whole store.
    pub fn all() -> Self {
        Self(String::new())
    }

    /// # Errors
    /// When the text is neither empty nor a key followed by `/`.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.is_empty() {
            return Ok(Self::all());
        }
        let folder =
            text.strip_suffix('/').ok_or_else(|| invalid(text, "a prefix is empty or ends with '/'"))?;
        check(folder)?;
        Ok(Self(text.to_owned()))
    }

    /// The text of the prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a component may stand in a key: the one grammar that listings, too, hold names against.
pub fn is_component(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_COMPONENT
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+=,@~-".contains(&b))
}

fn is_reserved(text: &str) -> bool {
    text == DRIVER_PREFIX || text.strip_prefix(DRIVER_PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

fn check(text: &str) -> Result<(), InvalidKey> {
    if text.is_empty() {
        return Err(invalid(text, "it is empty"));
    }
    if text.len() > MAX_KEY {
        return Err(invalid(&text[..text.floor_char_boundary(64)], "it is longer than 1024 bytes"));
    }
    if !text.split('/').all(is_component) {
        return Err(invalid(
            text,
            "a component is empty, '.', '..', over 255 bytes, or has a character outside [A-Za-z0-9._+=,@~-]",
        ));
    }
    Ok(())
}

fn invalid(key: &str, problem: &'static str) -> InvalidKey {
    InvalidKey { key: key.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_keys_are_kept_as_they_are() {
        for text in [
            "a",
            "longshore.json",
            "a/b",
            "A/b",
            "a.b/c+d=e,f@g~h-i_j",
            ".a",
            "a./b",
            "...",
            &"x".repeat(255),
        ] {
            assert_eq!(Key::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn invalid_keys_are_refused() {
        let long = vec!["x".repeat(200); 6].join("/");
        for text in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            "a\0b",
            "é",
            "a b",
            "a\\b",
            ".driver",
            ".driver/x",
            &long,
            &"x".repeat(256),
        ] {
            assert!(Key::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn names_that_only_begin_like_the_drivers_own_are_free() {
        assert!(Key::parse(".driverless/a").is_ok());
        assert!(Key::parse_with_store_id(STORE_ID_KEY).is_ok());
        assert!(Key::parse(STORE_ID_KEY).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_never_changes(text in ".{0,300}") {
            if let Ok(key) = Key::parse(&text) {
                prop_assert_eq!(key.as_str(), text.as_str());
                prop_assert!(!text.split('/').any(|c| c == ".." || c == "." || c.is_empty()));
            }
        }
    }
}
