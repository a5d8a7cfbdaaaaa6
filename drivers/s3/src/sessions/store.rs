//! Where sessions are: the records below `.driver/uploads/`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use longshore_driver_sdk::sessions::{Record, SessionStorage};
use longshore_driver_sdk::{DriverError, Key, Object, Reason, Result, UploadId, UploadState};

use super::hold::S3Hold;
use super::record::{CREATED, Parted, Piece, State, UPLOADS, name_of, nonce};
use super::schedule::Schedule;
use crate::body::Content;
use crate::bucket::{BATCH, Bucket, Extra, Guard};
use crate::driver::Store;
use crate::failure::Failure;
use crate::listing;

/// Records that are kept in memory at most, to save the reading of what this process wrote itself.
const REMEMBERED: usize = 1024;
/// One with more parts is read again each time: memory is not for terabytes.
const LONG: usize = 500;
/// Bytes of a record that are kept with it.
const SMALL: u64 = 64 * 1024;

/// The sessions of one bucket.
#[derive(Clone)]
pub(crate) struct S3Sessions(pub(super) Arc<Records>);

/// Their records.
pub(crate) struct Records {
    pub(super) store: Arc<Store>,
    pub(super) spool: PathBuf,
    pub(super) schedule: Schedule,
    /// The highest records that this process wrote or read; written once, they never change.
    known: Mutex<HashMap<UploadId, Known>>,
}

/// A record that was written or read.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) state: Arc<State>,
    /// This process wrote it, and so knows which parts were sent behind it.
    pub(super) is_own: bool,
    /// The record's own bytes, if they are few.
    pub(super) own: Option<Bytes>,
    /// No record says that a commit began, and yet there may be an object by now.
    in_doubt: bool,
}

impl S3Sessions {
    pub(crate) fn new(store: Arc<Store>, spool: PathBuf, schedule: Schedule) -> Self {
        Self(Arc::new(Records { store, spool, schedule, known: Mutex::default() }))
    }
}

impl Records {
    pub(super) fn bucket(&self) -> &Bucket {
        &self.store.bucket
    }

