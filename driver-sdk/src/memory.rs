//! A driver that keeps everything in its memory: the shortest worked example of one, and what tests run against. Owns
//! nothing durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::driver::{
    Capabilities, Condition, Description, Driver, Durability, Entry, Fence, Limits, ListQuery, MoveCost,
    Object, OpenUpload, Page, Probe, ReadRange, Reading, Upload, UploadId, UploadQuery, UploadState,
    UploadStream,
};
use crate::error::{Detail, DriverError, Reason, Result};
use crate::key::Key;
use crate::sessions::{Record, SessionHold, SessionStorage, Sessions};

#[derive(Default)]
struct Store {
    objects: BTreeMap<Key, (Object, Bytes)>,
    uploads: BTreeMap<UploadId, (Record, BytesMut)>,
    writes: u64,
}

type Shared = Arc<Mutex<Store>>;

fn locked(store: &Shared) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    fn object(&self, key: &Key) -> Result<&(Object, Bytes)> {
        self.objects.get(key).ok_or_else(|| DriverError::key_not_found(key))
    }

    fn insert(&mut self, key: &Key, content: Bytes) -> Object {
        self.writes += 1;
        let etag = Some(self.writes.to_string());
        let object =
            Object { key: key.clone(), size: content.len() as u64, etag, modified: Some(SystemTime::now()) };
        self.objects.insert(key.clone(), (object.clone(), content));
        object
    }

    fn must_be_absent(&self, key: &Key) -> Result<()> {
        if !self.objects.contains_key(key) {
            return Ok(());
        }
        Err(DriverError::new(Reason::KeyExists, format!("there is an object at key {key} already")))
    }

    fn must_match(&self, key: &Key, etag: &str) -> Result<()> {
        let found = self.objects.get(key).and_then(|(object, _)| object.etag.as_deref());
        if found == Some(etag) {
            return Ok(());
        }
        let message = format!("the object at key {key} has etag {found:?}, not {etag:?}");
        Err(DriverError::new(Reason::PreconditionFailed, message))
    }

    fn list(&self, query: &ListQuery) -> Page<Entry> {
        let prefix = query.prefix.as_str();
        let mut page = Page { entries: Vec::new(), more: false };
        for (key, (object, _)) in &self.objects {
            let Some(rest) = key.as_str().strip_prefix(prefix).filter(|_| !key.is_store_id()) else {
                continue;
            };
            let entry = match rest.split_once('/').filter(|_| !query.recursive) {
                Some((folder, _)) => Entry::CommonPrefix(format!("{prefix}{folder}/")),
                None => Entry::Object(object.clone()),
            };
            if entry.name() <= query.start_after.as_str() || page.entries.last() == Some(&entry) {
                continue;
            }
            if page.entries.len() == query.limit {
                page.more = true;
                break;
            }
            page.entries.push(entry);
        }
        page
    }
}

/// A store that is gone with its process.
pub struct MemoryDriver {
    store: Shared,
    sessions: Sessions<MemorySessions>,
    mark_every: Option<u64>,
}

impl Default for MemoryDriver {
    fn default() -> Self {
        let store = Shared::default();
        let sessions = Sessions::new(MemorySessions(Arc::clone(&store)), Limits::default().upload_ttl);
        Self { store, sessions, mark_every: None }
    }
}

impl MemoryDriver {
    /// One that wants its marks so far apart, as a driver does whose backend takes parts.
    pub fn with_marks_every(bytes: u64) -> Self {
        Self { mark_every: Some(bytes), ..Self::default() }
    }
}

#[async_trait]
impl Driver for MemoryDriver {
    fn description(&self) -> Description {
        Description {
            name: "memory.longshore".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: Capabilities {
                durability: Durability::Process,
                range_read: true,
                put_if_absent: true,
                put_if_match: true,
                delete_if_match: true,
                list_is_current: true,
                move_cost: Some(MoveCost::Rename),
                ..Capabilities::default()
            },
            limits: Limits::default(),
        }
    }

    async fn probe(&self) -> Result<Probe> {
        Ok(Probe::ready(None))
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        locked(&self.store).object(key).map(|(object, _)| object.clone())
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        let found = locked(&self.store).object(key)?.clone();
        if found.0.size <= u64::from(Limits::default().max_inline) {
            return Ok(found);
        }
        let message = format!("the object at key {key} has {} bytes: too many for one message", found.0.size);
        Err(DriverError::new(Reason::TooLarge, message))
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let mut store = locked(&self.store);
        match condition {
            Condition::Always => {}
            Condition::IfAbsent => store.must_be_absent(key)?,
            Condition::IfMatch(etag) => store.must_match(key, &etag)?,
        }
        Ok(store.insert(key, content))
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        let mut store = locked(&self.store);
        if let Some(etag) = if_match.filter(|_| store.objects.contains_key(key)) {
            store.must_match(key, etag)?;
        }
        Ok(store.objects.remove(key).is_some())
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        Ok(locked(&self.store).list(query))
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        let store = locked(&self.store);
        if let Some(etag) = &range.if_match {
            store.object(key)?;
            store.must_match(key, etag)?;
        }
        let (object, content) = store.object(key)?.clone();
        if range.offset > object.size {
            let message = format!("offset {} lies behind the end of {key}", range.offset);
            return Err(
                DriverError::new(Reason::OffsetPastEnd, message).with_detail(Detail::Size(object.size))
            );
        }
        let wanted = (object.size - range.offset).min(range.length.unwrap_or(u64::MAX));
        // Both are within the content, whose length is a usize.
        let (start, length) = (range.offset as usize, wanted as usize);
        let content = content.slice(start..start + length);
        let piece = Limits::default().max_chunk as usize;
        let pieces =
            (0..length).step_by(piece).map(move |at| Ok(content.slice(at..(at + piece).min(length))));
        Ok(Reading { object, bytes: Box::pin(futures_util::stream::iter(pieces)) })
    }

