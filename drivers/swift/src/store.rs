//! A container, and what is known of it: what the driver and its upload sessions share.

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_sdk::backend::{Start, Turns, Witness};
use longshore_driver_sdk::sessions::parted::{CREATED, Content, Medium};
use longshore_driver_sdk::{ByteStream, DriverError, Key, Reason, Result, UploadId};

use crate::config::{Init, Listing};
use crate::container::{BATCH, Container, Extra, Found, Freshness};
use crate::driver::frames;
use crate::failure::Failure;
use crate::info::Info;
use crate::init;

/// Bytes of a store's id, at most.
const STORE_ID: usize = 64 * 1024;

pub(crate) struct Store {
    pub(crate) container: Container,
    pub(crate) turns: Turns,
    listing: Listing,
    start: Start<Info>,
    witness: Witness,
}

impl Store {
    pub(crate) fn new(container: Container, listing: Listing) -> Self {
        Self {
            container,
            turns: Turns::default(),
            listing,
            start: Start::default(),
            witness: Witness::default(),
        }
    }

    /// What the server can do; `None`: it is not known yet.
    pub(crate) fn info(&self) -> Option<&Info> {
        self.start.found()
    }

    pub(crate) fn ready(&self) -> Result<&Info> {
        self.start.ready("finding out what the Swift server can do; a moment, please")
    }

    /// A key that was written may show in listings later.
    pub(crate) fn lags(&self) -> bool {
        self.listing == Listing::Lagging
    }

    /// Finds out what the server can do, for as long as it takes.
    pub(crate) async fn explore(&self, init: Init) {
        let place = self.container.place();
        while !self.start.settle(&place, self.examine(init).await).await {}
    }

    /// A store that may be made is there before the first handshake is answered.
    async fn examine(&self, init: Init) -> Result<Info> {
        let info = self.container.info().await?.clone();
        if info.slo.is_none() {
            let message =
                "the Swift server has no static large objects (slo), which uploads need; switch them on";
            return Err(DriverError::new(Reason::NotSupported, message));
        }
        self.container.list(".driver/", true, "", 1).await?;
        self.try_plain().await?;
        if init == Init::IfEmpty {
            init::make_if_empty(&self.container).await?;
        }
        self.container.warn_of_small_segments(&info);
        tracing::info!(container = self.container.place(), ?info, "this is what the server can do");
        Ok(info)
    }

    /// What the driver can't do without.
    async fn try_plain(&self) -> Result<()> {
        let name = format!(".driver/probe/{}", UploadId::random()?);
        let content = Content::from(Bytes::from_static(b"plain"));
        self.container
            .put(&name, content, Extra::default())
            .await
            .map_err(|failure| failure.into_error("a first write"))?;
        let found = self.container.stat(&name, Freshness::Newest).await?;
        if found.is_none_or(|found| found.size != 5) {
            return Err(DriverError::new(
                Reason::BackendUnavailable,
                format!("{name} was written and is not there to be read; is there a cache in between?"),
            ));
        }
        self.container.delete(&name).await.map_err(|failure| failure.into_error("a first delete"))
    }

    /// Whether this is still the store that it was: to be asked before anything is believed to be absent (rule R5).
    pub(crate) async fn must_be_there(&self) -> Result<()> {
        self.witness.check(&self.container.place(), self.store_id()).await
    }

    /// What is at a key; `None`: this store states that nothing is.
    pub(crate) async fn found(&self, key: &Key) -> Result<Option<Found>> {
        let found = self.container.stat(key.as_str(), Freshness::Newest).await?;
        if found.is_none() {
            self.must_be_there().await?;
        }
        Ok(found)
    }

    /// Whether what is at a key is in segments, be they there or not; `None`: this store states that nothing is.
    pub(crate) async fn is_in_segments(&self, key: &Key) -> Result<Option<bool>> {
        let found = self.container.is_in_segments(key.as_str()).await?;
        if found.is_none() {
            self.must_be_there().await?;
        }
        Ok(found)
    }

    /// Deletes objects, by as few requests as may be. One that is not there is deleted.
    pub(crate) async fn delete(&self, names: &[String]) -> Result<()> {
        match self.container.delete_all(names).await?.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    async fn store_id(&self) -> Result<Option<Bytes>> {
        let key = Key::store_id();
        match self.container.get_piece(key.as_str(), 0, None, Freshness::Any).await {
            Ok(got) => got.body.all(STORE_ID).await.map(Some),
            Err(Failure::Absent) => Ok(None),
            Err(other) => Err(other.into_error(&format!("GET {key}"))),
        }
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
            let page = self.container.list(folder, false, &after, BATCH).await?;
            names.extend(
                page.entries.iter().filter_map(|entry| Some(entry.name.strip_prefix(folder)?.to_owned())),
            );
            if !page.more || page.entries.is_empty() {
                return Ok(names);
            }
        }
    }

    async fn get(&self, path: &str, offset: u64, length: Option<u64>) -> Result<Option<ByteStream>> {
        // The head of a session is written over; all other records are written once.
        let freshness = if path.ends_with(CREATED) { Freshness::Newest } else { Freshness::Any };
        match self.container.get_piece(path, offset, length, freshness).await {
            Ok(got) => Ok(Some(Box::pin(frames(got.body)))),
            Err(Failure::Absent) => Ok(None),
            Err(other) => Err(other.into_error(&format!("GET {path}"))),
        }
    }

    /// No condition is enforced.
    async fn put(&self, path: &str, content: Content, _only_new: bool) -> Result<()> {
        let put = self.container.put_summed(path, content).await;
        put.map(drop).map_err(|failure| failure.into_error(&format!("PUT {path}")))
    }
}
