//! A driver that keeps everything in its memory: the shortest worked example of one, and what tests run against. Owns
//! nothing durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::backend;
use crate::driver::{
    Capabilities, Condition, Description, Driver, Durability, Entry, Limits, ListQuery, MoveCost, Object,
    Page, ReadRange, Reading, UploadId, Uploads,
};
use crate::error::{DriverError, Result};
use crate::key::Key;
use crate::sessions::{SessionTable, Sessions};

#[derive(Default)]
struct Content {
    objects: BTreeMap<Key, (Object, Bytes)>,
    uploads: BTreeMap<String, Unfinished>,
    writes: u64,
}

#[derive(Default)]
struct Unfinished {
    record: Vec<u8>,
    bytes: BytesMut,
}

impl Content {
    fn object(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key).map(|(object, _)| object)
    }

    fn found(&self, key: &Key) -> Result<(Object, Bytes)> {
        self.objects.get(key).cloned().ok_or_else(|| DriverError::key_not_found(key))
    }

    fn insert(&mut self, key: &Key, content: Bytes) -> Object {
        self.writes += 1;
        let etag = Some(self.writes.to_string());
        let object =
            Object { key: key.clone(), size: content.len() as u64, etag, modified: Some(SystemTime::now()) };
        self.objects.insert(key.clone(), (object.clone(), content));
        object
    }

    /// The first object that does not sort before a text, which need be no key.
    fn next(&self, from: &str) -> Option<Object> {
        let behind = self.objects.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        behind.map(|(_, (object, _))| object.clone()).next()
    }
}

/// What is in memory; the one lock that every call goes through.
#[derive(Default)]
struct Store(Mutex<Content>);

impl Store {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store that is gone with its process.
pub struct MemoryDriver {
    sessions: Sessions<Arc<Store>>,
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self { sessions: Sessions::new(Arc::default(), Limits::default().upload_ttl) }
    }
}

impl MemoryDriver {
    /// One that wants its marks so far apart, as a driver does whose backend takes parts.
    pub fn with_marks_every(bytes: u64) -> Self {
        Self { sessions: Self::default().sessions.with_marks_every(bytes) }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.sessions.storage().content()
    }
}

#[async_trait]
impl Driver for MemoryDriver {
    fn description(&self) -> Description {
        let serial = Capabilities::serial(Durability::Process);
        let capabilities = Capabilities { move_cost: Some(MoveCost::Rename), ..serial };
        Description::new("memory.longshore", env!("CARGO_PKG_VERSION"), capabilities)
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.content().found(key).map(|(object, _)| object)
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let mut store = self.content();
        backend::check_condition(key, store.object(key), &condition)?;
        Ok(store.insert(key, content))
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        let mut store = self.content();
        backend::check_delete(key, store.object(key), if_match)?;
        Ok(store.objects.remove(key).is_some())
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let store = self.content();
        backend::list(query, |from| Ok(store.next(from)))
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        let (object, content) = self.content().found(key)?;
        backend::read_bytes(object, &content, &range)
    }

    async fn rename(&self, from: &Key, to: &Key) -> Result<Object> {
        let mut store = self.content();
        let (_, content) = store.found(from)?;
        backend::must_be_absent(to, store.object(to))?;
        store.objects.remove(from);
        Ok(store.insert(to, content))
    }

    fn uploads(&self) -> &dyn Uploads {
        &self.sessions
    }
}

impl SessionTable for Store {
    fn load(&self, id: &UploadId) -> Result<Option<Vec<u8>>> {
        Ok(self.content().uploads.get(id.as_str()).map(|upload| upload.record.clone()))
    }

    fn save(&self, id: &UploadId, record: &[u8]) -> Result<()> {
        self.content().uploads.entry(id.to_string()).or_default().record = record.to_vec();
        Ok(())
    }

    fn append(&self, id: &UploadId, offset: u64, bytes: Bytes) -> Result<()> {
        let mut store = self.content();
        let upload = store.uploads.get_mut(id.as_str()).ok_or_else(|| DriverError::upload_unknown(id))?;
        upload.bytes.truncate(offset as usize);
        upload.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    fn commit(&self, id: &UploadId, record: &[u8], key: &Key, size: u64) -> Result<Object> {
        let mut store = self.content();
        backend::must_be_absent(key, store.object(key))?;
        let upload = store.uploads.get_mut(id.as_str()).ok_or_else(|| DriverError::upload_unknown(id))?;
        let mut content = std::mem::take(&mut upload.bytes);
        content.truncate(size as usize);
        upload.record = record.to_vec();
        Ok(store.insert(key, content.freeze()))
    }

    fn remove(&self, id: &UploadId) -> Result<()> {
        self.content().uploads.remove(id.as_str());
        Ok(())
    }

    fn next(&self, start_after: &str) -> Result<Option<String>> {
        let behind = (Bound::Excluded(start_after), Bound::Unbounded);
        Ok(self.content().uploads.range::<str, _>(behind).next().map(|(id, _)| id.clone()))
    }

    fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.content().object(key).cloned())
    }
}
