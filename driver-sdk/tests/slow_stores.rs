//! A driver whose store takes its time: the core waits as long as bytes go on, longer than that for a store that has
//! them and thinks it over, and no longer (contract clauses D2, U22).
#![expect(clippy::unwrap_used, reason = "all of it is a test; clippy takes only #[test] functions for that")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::{Endpoint, Listener, TrustedPeer};
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{
    Ack, Condition, Description, Driver, Entry, Fence, Key, ListQuery, Moved, Object, OpenMode, OpenUpload,
    Page, ReadRange, Reading, Reason, Result, Upload, UploadId, UploadQuery, UploadStream, Uploads,
    async_trait, server,
};

/// What the core waits for a sign of life: longer than the SDK lets pass between two.
const PATIENCE: Duration = Duration::from_secs(4);
/// What the store takes for each step.
const SLOW: Duration = Duration::from_secs(9);
/// What the core waits for a store that stands still, where that is longer.
const LONG: Duration = Duration::from_secs(30);
/// How often a store that moves takes another byte.
const STEP: Duration = Duration::from_millis(200);

/// The call that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Flush,
    Commit,
}

/// A memory driver whose uploads take their time in one call.
struct SlowStore {
    store: MemoryDriver,
    slow: Call,
    moves: bool,
}

struct SlowStream {
    stream: Box<dyn UploadStream>,
    slow: Call,
    moves: bool,
    moved: Moved,
}

impl SlowStream {
    fn pass(&self, call: Call) -> impl Future<Output = ()> + Send + use<> {
        let (is_slow, moves, moved) = (call == self.slow, self.moves, self.moved.clone());
        async move {
            let steps = if is_slow { SLOW.div_duration_f32(STEP) as u32 } else { 0 };
            for _ in 0..steps {
                tokio::time::sleep(STEP).await;
                moved.add(u64::from(moves));
            }
        }
    }
}

#[async_trait]
impl UploadStream for SlowStream {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.pass(Call::Write).await;
        self.stream.write(data).await
    }
    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack> {
        self.pass(Call::Flush).await;
        self.stream.mark(bookmark, flush).await
    }
    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload> {
        self.pass(Call::Commit).await;
        self.stream.commit(size, bookmark).await
    }
    fn moved(&self) -> Moved {
        self.moved.clone()
    }
}

#[async_trait]
impl Driver for SlowStore {
    fn description(&self) -> Description {
        self.store.description()
    }
    async fn stat(&self, key: &Key) -> Result<Object> {
        self.store.stat(key).await
    }
    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        self.store.put(key, content, condition).await
    }
    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        self.store.delete(key, if_match).await
    }
    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        self.store.list(query).await
    }
    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        self.store.read(key, range).await
    }
    fn uploads(&self) -> &dyn Uploads {
        self
    }
}

#[async_trait]
impl Uploads for SlowStore {
    async fn open(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        let (upload, stream) = self.store.uploads().open(open).await?;
        let (slow, moves, moved) = (self.slow, self.moves, Moved::default());
        Ok((upload, Box::new(SlowStream { stream, slow, moves, moved })))
    }
    async fn get(&self, id: &UploadId) -> Result<Upload> {
        self.store.uploads().get(id).await
    }
    async fn list(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        self.store.uploads().list(query).await
    }
    async fn end(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        self.store.uploads().end(id, fence).await
    }
    async fn drain(&self, grace: Duration) -> Result<u32> {
        self.store.uploads().drain(grace).await
    }
    async fn expire(&self, now: SystemTime) -> Result<usize> {
        self.store.uploads().expire(now).await
    }
}

/// An upload through a core that waits for so long for a store that stands still. Its end is the outcome.
async fn pushed(slow: Call, moves: bool, patience: Duration) -> Result<Upload> {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), TrustedPeer::default()).unwrap();
    let endpoint: Endpoint = listener.endpoint().unwrap();
    let store: Arc<dyn Driver> = Arc::new(SlowStore { store: MemoryDriver::default(), slow, moves });
    let server = tokio::spawn(server::serve(store, listener, std::future::pending::<()>(), Duration::ZERO));
    let deadlines = Deadlines { stall: PATIENCE, commit: patience, ..Deadlines::default() };
    let driver = RemoteDriver::new(Remote {
        endpoint,
        trusted: TrustedPeer::default(),
        store_id: None,
        deadlines,
        core_instance: "test".to_owned(),
    });
    let outcome = push(&driver).await;
    server.abort();
    outcome
}

async fn push(driver: &RemoteDriver) -> Result<Upload> {
    let mode = OpenMode::Create {
        key: Key::parse("a").unwrap(),
        size_hint: None,
        bookmark: Bytes::from_static(b"start"),
    };
    let (id, fence) = (UploadId::random().unwrap(), Fence { counter: 1, owner: "a".to_owned() });
    let (_, mut stream) = driver.open_upload(OpenUpload { id: id.clone(), fence, mode }).await?;
    let piece = Bytes::from(vec![7; 256 * 1024]);
    stream.write(piece.clone()).await?;
    // Even nothing new is made durable only by the driver's answer.
    stream.mark(Bytes::from_static(b"all"), true).await?;
    let ack = stream.mark(Bytes::from_static(b"again"), true).await?;
    assert_eq!((ack.received, ack.durable), (piece.len() as u64, piece.len() as u64));
    assert_eq!(driver.uploads().get(&id).await?.bookmark.as_ref(), b"again");
    stream.commit(piece.len() as u64, Bytes::from_static(b"end")).await
}

/// Each call, over a store that takes its time in it.
async fn each(moves: bool, patience: Duration) -> [Result<Upload>; 3] {
    let pushed = |slow| pushed(slow, moves, patience);
    tokio::join!(pushed(Call::Write), pushed(Call::Flush), pushed(Call::Commit)).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_bytes_slowly_is_waited_for() {
    for outcome in each(true, PATIENCE).await {
        assert_eq!(outcome.unwrap().durable, 256 * 1024);
    }
}

/// As one does that syncs what it was given, before it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_thinks_over_what_it_took_is_waited_for() {
    for outcome in each(false, LONG).await {
        assert_eq!(outcome.unwrap().durable, 256 * 1024);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_is_given_up() {
    for outcome in each(false, PATIENCE).await {
        let error = outcome.unwrap_err();
        assert_eq!(error.reason(), Reason::Timeout);
        assert!(error.message().contains("backend"), "{error}");
    }
}
