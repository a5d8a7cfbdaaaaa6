//! A driver that writes down the storage calls of the rules, in the words of the model.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{
    Ack, Condition, Description, Driver, DriverError, Entry, Fence, Key, ListQuery, Object, OpenUpload, Page,
    Probe, ReadRange, Reading, Reason, Result, Upload, UploadId, UploadQuery, UploadStream,
};
use longshore_layout_model::StepKind;

#[derive(Clone, Default)]
pub(crate) struct Recorder {
    store: Arc<MemoryDriver>,
    calls: Arc<Mutex<Vec<StepKind>>>,
    holders_fail: Arc<AtomicBool>,
}

impl Recorder {
    /// What was called since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<StepKind> {
        std::mem::take(&mut self.calls())
    }

    /// From now on, or no longer, no holder can be written: a crash right behind a commit.
    pub(crate) fn fail_holders(&self, fail: bool) {
        self.holders_fail.store(fail, Ordering::SeqCst);
    }

    fn calls(&self) -> MutexGuard<'_, Vec<StepKind>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Option<StepKind>) {
        self.calls().extend(call);
    }
}

/// Which record of the layout a key is.
enum Record {
    Object,
    Holder,
    Condemned,
    Link,
    Manifest,
    Tag,
    Marker,
    Referrer,
    /// No step of the rules: the catalog, the store's own record.
    Other,
}

fn record(key: &str) -> Record {
    let within = |folder: &str| key.starts_with("repositories/") && key.contains(folder);
    match key {
        _ if key.starts_with("objects/") => Record::Object,
        _ if key.starts_with("blobs/") && key.ends_with(".condemned") => Record::Condemned,
        _ if key.starts_with("blobs/") => Record::Holder,
        _ if within("/_blobs/") => Record::Link,
        _ if within("/_manifests/") => Record::Manifest,
        _ if within("/_tags/") => Record::Tag,
        _ if within("/_tagged/") => Record::Marker,
        _ if within("/_referrers/") => Record::Referrer,
        _ => Record::Other,
    }
}

fn put(key: &Key) -> Option<StepKind> {
    match record(key.as_str()) {
        Record::Holder => Some(StepKind::PutHolder),
        Record::Condemned => Some(StepKind::PutCondemned),
        Record::Link => Some(StepKind::PutLink),
        Record::Manifest => Some(StepKind::PutManifest),
        Record::Tag => Some(StepKind::PutTag),
        Record::Marker => Some(StepKind::PutMarker),
        Record::Referrer => Some(StepKind::PutReferrer),
        Record::Object | Record::Other => None,
    }
}

/// Reading the body of a link or holder that was listed is part of the listing's step (see the model's notes).
fn read(key: &Key) -> Option<StepKind> {
    match record(key.as_str()) {
        Record::Object => Some(StepKind::StatObject),
        Record::Condemned => Some(StepKind::GetCondemned),
        Record::Manifest => Some(StepKind::GetManifest),
        Record::Tag => Some(StepKind::GetTag),
        Record::Holder | Record::Link | Record::Marker | Record::Referrer | Record::Other => None,
    }
}

fn delete(key: &Key) -> Option<StepKind> {
    match record(key.as_str()) {
        Record::Object => Some(StepKind::DeleteObject),
        Record::Holder => Some(StepKind::DeleteHolder),
        Record::Condemned => Some(StepKind::DeleteCondemned),
        Record::Link => Some(StepKind::DeleteLink),
        Record::Manifest => Some(StepKind::DeleteManifest),
        Record::Tag => Some(StepKind::DeleteTag),
        Record::Marker => Some(StepKind::DeleteMarker),
        Record::Referrer | Record::Other => None,
    }
}

fn listing(prefix: &str) -> Option<StepKind> {
    match record(prefix) {
        Record::Holder => Some(StepKind::ListHolders),
        Record::Link => Some(StepKind::ListLinks),
        Record::Marker => Some(StepKind::ListMarkers),
        _ => None,
    }
}

#[async_trait]
impl Driver for Recorder {
    fn description(&self) -> Description {
        self.store.description()
    }

    async fn probe(&self) -> Result<Probe> {
        self.store.probe().await
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.note(read(key));
        self.store.stat(key).await
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        self.note(read(key));
        self.store.get(key).await
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let call = put(key);
        if call == Some(StepKind::PutHolder) && self.holders_fail.load(Ordering::SeqCst) {
            return Err(DriverError::new(Reason::IoError, "the test wants it so"));
        }
        self.note(call);
        self.store.put(key, content, condition).await
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        self.note(delete(key));
        self.store.delete(key, if_match).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        self.note(listing(query.prefix.as_str()));
        self.store.list(query).await
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        self.store.read(key, range).await
    }

    fn uploads(&self) -> &dyn longshore_driver_sdk::Uploads {
        self
    }
}

/// Named in full: with both traits at hand, `get` and `list` would have two meanings.
#[async_trait]
impl longshore_driver_sdk::Uploads for Recorder {
    async fn open(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        let (upload, stream) = self.store.open_upload(open).await?;
        Ok((upload, Box::new(RecordedUpload { stream, recorder: self.clone() })))
    }

    async fn get(&self, id: &UploadId) -> Result<Upload> {
        self.store.get_upload(id).await
    }

    async fn list(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        self.store.list_uploads(query).await
    }

    async fn end(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        self.note(Some(StepKind::ForgetUpload));
        self.store.end_upload(id, fence).await
    }

    async fn drain(&self, grace: Duration) -> Result<u32> {
        self.store.drain(grace).await
    }
}

struct RecordedUpload {
    stream: Box<dyn UploadStream>,
    recorder: Recorder,
}

#[async_trait]
impl UploadStream for RecordedUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.stream.write(data).await
    }

    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack> {
        self.stream.mark(bookmark, flush).await
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload> {
        self.recorder.note(Some(StepKind::CommitUpload));
        self.stream.commit(size, bookmark).await
    }
}
