//! The contract between the core and a store, as a trait. Owns its types; knows nothing of gRPC. The same trait stands
//! at both ends of the socket: a driver implements it, and [`crate::client::RemoteDriver`] is it for the core.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::backend;
use crate::error::{DriverError, Optional as _, Reason, Result};
use crate::key::{Key, KeyPrefix};
use crate::moved::Moved;

/// A store of objects under keys. Everything acknowledged is as durable as [`Capabilities::durability`] says.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Name, capabilities and limits; the same for the life of the process.
    fn description(&self) -> Description;

    /// Asked before every handshake. A driver that has to look at its backend before it can tell what it is answers
    /// [`Reason::Starting`], or why it can't look, until it knows: capabilities never change afterwards (contract clause
    /// H8).
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the backend can be reached, and how much space is left. Under a second, without effects.
    /// Without more ado, whether a key can be looked up: the store's id.
    async fn probe(&self) -> Result<Probe> {
        self.stat(&Key::store_id()).await.optional()?;
        Ok(Probe::ready(None))
    }

    /// Size and etag of an object.
    async fn stat(&self, key: &Key) -> Result<Object>;

    /// Its upload sessions. A backend that has none of its own keeps a [`crate::sessions::Sessions`], and this leads
    /// there. The five calls at the end of this trait pass on to it, and no driver has reason to write them itself.
    fn uploads(&self) -> &dyn Uploads;

    /// A small object, whole. Larger than [`Limits::max_inline`]: [`Reason::TooLarge`].
    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        backend::get(self, key).await
    }

    /// Writes a small object, atomically: readers see the old one or the new one.
    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object>;

    /// Deletes an object and says whether there was one. An absent one is no error.
    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool>;

    /// Deletes several objects, each with an outcome of its own, in the order of the keys; none comes twice. For a backend
    /// that takes many keys by one request.
    async fn delete_all(&self, keys: &[Key]) -> Vec<Result<bool>> {
        backend::delete_each(self, keys).await
    }

    /// Entries in the order of their bytes.
    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>>;

    /// An object's bytes, from an offset. At the end: no bytes. Behind it: [`Reason::OffsetPastEnd`].
    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading>;

    /// Renames an object, never over an existing one. Needs [`Capabilities::move_cost`].
    async fn rename(&self, from: &Key, _to: &Key) -> Result<Object> {
        Err(DriverError::new(Reason::NotSupported, format!("this driver can't move {from}")))
    }

    /// A URL under which the backend itself serves the object; `None`: serve it through the core. Needs
    /// [`Capabilities::sign_get`].
    async fn sign(&self, key: &Key, _request: &SignRequest) -> Result<Option<SignedUrl>> {
        Err(DriverError::new(Reason::NotSupported, format!("this driver can't sign a URL for {key}")))
    }

    /// As [`Uploads::open`].
    async fn open_upload(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        self.uploads().open(open).await
    }

    /// As [`Uploads::get`].
    async fn get_upload(&self, id: &UploadId) -> Result<Upload> {
        self.uploads().get(id).await
    }

    /// As [`Uploads::list`].
    async fn list_uploads(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        self.uploads().list(query).await
    }

    /// As [`Uploads::end`].
    async fn end_upload(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        self.uploads().end(id, fence).await
    }

    /// As [`Uploads::drain`].
    async fn drain(&self, grace: Duration) -> Result<u32> {
        self.uploads().drain(grace).await
    }
}

/// Upload sessions: they outlive the stream, the core and the driver process (contract section U).
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Creates or resumes a session and takes it over from any writer with a lower fence.
    async fn open(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)>;

    /// A session's durable state.
    async fn get(&self, id: &UploadId) -> Result<Upload>;

    /// Sessions in the order of their ids.
    async fn list(&self, query: &UploadQuery) -> Result<Page<Upload>>;

    /// Ends a session, and says whether there was one. An open one goes with its bytes; of a committed one only the
    /// session goes, the object stays.
    async fn end(&self, id: &UploadId, fence: &Fence) -> Result<bool>;

    /// Makes open sessions durable before the process stops, and says how many there are.
    async fn drain(&self, grace: Duration) -> Result<u32>;

    /// Ends open sessions that nobody touched for [`Limits::upload_ttl`], and says how many. [`crate::run`] asks for it
    /// every minute.
    async fn expire(&self, _now: SystemTime) -> Result<usize> {
        Ok(0)
    }
}

/// The one live writer of an upload session. Dropping it keeps the session, at its last durable mark.
#[async_trait]
pub trait UploadStream: Send {
    /// Appends the next bytes.
    async fn write(&mut self, data: Bytes) -> Result<()>;

    /// Notes that at the present offset the core's state is `bookmark`. With `flush`, offset and bookmark are durable
    /// when this returns; without, when the driver thinks fit.
    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack>;

    /// Makes the object of exactly the bytes received visible, durably and at once. Fails without harm: the session
    /// stays.
    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload>;

    /// Comes to an end when a newer writer takes the session away, with what the older one is to be told
    /// ([`Reason::Fenced`]): it may be idle, and must hear of it all the same (contract clause U4).
    fn evicted(&self) -> BoxFuture<'static, DriverError> {
        Box::pin(std::future::pending())
    }

    /// What of it went on to the store. The core is told while one of the calls above takes its time, and waits as long as
    /// it grows, and 60 s beyond (contract clauses U22, D2).
    fn moved(&self) -> Moved {
        Moved::default()
    }
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    pub received: u64,
    pub durable: u64,
}

/// What a driver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// In DNS form: `filesystem.longshore`, `s3.drivers.example.org`.
    pub name: String,
    pub version: String,
    pub capabilities: Capabilities,
    pub limits: Limits,
}

