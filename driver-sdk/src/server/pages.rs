//! Pages that fit into a message (rule R6). Owns where one is cut: a thousand sessions with full bookmarks are more than
//! a message takes, and the rest belongs to the next page.

use prost::{Message, length_delimiter_len};

use super::MAX_MESSAGE;

/// The tag of a field with a number below 16.
const TAG: usize = 1;
/// For what else the message says.
const SPARE: usize = 64;

/// As many entries as a message takes, at least one, and whether there are more.
pub(super) fn fit<T: Message>(entries: impl Iterator<Item = T>, more: bool) -> (Vec<T>, bool) {
    let mut room = MAX_MESSAGE - SPARE;
    let mut fitting = Vec::new();
    for entry in entries {
        let length = entry.encoded_len();
        let size = TAG + length_delimiter_len(length) + length;
        if size > room && !fitting.is_empty() {
            return (fitting, true);
        }
        room = room.saturating_sub(size);
        fitting.push(entry);
    }
    (fitting, more)
}

#[cfg(test)]
mod tests {
    use longshore_driver_proto::v1;

    use super::*;

    /// As large as a session can be: a bookmark of 4 KiB, and keys of 1 KiB.
    fn upload(number: usize) -> v1::Upload {
        let key = "k".repeat(1024);
        let object = v1::Object { key: key.clone(), size: u64::MAX, etag: "e".repeat(64), modified: None };
        v1::Upload {
            upload_id: format!("{number:032x}"),
            key,
            bookmark: vec![b'b'; 4096].into(),
            object: Some(object),
            durable: u64::MAX,
            ..Default::default()
        }
    }

    #[test]
    fn a_page_of_the_largest_sessions_is_cut_where_the_message_is_full() {
        let (uploads, more) = fit((0..1000).map(upload), false);
        assert!(more && !uploads.is_empty() && uploads.len() < 1000);
        let last = uploads.len();
        let page = v1::ListUploadsResponse { uploads, more };
        assert!(page.encoded_len() <= MAX_MESSAGE);
        let larger = v1::ListUploadsResponse { uploads: (0..=last).map(upload).collect(), more };
        assert!(larger.encoded_len() > MAX_MESSAGE - SPARE, "the page could have had one more");
    }

    #[test]
    fn a_page_that_fits_is_left_as_it_is() {
        for more in [false, true] {
            let (uploads, still) = fit((0..10).map(upload), more);
            assert_eq!((uploads.len(), still), (10, more));
        }
        let (none, more) = fit(std::iter::empty::<v1::Upload>(), false);
        assert!(none.is_empty() && !more);
    }
}
