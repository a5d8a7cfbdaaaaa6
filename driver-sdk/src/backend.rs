//! What most backends need and no author should write again: conditions, ranges, pages and pieces as the contract has
//! them, for a store that can look a key up, find the next one, and read bytes at an offset.

mod frames;
mod pages;
mod start;
mod turns;
mod witness;

use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::driver::{Condition, Driver, Entry, ListQuery, Object, Page, ReadRange, Reading};
use crate::error::{Detail, DriverError, Reason, Result};
use crate::key::{DRIVER_PREFIX, Key};
pub use frames::in_pieces;
pub use pages::{Listed, Listing, Names, is_reserved, page};
pub use start::Start;
pub use turns::{Turn, Turns};
pub use witness::Witness;

/// Bytes in one piece of a read: what [`crate::driver::Limits`] allow where nothing else is said. Also a good size for the
/// rows of a backend that keeps bytes in rows.
pub const PIECE: usize = 256 * 1024;

/// How often an object is read again that was replaced meanwhile.
const GET_TRIES: u32 = 100;

const DELETES_AT_ONCE: usize = 16;

/// Runs work that blocks where it stands; the other tasks of this thread go on elsewhere meanwhile.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A file or directory that a backend keeps open. What was renamed away still answers, and what was unmounted or removed
/// says that nothing is in it: neither may be taken for the store that the operator knows.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// What a path leads to now.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn of(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path)
            .map_err(|error| DriverError::io(format!("look at {}", path.display()), error))?;
        Ok(Self::new(path, found.dev(), found.ino()))
    }

    pub(crate) fn new(path: &Path, device: u64, inode: u64) -> Self {
        Self { path: path.to_owned(), device, inode }
    }

    /// Whether the path still leads there. To be asked before anything is written, and before anything is believed to be
    /// absent (rule R5).
    ///
    /// # Errors
    /// [`Reason::BackendUnavailable`] if it does not.
    pub fn check(&self) -> Result<()> {
        let found = std::fs::metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode)) {
            return Ok(());
        }
        let message =
            format!("{} is not what it was when the driver started; bring it back", self.path.display());
        Err(DriverError::new(Reason::BackendUnavailable, message))
    }
}

/// Whether an object may be put where `existing` is (contract clause O6).
///
/// # Errors
/// [`Reason::KeyExists`] and [`Reason::PreconditionFailed`].
pub fn check_condition(key: &Key, existing: Option<&Object>, condition: &Condition) -> Result<()> {
    match condition {
        Condition::Always => Ok(()),
        Condition::IfAbsent => must_be_absent(key, existing),
        Condition::IfMatch(etag) => must_match(key, existing, etag),
    }
}

/// Fails if there is an object at a key.
///
/// # Errors
/// [`Reason::KeyExists`].
pub fn must_be_absent(key: &Key, existing: Option<&Object>) -> Result<()> {
    if existing.is_none() {
        return Ok(());
    }
    Err(DriverError::new(Reason::KeyExists, format!("there is an object at key {key} already")))
}

/// Whether an object may be deleted. What is absent is deleted already, whatever the etag (contract clause O7).
///
/// # Errors
/// [`Reason::PreconditionFailed`].
pub fn check_delete(key: &Key, existing: Option<&Object>, if_match: Option<&str>) -> Result<()> {
    match if_match {
        Some(etag) if existing.is_some() => must_match(key, existing, etag),
        _ => Ok(()),
    }
}

fn must_match(key: &Key, existing: Option<&Object>, etag: &str) -> Result<()> {
    let found = existing.and_then(|object| object.etag.as_deref());
    if found == Some(etag) {
        return Ok(());
    }
    let message = format!("the object at key {key} has etag {found:?}, not {etag:?}");
    Err(DriverError::new(Reason::PreconditionFailed, message))
}

/// One page of a listing (contract section L). `next` finds the first object whose key is not below a text, in the order
/// of bytes; it is asked once for every entry, so a common prefix costs one look-up however much lies below it.
///
/// # Errors
/// Those of `next`.
pub fn list(query: &ListQuery, mut next: impl FnMut(&str) -> Result<Option<Object>>) -> Result<Page<Entry>> {
    let prefix = query.prefix.as_str();
    let mut page = Page { entries: Vec::new(), more: false };
    let mut from = first(query);
    while let Some(object) = next(&from)? {
        let key = object.key.clone();
        if key.as_str() < from.as_str() {
            let message = format!("the look-up of the key at or behind {from:?} found {key}");
            return Err(DriverError::new(Reason::DriverBug, message));
        }
        let Some(rest) = key.as_str().strip_prefix(prefix) else { break };
        if key.is_store_id() {
            from = behind(&format!("{DRIVER_PREFIX}/"));
            continue;
        }
        let entry = match rest.split_once('/').filter(|_| !query.recursive) {
            Some((folder, _)) => Entry::CommonPrefix(format!("{prefix}{folder}/")),
            None => Entry::Object(object),
        };
        from = behind(entry.name());
        if entry.name() <= query.start_after.as_str() {
            continue;
        }
        if page.entries.len() >= query.limit.max(1) {
            page.more = true;
            break;
        }
        page.entries.push(entry);
    }
    Ok(page)
}

/// No key that sorts before this belongs into the page.
fn first(query: &ListQuery) -> String {
    let prefix = query.prefix.as_str();
    let after = query.start_after.as_str();
    if after <= prefix {
        prefix.to_owned()
    } else if query.recursive {
        format!("{after}\0")
    } else {
        behind(after)
    }
}