    fn known(&self, id: &UploadId) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn remember(&self, id: &UploadId, known: Known) {
        if known.state.parted.parts.len() > LONG {
            return self.forget(id);
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
        all.insert(id.clone(), known);
    }

    pub(super) fn forget(&self, id: &UploadId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// From now on the object may be there, whatever becomes of the request that makes it.
    pub(super) fn doubt(&self, id: &UploadId, known: &Known) {
        self.remember(id, Known { in_doubt: true, ..known.clone() });
    }

    /// The names of all records that sort behind a text, in their order.
    pub(super) async fn names(&self, id: &UploadId, behind: &str) -> Result<Vec<String>> {
        let folder = folder(id);
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = match names.last().map_or(behind, String::as_str) {
                "" => String::new(),
                name => format!("{folder}{name}"),
            };
            let page = self.bucket().list(&folder, false, &after, BATCH).await?;
            names.extend(
                page.entries.iter().filter_map(|entry| Some(entry.name.strip_prefix(&folder)?.to_owned())),
            );
            if !page.more || page.entries.is_empty() {
                return Ok(names);
            }
        }
    }

    /// What holds of a session: its highest record, and if a commit may have begun, what came of it (contract clause U14).
    pub(super) async fn present(&self, id: &UploadId) -> Result<Known> {
        let known = self.highest(id).await?;
        if !self.may_be_committed(&known) {
            return Ok(known);
        }
        let key = &known.state.record.key;
        let found = self.bucket().stat(key.as_str()).await?.filter(|found| found.is_of(id));
        let Some(found) = found else { return Ok(known) };
        let bookmark = match &known.state.committing {
            Some(committing) => Some(&committing.bookmark).filter(|_| found.size == committing.size),
            None => found.bookmark.as_ref(),
        };
        let Some(bookmark) = bookmark.cloned() else { return Ok(known) };
        let record = Record {
            state: UploadState::Committed,
            durable: found.size,
            bookmark,
            object: Some(listing::object(key, found)),
            ..known.state.record.clone()
        };
        let state = State { record, parted: known.state.parted.clone(), committing: None };
        Ok(Known { state: Arc::new(state), ..known })
    }

    fn may_be_committed(&self, known: &Known) -> bool {
        let state = &known.state;
        let told_by_object = known.in_doubt
            && state.parted.multipart.is_none()
            && self.store.guard_of_put() == Guard::IfAbsent;
        state.record.state == UploadState::Open && (state.committing.is_some() || told_by_object)
    }

    /// The highest record. One that this process knows to be there need not be listed again, only what is behind it.
    async fn highest(&self, id: &UploadId) -> Result<Known> {
        let known = self.known(id);
        // From just before the known one: if not even that is there, the session was ended elsewhere.
        let behind = known.as_ref().map_or_else(String::new, |known| before(&known.name));
        match (self.names(id, &behind).await?.pop(), known) {
            // What this process wrote is there, though a listing that lags may not show it.
            (Some(name), Some(known)) if name <= known.name => Ok(known),
            (Some(name), _) => self.read_record(id, &name).await,
            (None, Some(known)) if self.store.lags() => Ok(known),
            (None, _) => {
                self.forget(id);
                self.store.must_be_there().await?;
                Err(DriverError::upload_unknown(id))
            }
        }
    }

    async fn read_record(&self, id: &UploadId, name: &str) -> Result<Known> {
        let path = format!("{}{name}", folder(id));
        let mut got = match self.bucket().get(&path, 0, None).await {
            Ok(got) => got,
            Err(Failure::Absent) => return Err(DriverError::upload_unknown(id)),
            Err(other) => return Err(other.into_error(&format!("GET {path}"))),
        };
        let mut text = BytesMut::new();
        let line = loop {
            if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                break end;
            }
            match got.body.next().await {
                Some(Ok(piece)) => text.extend_from_slice(&piece),
                Some(Err(error)) => {
                    return Err(DriverError::new(Reason::BackendUnavailable, format!("GET {path}: {error}")));
                }
                None => {
                    let message = format!("record {path} is damaged (it has no line); end the upload");
                    return Err(DriverError::new(Reason::ChecksumMismatch, message));
                }
            }
        };
        let state = State::decode(id, name, &text[..line])?;
        let state = Arc::new(state);
        let known = Known { name: name.to_owned(), state, is_own: false, own: None, in_doubt: true };
        self.remember(id, known.clone());
        Ok(known)
    }

    /// Writes a record once, with bytes of its own behind its line, and remembers it.
    pub(super) async fn write_record(
        &self,
        id: &UploadId,
        name: &str,
        state: State,
        own: Content,
    ) -> Result<Known> {
        let written = self.try_record(id, name, state, own, &Guard::None).await;
        written.map_err(|failure| failure.into_error(&format!("PUT {}{name}", folder(id))))
    }

    async fn try_record(
        &self,
        id: &UploadId,
        name: &str,
        mut state: State,
        own: Content,
        guard: &Guard,
    ) -> std::result::Result<Known, Failure> {
        let size = own.len();
        let line = state.encode(size).map_err(Failure::Other)?;
        let at = line.len() as u64;
        let content = Content { head: line, file: own.file, sum: None };
        let kept = if size <= SMALL { small(&content).map_err(Failure::Other)? } else { None };
        let path = format!("{}{name}", folder(id));
        self.bucket().put(&path, content, guard, Extra::default()).await?;
        if size > 0 {
            state.parted.pieces.push(Piece { record: name.to_owned(), at, size });
        }
        let state = Arc::new(state);
        let known = Known { name: name.to_owned(), state, is_own: true, own: kept, in_doubt: false };
        self.remember(id, known.clone());
        Ok(known)
    }

