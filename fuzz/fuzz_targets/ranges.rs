//! Ranges: what is accepted lies within the object, whatever its size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_core::oci::{ContentRange, RangeHeader};
use longshore_fuzz::script::Script;
use longshore_fuzz::tally;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let size = script.number();
    let Ok(text) = std::str::from_utf8(script.rest()) else { return tally::count(false) };
    let header = RangeHeader::parse(text);
    let range = header.and_then(|header| header.of(size));
    let chunk = text.parse::<ContentRange>();
    tally::count(range.is_some() || chunk.is_ok());
    if let Some(header) = header {
        assert_eq!(RangeHeader::parse(&written(header)), Some(header));
    }
    if let Some(range) = range {
        assert!(range.first <= range.last && range.last < size, "{range:?} of {size}");
        assert!((1..=size).contains(&range.length()));
        within_wish(header.expect("it has a range"), size, range.first, range.last);
    }
    if let Ok(ContentRange(range)) = chunk {
        assert!(range.first <= range.last);
        // The size of an upload that ends with it can be told.
        assert_eq!(range.first.checked_add(range.length()), range.last.checked_add(1));
        assert!(range.last.checked_add(1).is_some());
        assert_eq!(format!("{}-{}", range.first, range.last).parse(), Ok(ContentRange(range)));
    }
});

/// As RFC 9110 14.2 writes it.
fn written(header: RangeHeader) -> String {
    match header {
        RangeHeader::From { first, last: Some(last) } => format!("bytes={first}-{last}"),
        RangeHeader::From { first, last: None } => format!("bytes={first}-"),
        RangeHeader::Suffix(length) => format!("bytes=-{length}"),
        RangeHeader::Inverted => "bytes=1-0".to_owned(),
    }
}

fn within_wish(header: RangeHeader, size: u64, first: u64, last: u64) {
    match header {
        RangeHeader::From { first: wanted, last: end } => {
            assert_eq!((first, last), (wanted, end.unwrap_or(u64::MAX).min(size - 1)));
        }
        RangeHeader::Suffix(length) => {
            assert_eq!((last - first + 1, last), (length.min(size), size - 1));
        }
        RangeHeader::Inverted => panic!("an inverted range was satisfied"),
    }
}
