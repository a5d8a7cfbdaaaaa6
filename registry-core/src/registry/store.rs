//! A store as the registry sees it: a driver, and records under keys. Owns opening a store (`longshore.json`) and paged
//! listings.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use longshore_driver_sdk::{
    Condition, Driver, DriverError, Entry, Key, KeyPrefix, ListQuery, Object, Optional as _, Reason,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::health::{Health, Room};
use super::records::{self, StoreRecord};
use super::redirect::{Redirect, Redirects};
use super::shared_reads::SharedReads;
use super::{Result, layout};
use crate::storage::advice::next_step;

const PAGE: usize = 1000;

/// One storage.
pub struct Store {
    name: String,
    driver: Arc<dyn Driver>,
    reads: SharedReads,
    health: Health,
    min_free: u64,
    redirects: Option<Redirects>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreProblem {
    #[error(
        "it was never initialised: an unmounted disk looks just like this; if it is meant to be new, run `longshore storage init`"
    )]
    NotInitialised,
    #[error("it holds objects, but no longshore.json: this is no Longshore store, or not all of it is there")]
    NotOurs,
    #[error(
        "longshore.json names store {recorded}, but the driver is at store {found}: two stores are mixed up"
    )]
    Mixed { recorded: String, found: String },
    #[error("its layout needs version {needed} or later to be written; this is version {}", layout::VERSION)]
    TooNew { needed: u32 },
    #[error(transparent)]
    Registry(#[from] super::RegistryError),
}

impl Store {
    pub fn new(name: String, driver: Arc<dyn Driver>) -> Self {
        let (reads, health) = (SharedReads::default(), Health::default());
        Self { name, driver, reads, health, min_free: 0, redirects: None }
    }

    /// Takes no uploads while less space is left than so many bytes.
    #[must_use]
    pub fn with_min_free(mut self, bytes: u64) -> Self {
        self.min_free = bytes;
        self
    }

    /// Serves blobs itself where this says so. A driver that signs no URLs leaves all to the core, and the log says so.
    #[must_use]
    pub fn with_redirect(mut self, redirect: Option<Redirect>) -> Self {
        if redirect.is_some() && !self.driver.description().capabilities.sign_get {
            tracing::warn!(
                storage = self.name,
                "redirect is set, but the driver signs no URLs: the core serves"
            );
        }
        self.redirects = redirect.map(Redirects::new);
        self
    }

    pub(super) fn redirects(&self) -> Option<&Redirects> {
        self.redirects.as_ref()
    }

    /// Whether uploads are taken, as far as the last probe knew.
    ///
    /// # Errors
    /// [`Reason::NoSpace`] below the watermark.
    pub fn check_room(&self) -> longshore_driver_sdk::Result<()> {
        if !self.health.is_low() {
            return Ok(());
        }
        let message =
            format!("less than min_free = {} bytes are left in storage {}", self.min_free, self.name);
        Err(DriverError::new(Reason::NoSpace, message))
    }

    /// `None`: the driver can't tell, and there may be room.
    pub(super) fn note_free(&self, free: Option<u64>) {
        let room = Room { free, min_free: self.min_free };
        match self.health.set_low(|was| room.is_low(was)) {
            Some(true) => tracing::warn!(
                storage = self.name,
                free,
                min_free = self.min_free,
                next = next_step(Reason::NoSpace),
                "uploads are refused: little space is left"
            ),
            Some(false) => tracing::info!(storage = self.name, free, "uploads are taken again"),
            None => {}
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Checks the store's record against the id that the driver told, and writes it into a store that is still empty.
    ///
    /// # Errors
    /// When this is not the store that it should be.
    pub async fn open(&self, store_id: &str) -> std::result::Result<(), StoreProblem> {
        if store_id.is_empty() {
            return Err(StoreProblem::NotInitialised);
        }
        let key = layout::store_record()?;
        let record = match self.get_record::<StoreRecord>(&key).await? {
            Some(record) => record,
            None if self.is_empty().await? => {
                let record = StoreRecord {
                    layout: layout::VERSION,
                    min_reader: layout::VERSION,
                    min_writer: layout::VERSION,
                    store_id: store_id.to_owned(),
                    created: Timestamp::now(),
                };
                self.put_record(&key, &record).await?;
                record
            }
            None => return Err(StoreProblem::NotOurs),
        };
        if record.store_id != store_id {
            return Err(StoreProblem::Mixed { recorded: record.store_id, found: store_id.to_owned() });
        }
        if record.min_writer > layout::VERSION {
            return Err(StoreProblem::TooNew { needed: record.min_writer });
        }
        Ok(())
    }

    /// A small object, whole.
    pub(super) async fn get(&self, key: &Key) -> longshore_driver_sdk::Result<(Object, Bytes)> {
        self.reads.get(&*self.driver, key).await
    }

    async fn is_empty(&self) -> Result<bool> {
        let query =
            ListQuery { prefix: KeyPrefix::all(), recursive: false, start_after: String::new(), limit: 1 };
        Ok(self.driver.list(&query).await?.entries.is_empty())
    }

    pub(super) async fn put_record<T: Serialize>(&self, key: &Key, record: &T) -> Result<Object> {
        let content = records::to_bytes(key, record)?;
        Ok(self.driver.put(key, content, Condition::Always).await?)
    }

    /// `None`: the store states that there is none, or a deleted one, of length zero.
    pub(super) async fn get_record<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        Ok(self.get_record_with_etag(key).await?.map(|(record, _)| record))
    }

    pub(super) async fn get_record_with_etag<T: DeserializeOwned>(
        &self,
        key: &Key,
    ) -> Result<Option<(T, Option<String>)>> {
        match self.get(key).await.optional()? {
            Some((object, content)) if !content.is_empty() => {
                Ok(Some((records::from_bytes(key, &content)?, object.etag)))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<bool> {
        Ok(self.driver.delete(key, None).await?)
    }

    /// Every object directly below a prefix. For prefixes whose entries are few by nature.
    pub(super) async fn list_all(&self, prefix: &KeyPrefix) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let mut start_after = String::new();
        loop {
            let (page, more) = self.list_page(prefix, start_after, PAGE).await?;
            start_after = page.last().map(|object| object.key.as_str().to_owned()).unwrap_or_default();
            objects.extend(page);
            if !more || start_after.is_empty() {
                return Ok(objects);
            }
        }
    }

    /// Whether there is any object below a prefix, at any depth.
    pub(super) async fn holds_any(&self, prefix: &KeyPrefix) -> Result<bool> {
        let query =
            ListQuery { prefix: prefix.clone(), recursive: true, start_after: String::new(), limit: 1 };
        Ok(!self.driver.list(&query).await?.entries.is_empty())
    }

    /// Objects directly below a prefix, a page of them.
    pub(super) async fn list_page(
        &self,
        prefix: &KeyPrefix,
        start_after: String,
        limit: usize,
    ) -> Result<(Vec<Object>, bool)> {
        let query = ListQuery { prefix: prefix.clone(), recursive: false, start_after, limit };
        let page = self.driver.list(&query).await?;
        let objects = page.entries.into_iter().filter_map(|entry| match entry {
            Entry::Object(object) => Some(object),
            Entry::CommonPrefix(_) => None,
        });
        Ok((objects.collect(), page.more))
    }
}