    /// The bytes of a piece.
    pub(super) async fn read_piece(&self, id: &UploadId, piece: &Piece) -> Result<Vec<Bytes>> {
        if let Some(known) = self.known(id)
            && known.name == piece.record
            && let Some(own) = known.own
        {
            return Ok(vec![own]);
        }
        let path = format!("{}{}", folder(id), piece.record);
        let got = self.bucket().get(&path, piece.at, Some(piece.size)).await;
        let mut body = got.map_err(|failure| failure.into_error(&format!("GET {path}")))?.body;
        let mut pieces = Vec::new();
        while let Some(next) = body.next().await {
            pieces.push(next.map_err(|error| {
                DriverError::new(Reason::BackendUnavailable, format!("GET {path}: {error}"))
            })?);
        }
        if pieces.iter().map(Bytes::len).sum::<usize>() as u64 != piece.size {
            return Err(DriverError::new(Reason::ShortObject, format!("record {path} is too short")));
        }
        Ok(pieces)
    }
}

/// The bytes behind the line, read back from the file.
fn small(content: &Content) -> Result<Option<Bytes>> {
    let Some((file, range)) = &content.file else { return Ok(None) };
    let read = longshore_driver_sdk::backend::blocking(|| crate::body::read(file, range.start, range.end));
    read.map(Some).map_err(|error| DriverError::io("read back what was received", error))
}

pub(super) fn folder(id: &UploadId) -> String {
    format!("{UPLOADS}{id}/")
}

/// A text right before a name: no other has all of its letters but the last.
fn before(name: &str) -> String {
    let mut text = name.to_owned();
    text.pop();
    text
}

#[async_trait]
impl SessionStorage for S3Sessions {
    type Hold = S3Hold;

    fn refuses_what_is_taken(&self) -> bool {
        let store = &self.0.store;
        store.guard_of_put() == Guard::IfAbsent && store.guard_of_complete() == Guard::IfAbsent
    }

    async fn create(&self, id: &UploadId, record: Record) -> Result<S3Hold> {
        let began = Instant::now();
        let exists = || DriverError::new(Reason::UploadExists, format!("upload {id} exists; resume it"));
        let (name, guard) = if self.refuses_what_is_taken() {
            (CREATED.to_owned(), Guard::IfAbsent)
        } else if self.0.known(id).is_some() {
            return Err(exists());
        } else {
            (name_of(&record.fence, 0, &nonce()?), Guard::None)
        };
        let state = State { record, parted: Parted { next: 1, ..Parted::default() }, committing: None };
        let created = self.0.try_record(id, &name, state, Content::default(), &guard).await;
        let known = created.map_err(|failure| match failure {
            Failure::Condition => exists(),
            other => other.into_error(&format!("PUT {}{name}", folder(id))),
        })?;
        S3Hold::new(&self.0, id, known, began)
    }

    async fn hold(&self, id: &UploadId, _wait: Duration) -> Result<S3Hold> {
        let began = Instant::now();
        S3Hold::new(&self.0, id, self.0.present(id).await?, began)
    }

    async fn read(&self, id: &UploadId) -> Result<Record> {
        Ok(self.0.present(id).await?.state.record.clone())
    }

    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        let after = match start_after {
            "" => String::new(),
            // Behind every record of that session.
            id => format!("{UPLOADS}{id}/\u{7f}"),
        };
        let page = self.0.bucket().list(UPLOADS, true, &after, limit).await?;
        let ids = page.entries.iter().filter_map(|entry| entry.name.strip_prefix(UPLOADS)?.strip_suffix('/'));
        Ok(ids.filter(|id| *id > start_after).filter_map(|id| UploadId::parse(id).ok()).collect())
    }

    async fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.0.store.found(key).await?.map(|found| listing::object(key, found)))
    }
}

#[cfg(test)]
mod tests {
    use longshore_driver_sdk::Fence;

    use super::*;

    #[test]
    fn just_before_a_name_lies_no_other_name_but_all_higher_ones_are_behind() {
        let fence = Fence { counter: 3, owner: "core".to_owned() };
        for number in [0, 1, 9, 10, 15, 16, 255, 4096] {
            let name = name_of(&fence, number, "00ff00ff");
            let text = before(&name);
            assert!(text < name, "{text} {name}");
            if number > 0 {
                assert!(text > name_of(&fence, number - 1, "ffffffff"), "{text}");
            }
        }
    }
}
