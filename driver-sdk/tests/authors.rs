//! What the SDK does for a driver that its author need not think of: an idle writer hears of its eviction, pages fit into
//! a message, and `get` and `probe` come with the rest.
#![expect(clippy::unwrap_used, reason = "all of it is a test; clippy takes only #[test] functions for that")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::storage_service_client::StorageServiceClient;
use longshore_driver_proto::v1::write_stream_request::Msg;
use longshore_driver_sdk::endpoint::{Endpoint, Listener, TrustedPeer};
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{
    Condition, Description, Driver, Entry, Fence, Key, ListQuery, Object, OpenMode, OpenUpload, Page,
    ProbeState, ReadRange, Reading, Reason, Result, UploadId, UploadState, Uploads, async_trait, backend,
    server,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// More than a busy machine needs.
const LIMIT: Duration = Duration::from_secs(20);

/// A driver behind a TCP port, gone with this.
struct Served {
    server: JoinHandle<()>,
    client: StorageServiceClient<Channel>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(driver: Arc<dyn Driver>) -> Served {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap(), TrustedPeer::default()).unwrap();
    let Endpoint::Tcp(address) = listener.endpoint().unwrap() else { unreachable!("a port was asked for") };
    let server = tokio::spawn(async move {
        server::serve(driver, listener, std::future::pending(), Duration::ZERO).await.unwrap();
    });
    let client = StorageServiceClient::connect(format!("http://{address}")).await.unwrap();
    Served { server, client: client.max_decoding_message_size(5 * 1024 * 1024) }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn id(number: usize) -> UploadId {
    UploadId::parse(&format!("{number:032x}")).unwrap()
}

/// A write stream, opened: where to say more, and the answers.
type Opened = (mpsc::Sender<v1::WriteStreamRequest>, tonic::Streaming<v1::WriteStreamResponse>);

async fn open(served: &Served, counter: u64, mode: v1::write_open::Mode) -> Opened {
    let (messages, queue) = mpsc::channel(4);
    let fence = Some(v1::Fence { counter, owner: "core".to_owned() });
    let open = v1::WriteOpen { upload_id: id(1).to_string(), fence, mode: Some(mode), progress: false };
    messages.send(v1::WriteStreamRequest { msg: Some(Msg::Open(open)) }).await.unwrap();
    let answers = served.client.clone().write_stream(ReceiverStream::new(queue)).await.unwrap();
    let mut answers = answers.into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert!(matches!(first.msg, Some(v1::write_stream_response::Msg::Opened(_))));
    (messages, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_writer_that_was_evicted_is_told_at_once() {
    let served = serve(Arc::new(MemoryDriver::default())).await;
    let create = v1::write_open::Create { key: "a".to_owned(), ..Default::default() };
    let (_older, mut told) = open(&served, 1, v1::write_open::Mode::Create(create)).await;
    let resume = v1::write_open::Mode::Resume(v1::write_open::Resume {});
    let (newer, mut answers) = open(&served, 2, resume).await;
    let status = tokio::time::timeout(LIMIT, told.message()).await.unwrap().unwrap_err();
    let error = longshore_driver_sdk::wire::from_status(&status);
    assert_eq!((status.code(), error.reason()), (tonic::Code::Aborted, Reason::Fenced));
    let commit = v1::WriteCommit { size: 0, bookmark: Bytes::new() };
    newer.send(v1::WriteStreamRequest { msg: Some(Msg::Commit(commit)) }).await.unwrap();
    let done = tokio::time::timeout(LIMIT, answers.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(done.msg, Some(v1::write_stream_response::Msg::Committed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sessions_with_full_bookmarks_are_listed_in_pages_that_fit() {
    let driver = Arc::new(MemoryDriver::default());
    let folder = vec!["k".repeat(250); 4].join("/");
    for number in 0..1000 {
        let mode = OpenMode::Create {
            key: key(&format!("{folder}/{number}")),
            size_hint: None,
            bookmark: Bytes::from(vec![7; 4096]),
        };
        let fence = Fence { counter: 1, owner: "core".repeat(50) };
        drop(driver.open_upload(OpenUpload { id: id(number), fence, mode }).await.unwrap());
    }
    let mut client = serve(driver).await;
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let start_after = found.last().cloned().unwrap_or_default();
        let request = v1::ListUploadsRequest { start_after, limit: 0, idle_since: None };
        let page = client.client.list_uploads(request).await.unwrap().into_inner();
        assert!(!page.uploads.is_empty());
        found.extend(page.uploads.into_iter().map(|upload| upload.upload_id));
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(found, (0..1000).map(|number| id(number).to_string()).collect::<Vec<_>>());
    assert!(pages > 1, "they do not fit into one message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_to_a_taken_key_leaves_the_session_open_with_its_marks() {
    let driver = MemoryDriver::default();
    let mode = OpenMode::Create { key: key("a"), size_hint: None, bookmark: Bytes::new() };
    let fence = Fence { counter: 1, owner: "core".to_owned() };
    let (_, mut stream) = driver.open_upload(OpenUpload { id: id(1), fence, mode }).await.unwrap();
    stream.write(Bytes::from_static(b"mine")).await.unwrap();
    stream.mark(Bytes::from_static(b"four"), true).await.unwrap();
    driver.put(&key("a"), Bytes::from_static(b"theirs"), Condition::Always).await.unwrap();
    let refused = stream.commit(4, Bytes::from_static(b"end")).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::KeyExists);
    let upload = driver.get_upload(&id(1)).await.unwrap();
    assert_eq!((upload.state, upload.durable, &upload.bookmark[..]), (UploadState::Open, 4, &b"four"[..]));
    driver.delete(&key("a"), None).await.unwrap();
    stream.commit(4, Bytes::from_static(b"end")).await.unwrap();
    assert_eq!(driver.get(&key("a")).await.unwrap().1, "mine");
}

/// A store whose object is replaced while each of the first reads goes on.
struct Restless {
    store: MemoryDriver,
    replaced: AtomicU32,
}

#[async_trait]
impl Driver for Restless {
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
        let reading = self.store.read(key, range.clone()).await?;
        let round = self.replaced.fetch_add(1, Ordering::Relaxed);
        if round >= 3 {
            return Ok(reading);
        }
        self.store.put(key, Bytes::from(vec![7; 10]), Condition::Always).await?;
        backend::read(reading.object, &range, |_, _| Ok(Bytes::new()))
    }
    fn uploads(&self) -> &dyn Uploads {
        self.store.uploads()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_while_it_is_got_is_got_again() {
    let driver = Restless { store: MemoryDriver::default(), replaced: AtomicU32::new(0) };
    driver.put(&key("a"), Bytes::from_static(b"old"), Condition::Always).await.unwrap();
    let (object, content) = driver.get(&key("a")).await.unwrap();
    assert_eq!((object.size, &content[..]), (10, &[7; 10][..]));
    assert_eq!(driver.replaced.load(Ordering::Relaxed), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_and_probe_come_with_the_other_calls() {
    let driver = MemoryDriver::default();
    assert_eq!(driver.probe().await.unwrap().state, ProbeState::Ready);
    let content = Bytes::from(vec![3; 1_000_000]);
    let object = driver.put(&key("a"), content.clone(), Condition::Always).await.unwrap();
    assert_eq!(driver.get(&key("a")).await.unwrap(), (object, content));
    let most = driver.description().limits.max_inline as usize;
    driver.put(&key("b"), Bytes::from(vec![3; most + 1]), Condition::Always).await.unwrap();
    assert_eq!(driver.get(&key("b")).await.unwrap_err().reason(), Reason::TooLarge);
    assert_eq!(driver.get(&key("c")).await.unwrap_err().reason(), Reason::KeyNotFound);
}
