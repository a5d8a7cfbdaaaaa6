//! Upload sessions, done once for every backend that has none of its own. Owns their rules: who may write (fences), what
//! is durable (marks), when an object appears (commit), and when a session goes. Where bytes and records live is a
//! [`SessionStorage`]'s matter.
//!
//! A driver keeps a [`Sessions`], and its [`crate::Driver::uploads`] leads there. Where a record and bytes may lie: in a
//! local directory ([`Spool`]), in a store that one process has for itself ([`SessionTable`]), or where the author's own
//! [`SessionStorage`] puts them.

pub mod dir;
pub mod journal;
pub mod parted;
mod seat;
pub mod spool;
pub mod storage;
mod stream;
pub mod table;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use crate::driver::{
    Fence, OpenMode, OpenUpload, Page, Upload, UploadId, UploadQuery, UploadState, UploadStream, Uploads,
};
use crate::error::{DriverError, Optional, Reason, Result};
use crate::key::Key;
use seat::{Seats, Taken, fenced};
pub use spool::{Finished, Publish, Spool};
pub use storage::{Record, SessionHold, SessionStorage};
pub use table::SessionTable;

/// The most a bookmark may have.
pub const MAX_BOOKMARK: usize = 4096;
/// How long an older writer may take to let go.
const HANDOVER: Duration = Duration::from_secs(2);
const PAGE: usize = 1000;
/// Records that are read at once, where many are to be shown.
const READS_AT_ONCE: usize = 8;

/// The upload sessions of one store.
pub struct Sessions<S> {
    storage: S,
    seats: Seats,
    ttl: Duration,
    mark_every: Option<u64>,
    lazy: u64,
}

/// How far a mark that nobody asked to be flushed may run ahead of the durable one, where nothing else is said.
const LAZY_MARK: u64 = 32 * 1024 * 1024;

impl<S: SessionStorage> Sessions<S> {
    /// `ttl`: how long an open session may lie idle ([`crate::driver::Limits::upload_ttl`]).
    pub fn new(storage: S, ttl: Duration) -> Self {
        Self { storage, seats: Seats::default(), ttl, mark_every: None, lazy: LAZY_MARK }
    }

    /// Where they are kept.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Asks for marks so far apart, as a backend likes it that takes parts (contract clause U10).
    #[must_use]
    pub fn with_marks_every(self, bytes: u64) -> Self {
        Self { mark_every: Some(bytes), ..self }
    }

    /// Makes marks that nobody asked to be flushed durable when so many bytes have come since the last durable one. What a
    /// writer that dies may lose, against how often the backend writes a record.
    #[must_use]
    pub fn with_lazy_marks(self, bytes: u64) -> Self {
        Self { lazy: bytes, ..self }
    }

    fn to_upload(&self, id: &UploadId, record: &Record) -> Upload {
        Upload { mark_every: self.mark_every, ..record.to_upload(id) }
    }

    /// What can be refused without telling the present writer to go. Whether a session of this id is there already.
    async fn check_create(&self, id: &UploadId, fence: &Fence, key: &Key) -> Result<bool> {
        if let Some(record) = self.storage.read(id).await.optional()? {
            // A creation whose answer was lost is repeated as it was.
            let same = record.state == UploadState::Open && record.durable == 0;
            if same && record.key == *key && record.fence == *fence {
                return Ok(true);
            }
            return Err(DriverError::new(Reason::UploadExists, format!("upload {id} exists; resume it")));
        }
        if self.storage.object_at(key).await?.is_some() {
            return Err(DriverError::new(
                Reason::KeyExists,
                format!("there is an object at key {key} already"),
            ));
        }
        Ok(false)
    }

    /// `again`: it was there already, by the same creation.
    async fn create(
        &self,
        id: &UploadId,
        fence: &Fence,
        key: Key,
        bookmark: Bytes,
        again: bool,
    ) -> Result<S::Hold> {
        if again {
            return self.storage.hold(id, HANDOVER).await;
        }
        let record = Record {
            state: UploadState::Open,
            key: key.clone(),
            fence: fence.clone(),
            durable: 0,
            bookmark,
            updated: SystemTime::now(),
            object: None,
        };
        match self.storage.create(id, record).await {
            // Another creation came between the look and this; it may be the same one.
            Err(error)
                if error.reason() == Reason::UploadExists && self.check_create(id, fence, &key).await? =>
            {
                self.storage.hold(id, HANDOVER).await
            }
            other => other,
        }
    }

    /// `None`: gone since it was listed, or damaged. When the store itself is away, nothing is known of any session.
    async fn read_or_warn(&self, id: &UploadId) -> Result<Option<Record>> {
        match self.storage.read(id).await.optional() {
            Err(error) if !error.is_transient() => {
                tracing::warn!(upload = %id, %error, "an upload session can't be read; it is passed over");
                Ok(None)
            }
            other => other,
        }
    }

