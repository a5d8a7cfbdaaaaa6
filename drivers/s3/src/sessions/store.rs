//! Where sessions are: the records below `.driver/uploads/`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use longshore_driver_sdk::sessions::parted::{
    self, CREATED, Content, Ledger, Medium, Parted, Schedule, State, UPLOADS, before, name_of, nonce,
};
use longshore_driver_sdk::sessions::{Record, SessionStorage};
use longshore_driver_sdk::{ByteStream, DriverError, Key, Object, Reason, Result, UploadId, UploadState};

use super::hold::S3Hold;
use crate::bucket::{BATCH, Bucket, Extra, Guard, Part};
use crate::driver::{Store, frames};
use crate::failure::Failure;
use crate::listing;

pub(super) type Known = parted::Known<Part>;
pub(super) type Desk = parted::Desk<Store, Part>;

/// The sessions of one bucket.
#[derive(Clone)]
pub(crate) struct S3Sessions(pub(super) Arc<Records>);

/// Their records.
pub(crate) struct Records {
    pub(super) store: Arc<Store>,
    pub(super) desk: Desk,
}

impl S3Sessions {
    pub(crate) fn new(store: Arc<Store>, spool: PathBuf, schedule: Schedule) -> Self {
        let ledger = Arc::new(Ledger::new(Arc::clone(&store)));
        Self(Arc::new(Records { store, desk: Desk { ledger, spool, schedule } }))
    }
}

#[async_trait]
impl Medium for Store {
    async fn names(&self, folder: &str, behind: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = match names.last().map_or(behind, String::as_str) {
                "" => String::new(),
                name => format!("{folder}{name}"),
            };
            let page = self.bucket.list(folder, false, &after, BATCH).await?;
            names.extend(
                page.entries.iter().filter_map(|entry| Some(entry.name.strip_prefix(folder)?.to_owned())),
            );
            if !page.more || page.entries.is_empty() {
                return Ok(names);
            }
        }
    }

    async fn get(&self, path: &str, offset: u64, length: Option<u64>) -> Result<Option<ByteStream>> {
        match self.bucket.get(path, offset, length).await {
            Ok(got) => {
                let what = format!("GET {path}");
                let failed =
                    move |error| DriverError::new(Reason::BackendUnavailable, format!("{what}: {error}"));
                Ok(Some(Box::pin(frames(got.body).map_err(failed))))
            }
            Err(Failure::Absent) => Ok(None),
            Err(other) => Err(other.into_error(&format!("GET {path}"))),
        }
    }

    async fn put(&self, path: &str, content: Content, only_new: bool) -> Result<()> {
        let guard = if only_new { self.guard_of_put() } else { Guard::None };
        let put = self.bucket.put(path, content, &guard, Extra::default()).await;
        put.map(drop).map_err(|failure| match failure {
            Failure::Condition if only_new => {
                DriverError::new(Reason::KeyExists, format!("PUT {path}: it is there already"))
            }
            other => other.into_error(&format!("PUT {path}")),
        })
    }
}

impl Records {
    pub(super) fn bucket(&self) -> &Bucket {
        &self.store.bucket
    }

    /// What holds of a session: its highest record, and if a commit may have begun, what came of it (contract clause U14).
    pub(super) async fn present(&self, id: &UploadId) -> Result<Known> {
        let known = self.highest(id).await?;
        if !self.may_be_committed(&known) {
            return Ok(known);
        }
        let key = &known.state.record.key;
        let found = self.bucket().stat(key.as_str()).await?.filter(|found| found.is_of(id));
        let Some(found) = found else { return Ok(known) };
        let bookmark = match &known.state.committing {
            Some(committing) => Some(&committing.bookmark).filter(|_| found.size == committing.size),
            None => found.bookmark.as_ref(),
        };
        let Some(bookmark) = bookmark.cloned() else { return Ok(known) };
        let record = Record {
            state: UploadState::Committed,
            durable: found.size,
            bookmark,
            object: Some(listing::object(key, found)),
            ..known.state.record.clone()
        };
        let parted = known.state.parted.clone();
        let state = State { record, parted, committing: None, stands_for: None, is_over: false };
        Ok(Known { state: Arc::new(state), ..known })
    }

    fn may_be_committed(&self, known: &Known) -> bool {
        let state = &known.state;
        let told_by_object = known.in_doubt
            && state.parted.multipart.is_none()
            && self.store.guard_of_put() == Guard::IfAbsent;
        state.record.state == UploadState::Open && (state.committing.is_some() || told_by_object)
    }

    /// The highest record. One that this process knows to be there need not be listed again, only what is behind it.
    async fn highest(&self, id: &UploadId) -> Result<Known> {
        let known = self.desk.ledger.known(id);
        // From just before the known one: if not even that is there, the session was ended elsewhere.
        let behind = known.as_ref().map_or_else(String::new, |known| before(&known.name));
        match (self.desk.ledger.names(id, &behind).await?.pop(), known) {
            // What this process wrote is there, though a listing that lags may not show it.
            (Some(name), Some(known)) if name <= known.name => Ok(known),
            (Some(name), _) => self.desk.ledger.read(id, &name).await,
            (None, Some(known)) if self.store.lags() => Ok(known),
            (None, _) => {
                self.desk.ledger.forget(id);
                self.store.must_be_there().await?;
                Err(DriverError::upload_unknown(id))
            }
        }
    }
}

#[async_trait]
impl SessionStorage for S3Sessions {
    type Hold = S3Hold;

    fn refuses_what_is_taken(&self) -> bool {
        let store = &self.0.store;
        store.guard_of_put() == Guard::IfAbsent && store.guard_of_complete() == Guard::IfAbsent
    }

    async fn create(&self, id: &UploadId, record: Record) -> Result<S3Hold> {
        let began = Instant::now();
        let exists = || DriverError::new(Reason::UploadExists, format!("upload {id} exists; resume it"));
        let name = if self.refuses_what_is_taken() {
            CREATED.to_owned()
        } else if self.0.desk.ledger.known(id).is_some() {
            return Err(exists());
        } else {
            name_of(&record.fence, 0, &nonce()?)
        };
        let state =
            State { record, parted: Parted::default(), committing: None, stands_for: None, is_over: false };
        let created = self.0.desk.ledger.create(id, &name, &name, state).await;
        let known = created.map_err(|error| match error.reason() {
            Reason::KeyExists => exists(),
            _ => error,
        })?;
        S3Hold::new(&self.0, id, known, began)
    }

    async fn hold(&self, id: &UploadId, _wait: Duration) -> Result<S3Hold> {
        let began = Instant::now();
        S3Hold::new(&self.0, id, self.0.present(id).await?, began)
    }

    async fn read(&self, id: &UploadId) -> Result<Record> {
        Ok(self.0.present(id).await?.state.record.clone())
    }

    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        let after = match start_after {
            "" => String::new(),
            // Behind every record of that session.
            id => format!("{UPLOADS}{id}/\u{7f}"),
        };
        let page = self.0.bucket().list(UPLOADS, true, &after, limit).await?;
        let ids = page.entries.iter().filter_map(|entry| entry.name.strip_prefix(UPLOADS)?.strip_suffix('/'));
        Ok(ids.filter(|id| *id > start_after).filter_map(|id| UploadId::parse(id).ok()).collect())
    }

    async fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.0.store.found(key).await?.map(|found| listing::object(key, found)))
    }
}
