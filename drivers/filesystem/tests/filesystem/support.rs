//! What the tests share: a store in a directory of its own, and short ways to say things.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use longshore_driver_filesystem::{Config, FilesystemDriver, Init, config::Durability};
use longshore_driver_sdk::{
    Driver, DriverError, Fence, Key, OpenMode, OpenUpload, ReadRange, Reason, Result, Upload, UploadId,
    UploadStream,
};

pub(crate) struct Store {
    pub(crate) driver: FilesystemDriver,
    pub(crate) root: PathBuf,
    _temp: tempfile::TempDir,
}

pub(crate) fn config(root: &Path, init: Init) -> Config {
    Config { root: root.to_owned(), durability: Durability::Stable, init }
}

pub(crate) async fn reopen(root: &Path) -> FilesystemDriver {
    FilesystemDriver::open(config(root, Init::Never)).await.unwrap()
}

pub(crate) async fn store() -> Store {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    let driver = FilesystemDriver::open(config(&root, Init::IfAbsent)).await.unwrap();
    Store { driver, root, _temp: temp }
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

pub(crate) fn id(n: u8) -> UploadId {
    UploadId::parse(&format!("{n:032x}")).unwrap()
}

pub(crate) fn fence(counter: u64) -> Fence {
    Fence { counter, owner: "core".to_owned() }
}

pub(crate) fn reason<T>(outcome: Result<T>) -> Reason {
    match outcome {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.reason(),
    }
}

pub(crate) type Opened = (Upload, Box<dyn UploadStream>);

pub(crate) async fn create(driver: &dyn Driver, n: u8, counter: u64, at: &str) -> Result<Opened> {
    let bookmark = Bytes::from_static(b"start");
    let mode = OpenMode::Create { key: key(at), size_hint: None, bookmark };
    driver.open_upload(OpenUpload { id: id(n), fence: fence(counter), mode }).await
}

pub(crate) async fn resume(driver: &dyn Driver, n: u8, counter: u64) -> Result<Opened> {
    driver.open_upload(OpenUpload { id: id(n), fence: fence(counter), mode: OpenMode::Resume }).await
}

pub(crate) async fn read_all(driver: &dyn Driver, key: &Key) -> Result<Vec<u8>> {
    read_range(driver, key, ReadRange::default()).await
}

pub(crate) async fn read_range(driver: &dyn Driver, key: &Key, range: ReadRange) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = driver.read(key, range).await?.bytes.try_collect().await?;
    Ok(pieces.concat())
}

/// Bytes that differ from place to place.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

pub(crate) async fn write(stream: &mut Box<dyn UploadStream>, text: &'static str) {
    stream.write(Bytes::from_static(text.as_bytes())).await.unwrap();
}

pub(crate) fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// A stream may notice what befell it only at the end of the next call.
pub(crate) async fn broken_by(stream: &mut Box<dyn UploadStream>) -> DriverError {
    match stream.mark(Bytes::new(), true).await {
        Ok(_) => panic!("the stream lives"),
        Err(error) => error,
    }
}
