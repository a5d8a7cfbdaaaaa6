//! Where the bytes and records of upload sessions live. Owns the two traits that a place for them implements, and the
//! record itself.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use super::journal::{Line, Phase};
use crate::driver::{Fence, Object, Upload, UploadId, UploadState};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;
use crate::moved::Moved;

/// What is durably known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub state: UploadState,
    /// The final key; fixed for the session's life.
    pub key: Key,
    pub fence: Fence,
    /// Offset of the last durable mark.
    pub durable: u64,
    /// The core's, of that mark.
    pub bookmark: Bytes,
    pub updated: SystemTime,
    /// When committed, and as long as the object is there.
    pub object: Option<Object>,
}

impl Record {
    /// The record as a text to keep: one line, with a checksum. The object is not in it: its key has it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let phase = match self.state {
            UploadState::Open => Phase::Open,
            UploadState::Committed => Phase::Committed,
        };
        Line::of(phase, self.key.as_str(), &self.fence, self.durable, &self.bookmark, self.updated).encode()
    }

    /// The record that [`Record::encode`] wrote, without its object.
    pub(super) fn decode(text: &[u8]) -> Result<Self> {
        let damaged = || DriverError::new(Reason::ChecksumMismatch, "the record of an upload is damaged");
        let line = text.strip_suffix(b"\n").and_then(Line::decode).ok_or_else(damaged)?;
        let bookmark = Bytes::from(line.bookmark().ok_or_else(damaged)?);
        let key = Key::parse(&line.key).map_err(|_| damaged())?;
        let state = match line.state {
            Phase::Open | Phase::Committing => UploadState::Open,
            Phase::Committed => UploadState::Committed,
        };
        let (durable, updated) = (line.durable, line.updated());
        Ok(Self { state, key, fence: line.fence, durable, bookmark, updated, object: None })
    }

    /// The same, as of now.
    pub(super) fn touched(&self) -> Self {
        Self { updated: SystemTime::now(), ..self.clone() }
    }

    /// The record as the contract shows it.
    pub fn to_upload(&self, id: &UploadId) -> Upload {
        Upload {
            id: id.clone(),
            state: self.state,
            key: self.key.clone(),
            durable: self.durable,
            bookmark: self.bookmark.clone(),
            fence: self.fence.clone(),
            mark_every: None,
            updated: self.updated,
            object: self.object.clone(),
        }
    }
}

/// A place for sessions.
#[async_trait]
pub trait SessionStorage: Send + Sync + 'static {
    type Hold: SessionHold;

    /// Whether `create` refuses an id that is taken, and a commit a key that is, each by itself and against all other
    /// instances: then nobody needs to look before.
    fn refuses_what_is_taken(&self) -> bool {
        false
    }

    /// Makes a session, durably, and holds it. [`crate::error::Reason::UploadExists`] if the id is taken.
    async fn create(&self, id: &UploadId, record: Record) -> Result<Self::Hold>;

    /// Takes exclusive hold of a session, also against other processes on the same store.
    /// [`crate::error::Reason::UploadUnknown`] if there is none, [`crate::error::Reason::Conflict`] if somebody else
    /// still has it after `wait`.
    async fn hold(&self, id: &UploadId, wait: Duration) -> Result<Self::Hold>;

    /// A session's durable record, whoever holds it.
    async fn read(&self, id: &UploadId) -> Result<Record>;

    /// Up to `limit` ids that sort behind `start_after`, in their order.
    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>>;

    /// The object at a key.
    async fn object_at(&self, key: &Key) -> Result<Option<Object>>;

    /// Removes what crashes left behind.
    async fn sweep(&self, _now: SystemTime) -> Result<()> {
        Ok(())
    }
}

/// The exclusive hold of one session. Dropping it lets go.
#[async_trait]
pub trait SessionHold: Send + 'static {
    /// The record as it is durably.
    fn record(&self) -> &Record;

    /// Makes `fence` the session's, and forgets every byte behind the durable mark.
    async fn take_over(&mut self, fence: Fence) -> Result<()>;

    /// Writes bytes at an offset.
    async fn write(&mut self, offset: u64, pieces: Vec<Bytes>) -> Result<()>;

    /// Makes all bytes up to `durable`, and the mark with them, durable.
    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()>;

    /// Takes a mark that nobody waits for: it, or a later one, is to be durable as soon as that holds nobody up.
    async fn mark_soon(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.mark(durable, bookmark).await
    }

    /// What of its bytes went on to the store: as long as that grows, and 60 s beyond, the core waits (U22, D2).
    fn moved(&self) -> Moved {
        Moved::default()
    }

    /// Makes the `size` bytes written the object of the session's key, never over an existing one.
    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object>;

    /// Removes the session; the bytes with it, unless they are an object.
    async fn remove(self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_kept_and_a_changed_byte_is_noticed() {
        for state in [UploadState::Open, UploadState::Committed] {
            let record = Record {
                state,
                key: Key::parse("a/b").unwrap(),
                fence: Fence { counter: u64::MAX, owner: "core".to_owned() },
                durable: 1 << 40,
                bookmark: Bytes::from_static(&[0, 255, 10]),
                updated: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
                object: None,
            };
            let mut text = record.encode();
            assert_eq!(Record::decode(&text).unwrap(), record);
            text[20] ^= 1;
            assert_eq!(Record::decode(&text).unwrap_err().reason(), Reason::ChecksumMismatch);
        }
    }
}
