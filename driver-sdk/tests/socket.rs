//! The memory driver behind a real socket, spoken to by the core's client: handshake, deadlines, reconnection, concurrency,
//! and what the server refuses.
#![expect(clippy::unwrap_used, reason = "all of it is a test; clippy takes only #[test] functions for that")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::{Endpoint, Listener, TrustedPeer};
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{
    Condition, Driver, Fence, Key, KeyPrefix, ListQuery, OpenMode, OpenUpload, Optional, ReadRange, Reason,
    UploadId, UploadState, server,
};
use tokio::runtime::Runtime;

/// A driver with threads of its own. Dropping it ends all of them in the midst of what they do, as a crash would.
struct Served(Option<Runtime>);

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn serve(driver: Arc<dyn Driver>, endpoint: &Endpoint) -> (Served, Endpoint) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let listener = Listener::bind(endpoint, TrustedPeer::default()).unwrap();
    drop(entered);
    let bound = listener.endpoint().unwrap();
    runtime.spawn(async move {
        server::serve(driver, listener, std::future::pending(), Duration::ZERO).await.unwrap();
    });
    (Served(Some(runtime)), bound)
}

fn remote(endpoint: &Endpoint) -> Remote {
    let deadlines = Deadlines {
        probe: Duration::from_millis(500),
        call: Duration::from_millis(500),
        call_with_retries: Duration::from_secs(2),
        stall: Duration::from_millis(500),
        commit: Duration::from_secs(2),
    };
    let trusted = TrustedPeer::default();
    Remote { endpoint: endpoint.clone(), trusted, store_id: None, deadlines, core_instance: "test".into() }
}