    async fn rename(&self, from: &Key, to: &Key) -> Result<Object> {
        let mut store = locked(&self.store);
        let content = store.object(from)?.1.clone();
        store.must_be_absent(to)?;
        store.objects.remove(from);
        Ok(store.insert(to, content))
    }

    async fn open_upload(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        let (upload, stream) = self.sessions.open_upload(open).await?;
        Ok((Upload { mark_every: self.mark_every, ..upload }, stream))
    }

    async fn get_upload(&self, id: &UploadId) -> Result<Upload> {
        let upload = self.sessions.get_upload(id).await?;
        Ok(Upload { mark_every: self.mark_every, ..upload })
    }

    async fn list_uploads(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        self.sessions.list_uploads(query).await
    }

    async fn end_upload(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        self.sessions.end_upload(id, fence).await
    }

    async fn drain(&self, grace: Duration) -> Result<u32> {
        Ok(self.sessions.drain(grace).await)
    }
}

/// Sessions beside the objects. One process, so the fences of [`Sessions`] are hold enough.
struct MemorySessions(Shared);

struct MemoryHold {
    store: Shared,
    id: UploadId,
    record: Record,
}

#[async_trait]
impl SessionStorage for MemorySessions {
    type Hold = MemoryHold;

    async fn create(&self, id: &UploadId, record: Record) -> Result<MemoryHold> {
        let bytes = BytesMut::new();
        locked(&self.0).uploads.insert(id.clone(), (record.clone(), bytes));
        Ok(MemoryHold { store: Arc::clone(&self.0), id: id.clone(), record })
    }

    async fn hold(&self, id: &UploadId, _wait: Duration) -> Result<MemoryHold> {
        let record = self.read(id).await?;
        Ok(MemoryHold { store: Arc::clone(&self.0), id: id.clone(), record })
    }

    async fn read(&self, id: &UploadId) -> Result<Record> {
        let found = locked(&self.0).uploads.get(id).map(|(record, _)| record.clone());
        found.ok_or_else(|| DriverError::upload_unknown(id))
    }

    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        let store = locked(&self.0);
        let after = UploadId::parse(start_after).map_or(Bound::Unbounded, Bound::Excluded);
        Ok(store.uploads.range((after, Bound::Unbounded)).take(limit).map(|(id, _)| id.clone()).collect())
    }

    async fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        Ok(locked(&self.0).objects.get(key).map(|(object, _)| object.clone()))
    }
}

impl MemoryHold {
    fn change<T>(&mut self, change: impl FnOnce(&mut Record, &mut BytesMut) -> T) -> Result<T> {
        let mut store = locked(&self.store);
        let (record, bytes) =
            store.uploads.get_mut(&self.id).ok_or_else(|| DriverError::upload_unknown(&self.id))?;
        record.updated = SystemTime::now();
        let outcome = change(record, bytes);
        self.record = record.clone();
        Ok(outcome)
    }
}

#[async_trait]
impl SessionHold for MemoryHold {
    fn record(&self) -> &Record {
        &self.record
    }

    async fn take_over(&mut self, fence: Fence) -> Result<()> {
        self.change(|record, bytes| {
            record.fence = fence;
            bytes.truncate(record.durable as usize);
        })
    }

    async fn write(&mut self, _offset: u64, pieces: Vec<Bytes>) -> Result<()> {
        self.change(|_, bytes| pieces.iter().for_each(|piece| bytes.extend_from_slice(piece)))
    }

    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.change(|record, _| (record.durable, record.bookmark) = (durable, bookmark))
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        self.mark(size, bookmark).await?;
        let mut store = locked(&self.store);
        store.must_be_absent(&self.record.key)?;
        let upload = store.uploads.get_mut(&self.id).ok_or_else(|| DriverError::upload_unknown(&self.id))?;
        let content = std::mem::take(&mut upload.1).freeze();
        let object = store.insert(&self.record.key, content);
        self.record.state = UploadState::Committed;
        self.record.object = Some(object.clone());
        store.uploads.insert(self.id.clone(), (self.record.clone(), BytesMut::new()));
        Ok(object)
    }

    async fn remove(self) -> Result<()> {
        locked(&self.store).uploads.remove(&self.id);
        Ok(())
    }
}
