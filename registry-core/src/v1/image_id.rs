//! What the V1 registry calls an image by.

use std::fmt;
use std::str::FromStr;

const BYTES: usize = 32;
/// As many digits as docker shows.
const SHORT: usize = 12;

/// 64 or 16 lower-case hexadecimal digits (docker-registry 0.9.1, `toolkit.py`, `_re_hex_image_id`). Kept as bytes: a listing
/// remembers each one that it came by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ImageId {
    bytes: [u8; BYTES],
    /// Of `bytes`.
    length: u8,
}

/// A text that is no id of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an image is called by 64 or 16 lower-case hexadecimal digits")]
pub(super) struct NoImageId;

impl ImageId {
    /// For people.
    pub(super) fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT);
        text
    }
}

impl FromStr for ImageId {
    type Err = NoImageId;

    fn from_str(text: &str) -> Result<Self, NoImageId> {
        let length = match text.len() {
            64 => 32,
            16 => 8,
            _ => return Err(NoImageId),
        };
        let mut bytes = [0; BYTES];
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self { bytes, length })
    }
}

fn digit(character: u8) -> Result<u8, NoImageId> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(NoImageId),
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().take(usize::from(self.length)).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_has_64_or_16_lower_case_digits_and_is_shown_as_it_was() {
        for good in ["0123456789abcdef", &"0123456789abcdef".repeat(4), &"f".repeat(64)] {
            let id: ImageId = good.parse().unwrap();
            assert_eq!(id.to_string(), good);
            assert_eq!(id.short(), good[..12]);
        }
        let (upper, long, newline) = ("F".repeat(64), "f".repeat(65), format!("{}\n", "f".repeat(64)));
        for bad in
            ["", "latest", "0123456789abcde", "0123456789abcdeg", "0123456789abcdé", &upper, &long, &newline]
        {
            assert_eq!(bad.parse::<ImageId>(), Err(NoImageId), "{bad}");
        }
    }

    #[test]
    fn a_short_id_is_not_the_long_one_that_begins_like_it() {
        let short: ImageId = "0123456789abcdef".parse().unwrap();
        let long: ImageId = format!("0123456789abcdef{}", "0".repeat(48)).parse().unwrap();
        assert_ne!(short, long);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_never_changes(text in ".{0,80}|[0-9a-f]{16}|[0-9a-f]{64}") {
            if let Ok(id) = text.parse::<ImageId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
