//! Where the bytes and records of upload sessions live. Owns the two traits that a place for them implements, and the
//! record itself.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::driver::{Fence, Object, Upload, UploadId, UploadState};
use crate::error::Result;
use crate::key::Key;

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

    /// Makes the `size` bytes written the object of the session's key, never over an existing one.
    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object>;

    /// Removes the session; the bytes with it, unless they are an object.
    async fn remove(self) -> Result<()>;
}