fn unix(directory: &tempfile::TempDir) -> Endpoint {
    Endpoint::Unix(directory.path().join("driver.sock"))
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

async fn upload(driver: &RemoteDriver, to: &str, content: &Bytes) -> UploadId {
    let id = UploadId::random().unwrap();
    let mode = OpenMode::Create { key: key(to), size_hint: None, bookmark: Bytes::from_static(b"start") };
    let open = OpenUpload { id: id.clone(), fence: Fence { counter: 1, owner: "a".into() }, mode };
    let (_, mut stream) = driver.open_upload(open).await.unwrap();
    for piece in content.chunks(100_000) {
        stream.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let ack = stream.mark(Bytes::from_static(b"middle"), true).await.unwrap();
    assert_eq!((ack.received, ack.durable), (content.len() as u64, content.len() as u64));
    let committed = stream.commit(content.len() as u64, Bytes::from_static(b"end")).await.unwrap();
    assert_eq!((committed.state, committed.bookmark.as_ref()), (UploadState::Committed, b"end".as_ref()));
    id
}

async fn read(driver: &RemoteDriver, from: &str, range: ReadRange) -> Bytes {
    let reading = driver.read(&key(from), range).await.unwrap();
    let pieces: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
    Bytes::from(pieces.concat())
}

fn content(length: usize, seed: u8) -> Bytes {
    (0..length).map(|index| u8::try_from(index % 251).unwrap_or(0) ^ seed).collect()
}

#[tokio::test]
async fn every_call_works_over_a_unix_socket_and_over_tcp() {
    let directory = tempfile::tempdir().unwrap();
    for endpoint in [unix(&directory), "tcp://127.0.0.1:0".parse().unwrap()] {
        let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &endpoint);
        let driver = RemoteDriver::new(remote(&endpoint));
        driver.connected(Duration::from_secs(2)).await.unwrap();
        assert_eq!(driver.store_id().await.unwrap(), "");
        driver.initialise("store-1").await.unwrap();
        assert_eq!(driver.initialise("store-2").await.unwrap_err().reason(), Reason::KeyExists);

        let object = driver.put(&key("a/b"), Bytes::from_static(b"one"), Condition::IfAbsent).await.unwrap();
        let again =
            driver.put(&key("a/b"), Bytes::from_static(b"two"), Condition::IfAbsent).await.unwrap_err();
        assert!(matches!(again.reason(), Reason::KeyExists | Reason::PreconditionFailed), "{again}");
        assert_eq!(driver.stat(&key("a/b")).await.unwrap(), object);
        assert_eq!(driver.get(&key("a/b")).await.unwrap().1, "one");
        assert!(driver.get(&key("a/c")).await.optional().unwrap().is_none());

        let bytes = content(1_000_000, 7);
        let id = upload(&driver, "objects/x", &bytes).await;
        assert_eq!(read(&driver, "objects/x", ReadRange::default()).await, bytes);
        let part = ReadRange { offset: 999_990, length: Some(100), if_match: None };
        assert_eq!(read(&driver, "objects/x", part).await, bytes.slice(999_990..));
        let end = ReadRange { offset: 1_000_000, ..ReadRange::default() };
        assert_eq!(read(&driver, "objects/x", end).await, "");
        let past = ReadRange { offset: 1_000_001, ..ReadRange::default() };
        assert_eq!(driver.read(&key("objects/x"), past).await.unwrap_err().reason(), Reason::OffsetPastEnd);
        assert_eq!(driver.get_upload(&id).await.unwrap().state, UploadState::Committed);
        assert!(driver.end_upload(&id, &Fence { counter: 2, owner: "a".into() }).await.unwrap());
        assert_eq!(driver.get_upload(&id).await.unwrap_err().reason(), Reason::UploadUnknown);

        let query =
            ListQuery { prefix: KeyPrefix::all(), recursive: true, start_after: String::new(), limit: 10 };
        let names: Vec<String> =
            driver.list(&query).await.unwrap().entries.iter().map(|entry| entry.name().to_owned()).collect();
        assert_eq!(names, ["a/b", "objects/x"], "the driver's own keys are not listed");
        assert!(driver.delete(&key("a/b"), None).await.unwrap());
        assert!(!driver.delete(&key("a/b"), None).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_uploads_and_their_reads_at_once_keep_their_bytes_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
    let driver = RemoteDriver::new(Remote { deadlines: Deadlines::default(), ..remote(&endpoint) });
    let transfers = (0..32_u8).map(|number| {
        let driver = driver.clone();
        tokio::spawn(async move {
            let bytes = content(1_500_000, number);
            let name = format!("objects/{number}");
            upload(&driver, &name, &bytes).await;
            assert_eq!(read(&driver, &name, ReadRange::default()).await, bytes, "upload {number}");
        })
    });
    for transfer in futures_util::future::join_all(transfers).await {
        transfer.unwrap();
    }
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_up_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
    let driver = RemoteDriver::new(Remote { deadlines: Deadlines::default(), ..remote(&endpoint) });
    let bytes = content(8_000_000, 1);
    upload(&driver, "objects/x", &bytes).await;
    let mut paused = Vec::new();
    for _ in 0..24 {
        let mut reading = driver.read(&key("objects/x"), ReadRange::default()).await.unwrap();
        reading.bytes.next().await.unwrap().unwrap();
        paused.push(reading);
    }
    let begin = Instant::now();
    assert_eq!(read(&driver, "objects/x", ReadRange::default()).await, bytes);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_stale_writer_is_fenced_out_and_the_session_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
    let driver = RemoteDriver::new(remote(&endpoint));
    let id = UploadId::random().unwrap();
    let mode = OpenMode::Create { key: key("objects/x"), size_hint: None, bookmark: Bytes::new() };
    let fence = |counter| Fence { counter, owner: "a".into() };
    let (_, mut old) =
        driver.open_upload(OpenUpload { id: id.clone(), fence: fence(1), mode }).await.unwrap();
    old.write(Bytes::from_static(b"12345")).await.unwrap();
    old.mark(Bytes::from_static(b"five"), true).await.unwrap();
    let resume = |counter| OpenUpload { id: id.clone(), fence: fence(counter), mode: OpenMode::Resume };
    let (upload, mut new) = driver.open_upload(resume(2)).await.unwrap();
    assert_eq!((upload.durable, upload.bookmark.as_ref()), (5, b"five".as_ref()));
    let stale = async {
        old.write(Bytes::from_static(b"stale")).await?;
        old.mark(Bytes::new(), true).await
    };
    assert_eq!(stale.await.unwrap_err().reason(), Reason::Fenced);
    assert_eq!(driver.open_upload(resume(1)).await.err().unwrap().reason(), Reason::Fenced);
    new.write(Bytes::from_static(b"67")).await.unwrap();
    let wrong = new.commit(6, Bytes::new()).await.unwrap_err();
    assert_eq!(wrong.reason(), Reason::SizeMismatch);
    let (_, mut last) = driver.open_upload(resume(3)).await.unwrap();
    last.write(Bytes::from_static(b"67")).await.unwrap();
    last.commit(7, Bytes::new()).await.unwrap();
    assert_eq!(read(&driver, "objects/x", ReadRange::default()).await, "1234567");
}

#[tokio::test]
async fn a_driver_that_comes_back_is_found_and_a_read_that_it_left_ends_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = unix(&directory);
    let store = Arc::new(MemoryDriver::default());
    let (served, _) = serve(store.clone(), &endpoint);
    let driver = RemoteDriver::new(Remote { deadlines: Deadlines::default(), ..remote(&endpoint) });
    upload(&driver, "objects/x", &content(8_000_000, 3)).await;
    let mut reading = driver.read(&key("objects/x"), ReadRange::default()).await.unwrap();
    reading.bytes.next().await.unwrap().unwrap();
    drop(served);
    let rest: Result<Vec<Bytes>, _> = reading.bytes.try_collect().await;
    let error = rest.map(|pieces| pieces.len()).unwrap_err();
    assert!(error.is_transient(), "never a clean end: {error}");

    let (_served, _) = serve(store, &endpoint);
    assert_eq!(
        driver.stat(&key("objects/x")).await.unwrap().size,
        8_000_000,
        "the call waits for the new connection"
    );
}

#[tokio::test]
async fn a_driver_that_hangs_fails_calls_in_time_and_then_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = unix(&directory);
    let Endpoint::Unix(path) = &endpoint else { unreachable!("a unix endpoint") };
    // It listens, and never answers.
    let _mute = std::os::unix::net::UnixListener::bind(path).unwrap();
    let driver = RemoteDriver::new(remote(&endpoint));
    let begin = Instant::now();
    let error = driver.stat(&key("a")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::BackendUnavailable);
    assert!(error.retry_after().is_some());
    assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
    while !driver.status().breaker_open {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", driver.status());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let begin = Instant::now();
    assert!(driver.stat(&key("a")).await.is_err());
    assert!(
        begin.elapsed() < Duration::from_millis(1000),
        "an open breaker refuses at once: {:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn another_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
    RemoteDriver::new(remote(&endpoint)).initialise("store-1").await.unwrap();
    let driver = RemoteDriver::new(Remote { store_id: Some("store-2".into()), ..remote(&endpoint) });
    let error = driver.connected(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.reason(), Reason::StoreMismatch, "{error}");
    let error = driver.stat(&key("a")).await.unwrap_err();
    assert_eq!(error.reason(), Reason::StoreMismatch, "{error}");
}

mod raw {
    //! What only another implementation of the protocol would send.

    use super::*;
    use hyper_util::rt::TokioIo;
    use longshore_driver_proto::v1;
    use longshore_driver_proto::v1::identity_service_client::IdentityServiceClient;
    use longshore_driver_proto::v1::storage_service_client::StorageServiceClient;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    async fn channel(endpoint: &Endpoint) -> tonic::transport::Channel {
        let Endpoint::Unix(path) = endpoint.clone() else { unreachable!("a unix endpoint") };
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        tonic::transport::Endpoint::from_static("http://driver")
            .connect_with_connector(connector)
            .await
            .unwrap()
    }

    fn reason(status: &tonic::Status) -> String {
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.domain, "longshore.driver.v1");
        info.reason.clone()
    }

    #[tokio::test]
    async fn a_version_that_is_not_shared_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
        let mut identity = IdentityServiceClient::new(channel(&endpoint).await);
        let request = v1::HandshakeRequest {
            supported: vec![v1::Version { major: 9, minor: 0 }],
            ..Default::default()
        };
        let status = identity.handshake(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "VERSION_MISMATCH"));
    }

    #[tokio::test]
    async fn what_is_not_understood_is_refused_and_not_guessed() {
        let directory = tempfile::tempdir().unwrap();
        let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
        let mut storage = StorageServiceClient::new(channel(&endpoint).await);
        let put = v1::PutRequest { key: "a".into(), content: Bytes::new(), condition: None };
        let status = storage.put(put).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")
        );
        for key in ["../a", "/a", ".driver/uploads/x", ""] {
            let status = storage.stat(v1::StatRequest { key: key.into() }).await.unwrap_err();
            assert_eq!(reason(&status), "INVALID_KEY", "{key}");
        }
        let open = v1::WriteOpen {
            upload_id: "0a".repeat(16),
            fence: Some(v1::Fence::default()),
            ..Default::default()
        };
        let open = v1::WriteStreamRequest { msg: Some(v1::write_stream_request::Msg::Open(open)) };
        let mut answers = storage.write_stream(tokio_stream::iter([open])).await.unwrap().into_inner();
        assert_eq!(reason(&answers.message().await.unwrap_err()), "REQUEST_NOT_UNDERSTOOD");
    }

    #[tokio::test]
    async fn a_chunk_that_leaves_a_gap_is_refused_with_both_offsets() {
        use v1::write_stream_request::Msg;
        let directory = tempfile::tempdir().unwrap();
        let (_served, endpoint) = serve(Arc::new(MemoryDriver::default()), &unix(&directory));
        let mut storage = StorageServiceClient::new(channel(&endpoint).await);
        let create = v1::write_open::Create { key: "x".into(), size_hint: None, bookmark: Bytes::new() };
        let mode = Some(v1::write_open::Mode::Create(create));
        let open = v1::WriteOpen {
            upload_id: "0b".repeat(16),
            fence: Some(v1::Fence::default()),
            mode,
            progress: false,
        };
        let chunk = v1::WriteChunk { offset: 5, data: Bytes::from_static(b"x"), crc32c: None };
        let messages =
            [Msg::Open(open), Msg::Chunk(chunk)].map(|msg| v1::WriteStreamRequest { msg: Some(msg) });
        let mut answers = storage.write_stream(tokio_stream::iter(messages)).await.unwrap().into_inner();
        answers.message().await.unwrap();
        let status = answers.message().await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "OFFSET_MISMATCH"));
        let metadata = status.get_error_details().error_info().unwrap().metadata.clone();
        assert_eq!((metadata["received"].as_str(), metadata["durable"].as_str()), ("0", "0"));
    }
}
