//! Old drivers in Python, unmodified, behind the socket: under Python 3, and under Python 2.7 where that is found.

mod backends;
mod bad_input;
mod defects;
mod docker;
mod documented;
mod kills;
mod mishaps;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_sdk::client::RemoteDriver;
use longshore_driver_sdk::{
    Condition, Driver as _, DriverError, Fence, Key, Object, OpenMode, OpenUpload, ReadRange, Result,
    UploadId,
};
use longshore_end_to_end::old_store::{Driver, OldStore, Python};

/// For what comes within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the machine's Python 3 has the old drivers.
fn python3() -> PathBuf {
    Python::Three.of_test("").expect("Python 3 is always there")
}

/// A store that a driver for tests keeps, and what the core has of it.
struct Bad {
    store: OldStore,
    driver: Driver,
    remote: RemoteDriver,
}

impl Bad {
    /// It is good until it is turned bad.
    async fn start(name: &str, settings: &[&str]) -> Self {
        let store = OldStore::of_bad(name, &python3(), settings);
        let driver = store.driver("driver");
        let remote = driver.dialled().await;
        Self { store, driver, remote }
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

async fn put(remote: &RemoteDriver, name: &str, content: impl Into<Bytes>) -> Result<Object> {
    remote.put(&key(name), content.into(), Condition::Always).await
}

async fn get(remote: &RemoteDriver, name: &str) -> Result<Bytes> {
    remote.get(&key(name)).await.map(|(_, content)| content)
}

/// As the core does it: one session, one commit.
async fn upload(remote: &RemoteDriver, name: &str, content: &Bytes) -> Result<Object> {
    let open = OpenUpload {
        id: UploadId::random()?,
        fence: Fence { counter: 1, owner: "test".to_owned() },
        mode: OpenMode::Create { key: key(name), size_hint: None, bookmark: Bytes::new() },
    };
    let (_, mut stream) = remote.open_upload(open).await?;
    for piece in content.chunks(256 * 1024) {
        stream.write(content.slice_ref(piece)).await?;
    }
    let upload = stream.commit(content.len() as u64, Bytes::new()).await?;
    upload.object.ok_or_else(|| DriverError::key_not_found(&key(name)))
}

async fn read(remote: &RemoteDriver, name: &str, range: ReadRange) -> Result<Bytes> {
    use futures_util::TryStreamExt as _;
    let reading = remote.read(&key(name), range).await?;
    let pieces: Vec<Bytes> = reading.bytes.try_collect().await?;
    Ok(pieces.concat().into())
}

/// The error says all of this.
fn says(error: &DriverError, texts: &[&str]) {
    for text in texts {
        assert!(error.message().contains(text), "{text:?} is not in {error}");
    }
}
