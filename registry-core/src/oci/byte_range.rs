//! Ranges of bytes, with inclusive ends as on the wire: `Range` (RFC 9110 section 14.2) and the `Content-Range` of an
//! upload's chunk (distribution spec end-5).

use std::str::FromStr;

/// Bytes `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl ByteRange {
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeHeader {
    /// `bytes=A-B` or `bytes=A-`.
    From { first: u64, last: Option<u64> },
    /// `bytes=-N`.
    Suffix(u64),
    /// `bytes=B-A`: understood, and never satisfiable.
    Inverted,
}

impl RangeHeader {
    /// `None`: another unit, several ranges, or no range at all. Such a header is ignored (RFC 9110 14.2).
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |text: &str| {
            if text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<u64>().ok() } else { None }
        };
        match (first, last) {
            ("", "") => None,
            ("", suffix) => Some(Self::Suffix(number(suffix)?)),
            (first, "") => Some(Self::From { first: number(first)?, last: None }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                Some(if first <= last { Self::From { first, last: Some(last) } } else { Self::Inverted })
            }
        }
    }

    /// The bytes of an object of this size; `None`: 416.
    pub fn of(self, size: u64) -> Option<ByteRange> {
        let end = size.checked_sub(1)?;
        match self {
            Self::From { first, last } if first <= end => {
                Some(ByteRange { first, last: last.unwrap_or(end).min(end) })
            }
            Self::Suffix(length) if length > 0 => {
                Some(ByteRange { first: size.saturating_sub(length), last: end })
            }
            _ => None,
        }
    }
}

/// Where a chunk belongs: `^[0-9]+-[0-9]+$`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange(pub ByteRange);

/// A text that is no chunk's range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the range of a chunk: write START-END, both included")]
pub struct InvalidContentRange(pub String);

impl FromStr for ContentRange {
    type Err = InvalidContentRange;

    fn from_str(text: &str) -> Result<Self, InvalidContentRange> {
        let invalid = || InvalidContentRange(text.chars().take(80).collect());
        // Some clients send the form of RFC 9110 instead.
        let plain =
            text.strip_prefix("bytes ").map_or(text, |rest| rest.split('/').next().unwrap_or_default());
        let (first, last) = plain.split_once('-').ok_or_else(invalid)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse::<u64>().map_err(|_| invalid()) } else { Err(invalid()) }
        };
        let range = ByteRange { first: number(first)?, last: number(last)? };
        if range.first > range.last || range.last == u64::MAX { Err(invalid()) } else { Ok(Self(range)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_cut_to_the_object() {
        let of = |text: &str, size| RangeHeader::parse(text).unwrap().of(size).map(|r| (r.first, r.last));
        assert_eq!(of("bytes=500-1499", 4000), Some((500, 1499)));
        assert_eq!(of("bytes=500-", 4000), Some((500, 3999)));
        assert_eq!(of("bytes=-500", 4000), Some((3500, 3999)));
        assert_eq!(of("bytes=-5000", 4000), Some((0, 3999)));
        assert_eq!(of("bytes=2000-5000", 4000), Some((2000, 3999)));
        assert_eq!(of("bytes=500-0", 4000), None);
        assert_eq!(of("bytes=4000-", 4000), None);
        assert_eq!(of("bytes=-0", 4000), None);
        assert_eq!(of("bytes=0-0", 0), None);
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for text in [
            "",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "items=0-1",
            "bytes=0-1,5-6",
            "bytes=+1-2",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(RangeHeader::parse(text), None, "{text}");
        }
    }

    #[test]
    fn chunks_have_both_ends() {
        assert_eq!("0-9".parse(), Ok(ContentRange(ByteRange { first: 0, last: 9 })));
        assert_eq!("bytes 0-9/*".parse(), Ok(ContentRange(ByteRange { first: 0, last: 9 })));
        for text in ["", "-", "0-", "-9", "9-0", "a-b", "0-9-", " 0-9", "0-18446744073709551615"] {
            assert!(text.parse::<ContentRange>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_range_never_leaves_the_object(text in "bytes=[0-9]{0,4}-[0-9]{0,4}", size in 0_u64..5000) {
            if let Some(range) = RangeHeader::parse(&text).and_then(|header| header.of(size)) {
                prop_assert!(range.first <= range.last && range.last < size);
            }
        }
    }
}