/// The least text that sorts behind a name and, if it is a common prefix, behind every key below it.
fn behind(name: &str) -> String {
    // '0' follows '/' in the order of bytes.
    name.strip_suffix('/').map_or_else(|| format!("{name}\0"), |folder| format!("{folder}0"))
}

/// Which of an object's bytes a read asks for (contract clauses R12, R15).
///
/// # Errors
/// [`Reason::PreconditionFailed`] and [`Reason::OffsetPastEnd`].
pub fn range(object: &Object, wanted: &ReadRange) -> Result<Range<u64>> {
    let key = &object.key;
    if let Some(etag) = &wanted.if_match {
        must_match(key, Some(object), etag)?;
    }
    let Some(left) = object.size.checked_sub(wanted.offset) else {
        let message =
            format!("offset {} lies behind the end of {key}, which has {} bytes", wanted.offset, object.size);
        return Err(DriverError::new(Reason::OffsetPastEnd, message).with_detail(Detail::Size(object.size)));
    };
    Ok(wanted.offset..wanted.offset + left.min(wanted.length.unwrap_or(u64::MAX)))
}

/// A read of an object that is in memory.
///
/// # Errors
/// As [`range`].
pub fn read_bytes(object: Object, content: &Bytes, wanted: &ReadRange) -> Result<Reading> {
    let content = content.clone();
    read(object, wanted, move |offset, length| {
        // Both lie within the content, whose length is a usize.
        let start = offset as usize;
        Ok(content.slice(start.min(content.len())..(start + length).min(content.len())))
    })
}

/// A read of an object whose bytes `at` gives, from an offset and at most so many: fewer, too, as a `pread` may, but none
/// only if there are none. It may block. It must give the bytes of this object and no later one, or fail (contract clause
/// R14).
///
/// # Errors
/// As [`range`].
pub fn read(
    object: Object,
    wanted: &ReadRange,
    at: impl Fn(u64, usize) -> Result<Bytes> + Send + Sync + 'static,
) -> Result<Reading> {
    let Range { start, end } = range(&object, wanted)?;
    let key = object.key.clone();
    let at = Arc::new(at);
    let pieces = stream::iter((start..end).step_by(PIECE)).then(move |offset| {
        let (key, at) = (key.clone(), Arc::clone(&at));
        let length = (PIECE as u64).min(end - offset) as usize;
        async move { blocking(|| piece(&key, offset, length, &*at)) }
    });
    Ok(Reading { object, bytes: pieces.boxed() })
}

/// All of a piece: small ones on the wire are costly (contract clause T7).
fn piece(key: &Key, offset: u64, length: usize, at: &dyn Fn(u64, usize) -> Result<Bytes>) -> Result<Bytes> {
    let first = at(offset, length)?;
    if first.len() >= length {
        return Ok(first.slice(..length));
    }
    let mut whole = BytesMut::with_capacity(length);
    let mut part = first;
    while !part.is_empty() {
        whole.extend_from_slice(&part[..part.len().min(length - whole.len())]);
        if whole.len() == length {
            return Ok(whole.freeze());
        }
        part = at(offset + whole.len() as u64, length - whole.len())?;
    }
    let message = format!(
        "the object at key {key} has no bytes at offset {}; it was replaced meanwhile, or is damaged",
        offset + whole.len() as u64
    );
    Err(DriverError::new(Reason::ShortObject, message))
}

/// A small object, by reading it. One that was replaced while it was read is read again: a Get answers the old content or
/// the new one (contract clause O5), though a read may fail then (R14).
pub(crate) async fn get<D: Driver + ?Sized>(driver: &D, key: &Key) -> Result<(Object, Bytes)> {
    let most = driver.description().limits.max_inline;
    let mut tries = 0;
    loop {
        let reading = driver.read(key, ReadRange::default()).await?;
        let etag = reading.object.etag.clone();
        match whole(reading, most).await {
            Err(error) if error.reason() == Reason::ShortObject && tries < GET_TRIES => {
                if driver.stat(key).await?.etag == etag {
                    return Err(error);
                }
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Deletes object by object, several at a time.
pub(crate) async fn delete_each<D: Driver + ?Sized>(driver: &D, keys: &[Key]) -> Vec<Result<bool>> {
    let deletes = stream::iter(keys.to_vec()).map(|key| async move { driver.delete(&key, None).await });
    deletes.buffered(DELETES_AT_ONCE).collect().await
}

/// All of an object, if it has at most `most` bytes (contract clause O4).
///
/// # Errors
/// [`Reason::TooLarge`], and what the read ends with.
pub async fn whole(reading: Reading, most: u32) -> Result<(Object, Bytes)> {
    let Reading { object, mut bytes } = reading;
    if object.size > u64::from(most) {
        let message = format!(
            "the object at key {} has {} bytes, a message carries {most}; read it as a stream",
            object.key, object.size
        );
        return Err(DriverError::new(Reason::TooLarge, message));
    }
    let first = bytes.try_next().await?.unwrap_or_default();
    if first.len() as u64 >= object.size {
        return Ok((object, first));
    }
    let mut content = BytesMut::from(&first[..]);
    while let Some(piece) = bytes.try_next().await? {
        content.extend_from_slice(&piece);
    }
    Ok((object, content.freeze()))
}

#[cfg(test)]
mod tests;