impl Description {
    /// A driver with the usual limits.
    pub fn new(name: &str, version: &str, capabilities: Capabilities) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), capabilities, limits: Limits::default() }
    }
}

/// What an acknowledgement survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// Nothing: the data lives in the process.
    #[default]
    Process,
    /// A crash of the driver, no power cut.
    Os,
    /// A power cut.
    Stable,
}

/// What a move costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveCost {
    Rename,
    ServerCopy,
    ClientCopy,
}

/// What a driver can do beyond what every driver must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    pub durability: Durability,
    pub range_read: bool,
    /// Atomic under concurrency.
    pub put_if_absent: bool,
    /// Atomic under concurrency.
    pub put_if_match: bool,
    /// Atomic under concurrency.
    pub delete_if_match: bool,
    /// A key acknowledged before a listing began is in it.
    pub list_is_current: bool,
    /// Any instance of this driver on the same store may resume a session.
    pub uploads_shared: bool,
    pub sign_get: bool,
    pub move_cost: Option<MoveCost>,
}

impl Capabilities {
    /// What holds of a store with a single writer: one process has it for itself, every call goes through one lock,
    /// and objects can be read from any offset. Conditions are atomic then without further ado, and listings current.
    /// Sessions are shared with nobody. Moving and signing are left out: each needs a method.
    pub fn serial(durability: Durability) -> Self {
        Self {
            durability,
            range_read: true,
            put_if_absent: true,
            put_if_match: true,
            delete_if_match: true,
            list_is_current: true,
            uploads_shared: false,
            sign_get: false,
            move_cost: None,
        }
    }
}

/// What a driver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one piece of a stream: 64 KiB to 1 MiB.
    pub max_chunk: u32,
    /// Bytes that get and put carry.
    pub max_inline: u32,
    /// `None`: unknown.
    pub max_object: Option<u64>,
    /// `None`: no limit.
    pub max_streams: Option<u32>,
    /// Entries of one listing.
    pub max_page: u32,
    /// Idle open sessions may go after this.
    pub upload_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_chunk: 256 * 1024,
            max_inline: 4 * 1024 * 1024 + 64 * 1024,
            max_object: None,
            max_streams: None,
            max_page: 1000,
            upload_ttl: Duration::from_secs(24 * 3600),
        }
    }
}

/// How the backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub state: ProbeState,
    pub reason: String,
    pub bytes_free: Option<u64>,
}

impl Probe {
    /// All is well.
    pub fn ready(bytes_free: Option<u64>) -> Self {
        Self { state: ProbeState::Ready, reason: String::new(), bytes_free }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeState {
    Ready,
    Starting,
    Degraded,
    ReadOnly,
}

/// What a store knows of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: Key,
    pub size: u64,
    /// Of the content; listings may leave it out.
    pub etag: Option<String>,
    pub modified: Option<SystemTime>,
}

/// When a put may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Always,
    IfAbsent,
    IfMatch(String),
}

/// Which entries to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    pub prefix: KeyPrefix,
    /// False: one level; what lies deeper shows once, as its common prefix.
    pub recursive: bool,
    /// Only what sorts behind this text: a key or common prefix of the page before.
    pub start_after: String,
    pub limit: usize,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Object(Object),
    /// Ends with `/`.
    CommonPrefix(String),
}

impl Entry {
    /// What the entry sorts by.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(object) => object.key.as_str(),
            Self::CommonPrefix(prefix) => prefix,
        }
    }
}

/// Part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    pub more: bool,
}

/// Which bytes to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRange {
    pub offset: u64,
    /// `None`: to the end.
    pub length: Option<u64>,
    /// Only of this very content: for taking up a read that broke.
    pub if_match: Option<String>,
}

/// Bytes as they come. The end of the stream means that every byte asked for was there.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// An object being read.
pub struct Reading {
    pub object: Object,
    pub bytes: ByteStream,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("object", &self.object).finish_non_exhaustive()
    }
}

/// The name of an upload session: 128 random bits, chosen by the core.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self> {
        let mut bits = [0_u8; 16];
        getrandom::fill(&mut bits).map_err(|error| {
            DriverError::new(Reason::DriverBug, format!("the system gives no random bits: {error}"))
        })?;
        Ok(Self(bits.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// # Errors
    /// When the text is not of 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DriverError::new(
                Reason::RequestNotUnderstood,
                "an upload id is 32 lower-case hexadecimal digits",
            ))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which writer a session listens to: the larger wins; an equal one is the same writer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Fence {
    pub counter: u64,
    pub owner: String,
}

/// How to open a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    pub id: UploadId,
    pub fence: Fence,
    pub mode: OpenMode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenMode {
    /// The key is final and must not exist.
    Create { key: Key, size_hint: Option<u64>, bookmark: Bytes },
    /// An unknown session is [`Reason::UploadUnknown`], never a new one.
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    Open,
    Committed,
}

/// A session as it is durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    pub state: UploadState,
    pub key: Key,
    /// Offset of the last durable mark; the size, when committed.
    pub durable: u64,
    /// The core's, of that mark; of the commit, when committed.
    pub bookmark: Bytes,
    pub fence: Fence,
    /// A mark at each multiple of this is cheap for the driver; `None`: it has no wish.
    pub mark_every: Option<u64>,
    pub updated: SystemTime,
    /// When committed.
    pub object: Option<Object>,
}

/// Which sessions to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadQuery {
    /// An id of the page before; empty: from the first.
    pub start_after: String,
    pub limit: usize,
    /// Only those not touched since.
    pub idle_since: Option<SystemTime>,
}

/// What a signed URL is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignRequest {
    pub head: bool,
    pub ttl: Duration,
    pub content_type: String,
}

/// A URL that needs no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrl {
    pub url: String,
    pub expires: SystemTime,
}
