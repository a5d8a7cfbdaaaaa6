//! Sessions in a store that a single process has for itself: a database, memory. Owns what such a store need not know of
//! sessions: who holds one, and when bytes count. What is left for it are rows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::storage::{Record, SessionHold, SessionStorage};
use crate::backend::blocking;
use crate::driver::{Fence, Object, UploadId, UploadState};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;

/// Where the rows are. Every method may block, and everything it did is durable when it returns (contract clause O9).
pub trait SessionTable: Send + Sync + 'static {
    /// The record of a session, as it was saved; `None`: the store states that there is none.
    ///
    /// # Errors
    /// When that can't be found out.
    fn load(&self, id: &UploadId) -> Result<Option<Vec<u8>>>;

    /// Saves the record of a session, a new one's too.
    ///
    /// # Errors
    /// When it can't.
    fn save(&self, id: &UploadId, record: &[u8]) -> Result<()>;

    /// Adds bytes at an offset. What lies there or behind it was never marked: it is forgotten first.
    ///
    /// # Errors
    /// When it can't.
    fn append(&self, id: &UploadId, offset: u64, bytes: Bytes) -> Result<()>;

    /// In one step, makes a session's first `size` bytes the object at a key, and saves the record.
    ///
    /// # Errors
    /// [`crate::Reason::KeyExists`] if the key has an object; then nothing changed.
    fn commit(&self, id: &UploadId, record: &[u8], key: &Key, size: u64) -> Result<Object>;

    /// Removes a session, and its bytes unless they are an object.
    ///
    /// # Errors
    /// When it can't.
    fn remove(&self, id: &UploadId) -> Result<()>;

    /// The first id of a session that sorts behind a text.
    ///
    /// # Errors
    /// When that can't be found out.
    fn next(&self, start_after: &str) -> Result<Option<String>>;

    /// The object at a key; `None`: the store states that there is none.
    ///
    /// # Errors
    /// When that can't be found out.
    fn object_at(&self, key: &Key) -> Result<Option<Object>>;
}

/// A session of a [`SessionTable`], held. One process, so the fences of [`super::Sessions`] are hold enough.
pub struct TableHold<T> {
    table: Arc<T>,
    id: UploadId,
    record: Record,
}

impl<T: SessionTable> TableHold<T> {
    fn new(table: &Arc<T>, id: &UploadId, record: Record) -> Self {
        Self { table: Arc::clone(table), id: id.clone(), record }
    }

    /// The record counts only once it was written.
    fn save(&mut self, record: Record) -> Result<()> {
        blocking(|| self.table.save(&self.id, &record.encode()))?;
        self.record = record;
        Ok(())
    }
}

fn load(table: &impl SessionTable, id: &UploadId) -> Result<Record> {
    let text = table.load(id)?.ok_or_else(|| DriverError::upload_unknown(id))?;
    let mut record = Record::decode(&text)?;
    if record.state == UploadState::Committed {
        let object = table.object_at(&record.key)?;
        record.object = object.filter(|object| object.size == record.durable);
    }
    Ok(record)
}

#[async_trait]
impl<T: SessionTable> SessionStorage for Arc<T> {
    type Hold = TableHold<T>;

    async fn create(&self, id: &UploadId, record: Record) -> Result<Self::Hold> {
        blocking(|| match self.load(id)? {
            Some(_) => Err(DriverError::new(Reason::UploadExists, format!("upload {id} exists; resume it"))),
            None => self.save(id, &record.encode()),
        })?;
        Ok(TableHold::new(self, id, record))
    }

    async fn hold(&self, id: &UploadId, _wait: Duration) -> Result<Self::Hold> {
        blocking(|| load(&**self, id)).map(|record| TableHold::new(self, id, record))
    }

    async fn read(&self, id: &UploadId) -> Result<Record> {
        blocking(|| load(&**self, id))
    }

    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        blocking(|| {
            let mut ids: Vec<UploadId> = Vec::new();
            while ids.len() < limit {
                let after = ids.last().map_or(start_after, UploadId::as_str);
                let Some(next) = self.next(after)? else { break };
                ids.push(UploadId::parse(&next)?);
            }
            Ok(ids)
        })
    }

    async fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        blocking(|| T::object_at(self, key))
    }
}

#[async_trait]
impl<T: SessionTable> SessionHold for TableHold<T> {
    fn record(&self) -> &Record {
        &self.record
    }

    async fn take_over(&mut self, fence: Fence) -> Result<()> {
        self.save(Record { fence, ..self.record.touched() })
    }

    async fn write(&mut self, offset: u64, pieces: Vec<Bytes>) -> Result<()> {
        let bytes = match &pieces[..] {
            [piece] => piece.clone(),
            _ => pieces.concat().into(),
        };
        blocking(|| self.table.append(&self.id, offset, bytes))
    }

    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.save(Record { durable, bookmark, ..self.record.touched() })
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        let state = UploadState::Committed;
        let record = Record { state, durable: size, bookmark, ..self.record.touched() };
        let object = blocking(|| self.table.commit(&self.id, &record.encode(), &record.key, size))?;
        self.record = Record { object: Some(object.clone()), ..record };
        Ok(object)
    }

    async fn remove(self) -> Result<()> {
        blocking(|| self.table.remove(&self.id))
    }
}
