//! What a driver's answers are held against before anybody acts on them. An answer that can be decoded may still be about
//! something else than what was asked: another key, another upload, a page that was there before.

use longshore_driver_proto::v1;

use crate::driver::{Entry, ListQuery, Object, OpenMode, OpenUpload, Page, Upload, UploadId, UploadQuery};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;
use crate::wire::{self, bad_answer};

/// The object that was asked for.
pub(super) fn object(asked: &Key, answer: Option<v1::Object>) -> Result<Object> {
    let object = wire::object_in(answer)?;
    if object.key != *asked {
        return Err(bad_answer(&format!("it is about the key {}, and {asked} was asked for", object.key)));
    }
    Ok(object)
}

/// The same, with content whose length is known.
pub(super) fn object_of_size(asked: &Key, answer: Option<v1::Object>, size: usize) -> Result<Object> {
    let object = object(asked, answer)?;
    if object.size != size as u64 {
        return Err(bad_answer(&format!("{asked} has {size} bytes, and {} are named", object.size)));
    }
    Ok(object)
}

/// The upload that was asked for.
pub(super) fn upload(asked: &UploadId, answer: Option<v1::Upload>) -> Result<Upload> {
    let upload = wire::upload_in(answer)?;
    if upload.id != *asked {
        return Err(bad_answer(&format!("it is about the upload {}, and {asked} was asked for", upload.id)));
    }
    Ok(upload)
}

/// The session that was opened. A new one has its key and not a byte (contract clauses U1 and U2).
pub(super) fn opened(asked: &OpenUpload, answer: v1::Upload) -> Result<Upload> {
    let upload = upload(&asked.id, Some(answer))?;
    match &asked.mode {
        OpenMode::Create { key, .. } if upload.key != *key || upload.durable != 0 => {
            Err(bad_answer("a session that was just created has another key, or bytes"))
        }
        _ => Ok(upload),
    }
}

/// A page of objects (contract clauses L1 to L4): a listing goes on behind its last entry, so one that stands still or
/// goes back would never end.
pub(super) fn entries(asked: &ListQuery, page: v1::ListResponse) -> Result<Page<Entry>> {
    let entries: Vec<Entry> = page.entries.into_iter().map(wire::entry_in).collect::<Result<_>>()?;
    let names = entries.iter().map(|entry| match entry {
        Entry::Object(object) => object.key.as_str(),
        Entry::CommonPrefix(prefix) => prefix,
    });
    if names.clone().any(|name| !name.starts_with(asked.prefix.as_str())) {
        return Err(bad_answer(&format!("a listing of {:?} has a key outside of it", asked.prefix.as_str())));
    }
    ordered(&asked.start_after, names, asked.limit, page.more)?;
    Ok(Page { entries, more: page.more })
}

/// A page of uploads (contract clause U18).
pub(super) fn uploads(asked: &UploadQuery, page: v1::ListUploadsResponse) -> Result<Page<Upload>> {
    let uploads = page.uploads.into_iter().map(|upload| wire::upload_in(Some(upload)));
    let entries: Vec<Upload> = uploads.collect::<Result<_>>()?;
    ordered(&asked.start_after, entries.iter().map(|upload| upload.id.as_str()), asked.limit, page.more)?;
    Ok(Page { entries, more: page.more })
}

fn ordered<'a>(
    start_after: &str,
    names: impl Iterator<Item = &'a str>,
    limit: usize,
    more: bool,
) -> Result<()> {
    let (mut last, mut count) = (start_after, 0);
    for name in names {
        if name <= last {
            return Err(bad_answer(&format!("a page has {name} behind {last}, out of order")));
        }
        (last, count) = (name, count + 1);
    }
    if limit > 0 && count > limit {
        return Err(bad_answer(&format!("a page of at most {limit} has {count} entries")));
    }
    if more && count == 0 {
        return Err(bad_answer("an empty page says that more follow"));
    }
    Ok(())
}

/// Only streams have an offset. Without one, this code is also what an answer longer than rule R6 allows ends with.
pub(super) fn without_offset(error: DriverError) -> DriverError {
    if error.reason() == Reason::OffsetMismatch {
        return bad_answer(error.message()).with_unknown_outcome();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_forward_or_is_refused() {
        let page = |after: &str, names: &[&str], more| ordered(after, names.iter().copied(), 3, more);
        assert!(page("", &[], false).is_ok());
        assert!(page("a", &["b", "c"], true).is_ok());
        for (after, names, more) in [
            ("b", &["b"][..], false),
            ("", &["b", "a"], false),
            ("", &["a", "a"], false),
            ("", &[], true),
            ("", &["a", "b", "c", "d"], false),
        ] {
            let error = page(after, names, more).unwrap_err();
            assert_eq!(error.reason(), Reason::DriverBug, "{after:?} {names:?} {more}");
        }
    }
}
