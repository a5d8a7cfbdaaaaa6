//! The records of sessions, and the few of them that are kept in memory: those that this process wrote or read. Written once,
//! they never change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::content::{self, Content};
use super::record::{Part, Piece, State, UPLOADS};
use crate::backend::blocking;
use crate::driver::{ByteStream, UploadId};
use crate::error::{DriverError, Reason, Result};
use crate::moved::Moved;

/// Records that are kept in memory at most, to save the reading of what this process wrote itself.
const REMEMBERED: usize = 1024;
/// One with more parts is read again each time: memory is not for terabytes.
const LONG: usize = 500;
/// Bytes of a record that are kept with it.
const SMALL: u64 = 64 * 1024;

/// Where records lie.
#[async_trait]
pub trait Medium: Send + Sync + 'static {
    /// All names in a folder that sort behind a text, in their order.
    async fn names(&self, folder: &str, behind: &str) -> Result<Vec<String>>;

    /// Bytes of an object, from an offset; `None`: there is no such object.
    async fn get(&self, path: &str, offset: u64, length: Option<u64>) -> Result<Option<ByteStream>>;

    /// Writes an object; with `only_new`, where the store can, only if there is none: [`Reason::KeyExists`].
    async fn put(&self, path: &str, content: Content, only_new: bool) -> Result<()>;
}

/// A record that was written or read.
#[derive(Clone)]
pub struct Known<P> {
    pub name: String,
    pub state: Arc<State<P>>,
    /// This process wrote it, and so knows which parts were sent behind it.
    pub is_own: bool,
    /// The record's own bytes, if they are few.
    pub own: Option<Bytes>,
    /// No record says that a commit began, and yet there may be an object by now.
    pub in_doubt: bool,
}

/// The records of one store.
pub struct Ledger<M, P> {
    medium: Arc<M>,
    known: Mutex<HashMap<UploadId, Known<P>>>,
}

impl<M: Medium, P: Part> Ledger<M, P> {
    pub fn new(medium: Arc<M>) -> Self {
        Self { medium, known: Mutex::default() }
    }

    pub fn medium(&self) -> &Arc<M> {
        &self.medium
    }

    /// The highest record that this process knows of.
    pub fn known(&self, id: &UploadId) -> Option<Known<P>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub fn remember(&self, id: &UploadId, known: Known<P>) {
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

    pub fn forget(&self, id: &UploadId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// From now on the object may be there, whatever becomes of the request that makes it.
    pub fn doubt(&self, id: &UploadId, known: &Known<P>) {
        self.remember(id, Known { in_doubt: true, ..known.clone() });
    }

    /// The names of all records that sort behind a text, in their order.
    ///
    /// # Errors
    /// Those of the medium.
    pub async fn names(&self, id: &UploadId, behind: &str) -> Result<Vec<String>> {
        self.medium.names(&folder(id), behind).await
    }

    /// The record of a name.
    ///
    /// # Errors
    /// [`Reason::UploadUnknown`]: it is not there. [`Reason::ChecksumMismatch`]: it is damaged.
    pub async fn read(&self, id: &UploadId, name: &str) -> Result<Known<P>> {
        let state = self.read_state(id, name).await?.ok_or_else(|| DriverError::upload_unknown(id))?;
        let known =
            Known { name: name.to_owned(), state: Arc::new(state), is_own: false, own: None, in_doubt: true };
        self.remember(id, known.clone());
        Ok(known)
    }

    /// What the record of a name says.
    ///
    /// # Errors
    /// [`Reason::ChecksumMismatch`] of a damaged one.
    pub async fn read_state(&self, id: &UploadId, name: &str) -> Result<Option<State<P>>> {
        let path = format!("{}{name}", folder(id));
        let Some(mut body) = self.medium.get(&path, 0, None).await? else { return Ok(None) };
        let mut text = BytesMut::new();
        loop {
            if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                return State::decode(id, name, &text[..end]).map(Some);
            }
            match body.next().await {
                Some(piece) => text.extend_from_slice(&piece?),
                None => {
                    let message = format!("record {path} is damaged (it has no line); end the upload");
                    return Err(DriverError::new(Reason::ChecksumMismatch, message));
                }
            }
        }
    }

    /// Writes a record once, with bytes of its own behind its line, and remembers it.
    ///
    /// # Errors
    /// Those of the medium.
    pub async fn write(&self, id: &UploadId, name: &str, state: State<P>, own: Content) -> Result<Known<P>> {
        self.write_as(id, name, name, state, own, false).await
    }

    /// The first record of a session, under a name of its own or of its writer's.
    ///
    /// # Errors
    /// [`Reason::KeyExists`] where the store looks for one, and finds it.
    pub async fn create(&self, id: &UploadId, path: &str, name: &str, state: State<P>) -> Result<Known<P>> {
        self.write_as(id, path, name, state, Content::default(), true).await
    }

    async fn write_as(
        &self,
        id: &UploadId,
        at: &str,
        name: &str,
        mut state: State<P>,
        own: Content,
        only_new: bool,
    ) -> Result<Known<P>> {
        let size = own.len();
        let line = state.encode(size)?;
        let behind_line = line.len() as u64;
        let content = Content { head: line, sum: None, ..own };
        let kept = if size <= SMALL { small(&content)? } else { None };
        self.medium.put(&format!("{}{at}", folder(id)), content, only_new).await?;
        if size > 0 {
            state.has_own(Piece { record: name.to_owned(), at: behind_line, size });
        }
        let state = Arc::new(state);
        let known = Known { name: name.to_owned(), state, is_own: true, own: kept, in_doubt: false };
        self.remember(id, known.clone());
        Ok(known)
    }

    /// The bytes of a piece.
    ///
    /// # Errors
    /// [`Reason::ShortObject`]: they are not all there.
    pub async fn read_piece(&self, id: &UploadId, piece: &Piece, moved: &Moved) -> Result<Vec<Bytes>> {
        if let Some(known) = self.known(id)
            && known.name == piece.record
            && let Some(own) = known.own
        {
            return Ok(vec![own]);
        }
        let path = format!("{}{}", folder(id), piece.record);
        let short = || DriverError::new(Reason::ShortObject, format!("record {path} is too short"));
        let body = self.medium.get(&path, piece.at, Some(piece.size)).await?.ok_or_else(short)?;
        let pieces: Vec<Bytes> = body.inspect_ok(|piece| moved.add(piece.len() as u64)).try_collect().await?;
        if pieces.iter().map(Bytes::len).sum::<usize>() as u64 != piece.size {
            return Err(short());
        }
        Ok(pieces)
    }
}

/// The bytes behind the line, read back from the file.
fn small(content: &Content) -> Result<Option<Bytes>> {
    let Some((file, range)) = &content.file else { return Ok(None) };
    let read = blocking(|| content::read(file, range.start, range.end));
    read.map(Some).map_err(|error| DriverError::io("read back what was received", error))
}

/// Where the records of a session are.
pub fn folder(id: &UploadId) -> String {
    format!("{UPLOADS}{id}/")
}

/// A text right before a record's name: no other has all of its letters but the last.
pub fn before(name: &str) -> String {
    let mut text = name.to_owned();
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::super::record::name_of;
    use super::*;
    use crate::driver::Fence;

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
