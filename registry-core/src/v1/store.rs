//! The one way to the store: reads alone, a bounded number of calls at once, listings page by page. Owns which failures are about
//! one object, and are told of it; every other one ends the listing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use longshore_driver_sdk::{
    Driver, DriverError, Entry, Key, KeyPrefix, ListQuery, Optional as _, ReadRange, Reason, Result,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Entries of one page. A driver of an old backend may have to ask for each of them, and has three seconds for all.
const PAGE: usize = 200;

pub(super) struct Store {
    driver: Arc<dyn Driver>,
    calls: Semaphore,
    jobs: usize,
}

/// A small object, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Whole(Bytes),
    Absent,
    /// And why.
    Unreadable(String),
}

impl Store {
    pub(super) fn new(driver: Arc<dyn Driver>, jobs: usize) -> Self {
        let jobs = jobs.clamp(1, Semaphore::MAX_PERMITS);
        Self { driver, calls: Semaphore::new(jobs), jobs }
    }

    /// How many calls may be under way at once: to begin more things than that is of no use.
    pub(super) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Held for one call. Nobody closes the semaphore.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.calls.acquire().await.ok()
    }

    /// JSON and tags: what a message carries is far more than they ever have.
    pub(super) async fn get(&self, key: &Key) -> Result<Content> {
        let _turn = self.turn().await;
        match self.driver.get(key).await.optional() {
            Ok(Some((_, content))) => Ok(Content::Whole(content)),
            Ok(None) => Ok(Content::Absent),
            Err(error) if is_about_the_object(&error) => Ok(Content::Unreadable(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Passes every byte of an object on, in order; `Err`: why it can't be read.
    pub(super) async fn read(
        &self,
        key: &Key,
        mut piece: impl FnMut(&[u8]),
    ) -> Result<std::result::Result<(), String>> {
        let _turn = self.turn().await;
        let pieces = async {
            let mut reading = self.driver.read(key, ReadRange::default()).await?;
            while let Some(bytes) = reading.bytes.try_next().await? {
                piece(&bytes);
            }
            Ok::<_, DriverError>(())
        };
        match pieces.await {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.reason() == Reason::KeyNotFound || is_about_the_object(&error) => {
                Ok(Err(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// One level of what lies below a prefix.
    pub(super) fn folder(&self, prefix: &KeyPrefix) -> Pages<'_> {
        let query =
            ListQuery { prefix: prefix.clone(), recursive: false, start_after: String::new(), limit: PAGE };
        Pages { store: self, query, ended: false }
    }
}

/// A listing, of which one page is in memory.
pub(super) struct Pages<'a> {
    store: &'a Store,
    query: ListQuery,
    ended: bool,
}

impl Pages<'_> {
    /// `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        if self.ended {
            return Ok(None);
        }
        let _turn = self.store.turn().await;
        let page = self.store.driver.list(&self.query).await?;
        match page.entries.last() {
            Some(last) => last.name().clone_into(&mut self.query.start_after),
            None => self.ended = true,
        }
        self.ended |= !page.more;
        Ok(Some(page.entries))
    }
}

/// The rest of the store may be whole.
fn is_about_the_object(error: &DriverError) -> bool {
    matches!(
        error.reason(),
        Reason::KeyConflict
            | Reason::ShortObject
            | Reason::ChecksumMismatch
            | Reason::IoError
            | Reason::TooLarge
    )
}