    async fn expire_one(&self, id: &UploadId, now: SystemTime) -> Result<bool> {
        let Some(_taken) = self.seats.take_if_idle(id) else { return Ok(false) };
        let hold = match self.storage.hold(id, Duration::ZERO).await {
            Err(error) if matches!(error.reason(), Reason::Conflict | Reason::UploadUnknown) => {
                return Ok(false);
            }
            other => other?,
        };
        if !self.is_expired(hold.record(), now) {
            return Ok(false);
        }
        hold.remove().await?;
        Ok(true)
    }

    fn is_expired(&self, record: &Record, now: SystemTime) -> bool {
        let idle = now.duration_since(record.updated).unwrap_or_default();
        record.state == UploadState::Open && idle > self.ttl
    }
}

#[async_trait]
impl<S: SessionStorage> Uploads for Sessions<S> {
    async fn open(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        let OpenUpload { id, fence, mode } = open;
        let mut again = false;
        if let OpenMode::Create { key, bookmark, .. } = &mode {
            stream::check_bookmark(bookmark)?;
            // A live writer is not told to go for a creation that will be refused.
            if !self.storage.refuses_what_is_taken() || self.seats.is_live(&id) {
                again = self.check_create(&id, &fence, key).await?;
            }
        }
        let taken = self.seats.claim(&id, &fence)?.take(HANDOVER).await?;
        let mut hold = match mode {
            OpenMode::Create { key, bookmark, .. } => self.create(&id, &fence, key, bookmark, again).await?,
            OpenMode::Resume => self.storage.hold(&id, HANDOVER).await?,
        };
        if fence < hold.record().fence {
            return Err(fenced(&id));
        }
        hold.take_over(fence).await?;
        taken.check()?;
        let upload = self.to_upload(&id, hold.record());
        Ok((upload, Box::new(stream::start(id, hold, taken, self.lazy))))
    }

    async fn get(&self, id: &UploadId) -> Result<Upload> {
        Ok(self.to_upload(id, &self.storage.read(id).await?))
    }

    /// A session that can't be read is reported in the log and left out: it must not hide the others.
    async fn list(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        let limit = query.limit.clamp(1, PAGE);
        let mut entries = Vec::new();
        let mut after = query.start_after.clone();
        loop {
            let ids = self.storage.ids(&after, PAGE).await?;
            let Some(last) = ids.last() else { return Ok(Page { entries, more: false }) };
            last.as_str().clone_into(&mut after);
            let mut records = futures_util::stream::iter(ids)
                .map(|id| async move { self.read_or_warn(&id).await.map(|record| (id, record)) })
                .buffered(READS_AT_ONCE);
            while let Some(read) = records.next().await {
                let (id, Some(record)) = read? else { continue };
                if query.idle_since.is_some_and(|since| record.updated > since) {
                    continue;
                }
                if entries.len() == limit {
                    return Ok(Page { entries, more: true });
                }
                entries.push(self.to_upload(&id, &record));
            }
        }
    }

    async fn end(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        let Some(record) = self.storage.read(id).await.optional()? else { return Ok(false) };
        if *fence < record.fence {
            return Err(fenced(id));
        }
        let _taken: Taken = self.seats.claim(id, fence)?.take(HANDOVER).await?;
        let Some(hold) = self.storage.hold(id, HANDOVER).await.optional()? else { return Ok(false) };
        if *fence < hold.record().fence {
            return Err(fenced(id));
        }
        hold.remove().await?;
        Ok(true)
    }

    async fn drain(&self, grace: Duration) -> Result<u32> {
        let live = self.seats.live();
        let open = u32::try_from(live.len()).unwrap_or(u32::MAX);
        let settle = live.into_iter().map(|commands| async move {
            let (reply, settled) = oneshot::channel();
            if commands.send(stream::Command::Settle(reply)).await.is_ok() {
                // A stream that broke meanwhile has nothing left to settle.
                let _ = settled.await;
            }
        });
        let all = futures_util::future::join_all(settle);
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(streams = open, "not every open upload was made durable in time");
        }
        Ok(open)
    }

    /// A session that can't be ended is reported in the log and left for the next time. A live one is never idle.
    async fn expire(&self, now: SystemTime) -> Result<usize> {
        self.storage.sweep(now).await?;
        let mut expired = 0;
        let mut after = String::new();
        loop {
            let ids = self.storage.ids(&after, PAGE).await?;
            let Some(last) = ids.last() else { return Ok(expired) };
            last.as_str().clone_into(&mut after);
            for id in ids {
                let record = self.read_or_warn(&id).await?;
                if record.is_some_and(|record| self.is_expired(&record, now)) {
                    match self.expire_one(&id, now).await {
                        Ok(ended) => expired += usize::from(ended),
                        Err(error) => {
                            tracing::warn!(upload = %id, %error, "an idle upload session can't be ended");
                        }
                    }
                }
            }
        }
    }
}
