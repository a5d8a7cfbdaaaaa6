//! The driver: the contract's calls on a bucket.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::byte_stream::error::Error as ByteStreamError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use longshore_driver_sdk::backend::{self, Start, Turns, Witness};
use longshore_driver_sdk::sessions::Sessions;
use longshore_driver_sdk::sessions::parted::{Content, LAZY_MARK, MARK_EVERY, Schedule};
use longshore_driver_sdk::{
    Capabilities, Condition, Description, Driver, DriverError, Durability, Entry, Key, Limits, ListQuery,
    Object, Page, Probe, ProbeState, ReadRange, Reading, Reason, Result, SignRequest, SignedUrl, Uploads,
};

use crate::bucket::{Bucket, Extra, Found, Guard};
use crate::config::{Checksums, Config, Init, Listing};
use crate::failure::Failure;
use crate::probe::{self, Enforced};
use crate::sessions::S3Sessions;
use crate::{client, init, listing};

/// Of a batch that is to be deleted.
const LOOKS_AT_ONCE: usize = 32;

/// A bucket, and what is known of it.
pub(crate) struct Store {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) turns: Turns,
    checksums: Checksums,
    listing: Listing,
    /// What the server enforces.
    start: Start<Enforced>,
    witness: Witness,
}

impl Store {
    fn enforced(&self) -> Enforced {
        self.start.found().copied().unwrap_or_default()
    }

    /// A key that was written may show in listings later.
    pub(crate) fn lags(&self) -> bool {
        self.listing == Listing::Lagging
    }

    pub(crate) fn sums(&self) -> bool {
        self.checksums == Checksums::Auto && self.enforced().crc32c
    }

    pub(crate) fn guard_of_put(&self) -> Guard {
        if self.enforced().put_if_absent { Guard::IfAbsent } else { Guard::None }
    }

    /// Whether a commit may leave out what another writer sent.
    pub(crate) fn leaves_parts_out(&self) -> bool {
        self.enforced().parts_left_out
    }

    pub(crate) fn guard_of_complete(&self) -> Guard {
        if self.enforced().complete_if_absent { Guard::IfAbsent } else { Guard::None }
    }

    /// Whether this is still the store that it was: to be asked before anything is believed to be absent (rule R5).
    pub(crate) async fn must_be_there(&self) -> Result<()> {
        self.witness.check(&self.bucket.place(), self.store_id()).await
    }

    /// What is at a key; `None`: this store states that nothing is.
    pub(crate) async fn found(&self, key: &Key) -> Result<Option<Found>> {
        let found = self.bucket.stat(key.as_str()).await?;
        if found.is_none() {
            self.must_be_there().await?;
        }
        Ok(found)
    }

    async fn store_id(&self) -> Result<Option<Bytes>> {
        let key = Key::store_id();
        match self.bucket.get(key.as_str(), 0, None).await {
            Ok(got) => {
                let id = got.body.collect().await.map_err(|error| {
                    DriverError::new(Reason::BackendUnavailable, format!("GET {key}: {error}"))
                })?;
                Ok(Some(id.into_bytes()))
            }
            Err(Failure::Absent) => Ok(None),
            Err(other) => Err(other.into_error(&format!("GET {key}"))),
        }
    }

    /// Finds out what the server enforces, for as long as it takes.
    async fn explore(&self, init: Init) {
        let place = self.bucket.place();
        while !self.start.settle(&place, self.examine(init).await).await {}
    }

    /// A store that may be made is there before the first handshake is answered.
    async fn examine(&self, init: Init) -> Result<Enforced> {
        let enforced = probe::run(&self.bucket).await?;
        if init == Init::IfEmpty {
            init::make_if_empty(&self.bucket, enforced).await?;
        }
        tracing::info!(bucket = self.bucket.place(), ?enforced, "this is what the server enforces");
        Ok(enforced)
    }
}

/// A store in a bucket.
pub struct S3Driver {
    store: Arc<Store>,
    sessions: Sessions<S3Sessions>,
    schedule: Schedule,
    signs: bool,
}

impl S3Driver {
    /// Begins to find out what the server can do, and does not wait for it: an endpoint that is down may come up later.
    ///
    /// # Errors
    /// When the settings can't work.
    pub async fn open(config: Config) -> Result<Self> {
        config.check()?;
        let spool = config.spool.clone().unwrap_or_else(std::env::temp_dir);
        backend::blocking(|| tempfile::tempfile_in(&spool))
            .map_err(|error| DriverError::io(format!("make a file in spool={}", spool.display()), error))?;
        let bucket = Arc::new(Bucket::new(client::open(&config).await?, &config));
        let store = Arc::new(Store {
            bucket,
            turns: Turns::default(),
            checksums: config.checksums,
            listing: config.listing,
            start: Start::default(),
            witness: Witness::default(),
        });
        let exploring = Arc::clone(&store);
        tokio::spawn(async move { exploring.explore(config.init).await });
        let schedule = Schedule::new(config.max_parts);
        let sessions = S3Sessions::new(Arc::clone(&store), spool, schedule);
        let sessions = Sessions::new(sessions, Limits::default().upload_ttl)
            .with_marks_every(MARK_EVERY)
            .with_lazy_marks(LAZY_MARK);
        Ok(Self { store, sessions, schedule, signs: config.signing })
    }

    fn bucket(&self) -> &Bucket {
        &self.store.bucket
    }

    /// The one condition that every driver honours, also where the server does not: for the store's id (rule R8).
    async fn put_new(&self, key: &Key, content: Bytes) -> Result<Found> {
        let _turn = self.store.turns.take(key.as_str()).await;
        let guard = self.store.guard_of_put();
        if guard == Guard::None && self.bucket().stat(key.as_str()).await?.is_some() {
            return Err(exists(key));
        }
        self.write(key, content, &guard).await
    }

    async fn write(&self, key: &Key, content: Bytes, guard: &Guard) -> Result<Found> {
        let extra = Extra { checksums: self.store.sums(), ..Extra::default() };
        let put = self.bucket().put(key.as_str(), Content::from(content), guard, extra).await;
        put.map_err(|failure| match (failure, guard) {
            (Failure::Condition, Guard::IfAbsent) => exists(key),
            // A condition on what is not there, as some servers say it.
            (Failure::Absent, Guard::IfMatch(_)) => Failure::Condition.into_error(&format!("PUT {key}")),
            (other, _) => other.into_error(&format!("PUT {key}")),
        })
    }

    async fn nothing_to_read(&self, key: &Key, range: &ReadRange) -> Result<Reading> {
        let found = self.store.found(key).await?.ok_or_else(|| DriverError::key_not_found(key))?;
        let object = listing::object(key, found);
        let empty = ReadRange { length: Some(0), ..range.clone() };
        backend::range(&object, &empty)?;
        Ok(Reading { object, bytes: stream::empty().boxed() })
    }
}

fn exists(key: &Key) -> DriverError {
    DriverError::new(Reason::KeyExists, format!("there is an object at key {key} already"))
}

#[async_trait]
impl Driver for S3Driver {
    fn description(&self) -> Description {
        let enforced = self.store.enforced();
        let capabilities = Capabilities {
            durability: Durability::Stable,
            range_read: true,
            put_if_absent: enforced.put_if_absent,
            put_if_match: enforced.put_if_match.is_some(),
            delete_if_match: enforced.delete_if_match.is_some(),
            list_is_current: !self.store.lags(),
            // The records of another instance are found by listing them.
            uploads_shared: !self.store.lags(),
            sign_get: self.signs,
            move_cost: None,
        };
        let mut description = Description::new("s3.longshore", env!("CARGO_PKG_VERSION"), capabilities);
        description.limits.max_object = Some(self.schedule.largest_object());
        description
    }

    async fn ready(&self) -> Result<()> {
        self.store.start.ready("finding out what the S3 server enforces; a moment, please").map(drop)
    }

    async fn probe(&self) -> Result<Probe> {
        if let Err(error) = self.ready().await {
            return Ok(Probe { state: ProbeState::Starting, reason: error.to_string(), bytes_free: None });
        }
        self.bucket().stat(Key::store_id().as_str()).await?;
        Ok(Probe::ready(None))
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        let found = self.store.found(key).await?.ok_or_else(|| DriverError::key_not_found(key))?;
        Ok(listing::object(key, found))
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let found = match condition {
            Condition::Always => self.write(key, content, &Guard::None).await?,
            Condition::IfAbsent => self.put_new(key, content).await?,
            Condition::IfMatch(etag) => {
                let Some(quotes) = self.store.enforced().put_if_match else {
                    return Err(DriverError::new(
                        Reason::NotSupported,
                        "this S3 server does not enforce If-Match",
                    ));
                };
                self.write(key, content, &Guard::IfMatch(quotes.around(&etag))).await?
            }
        };
        if found.etag.is_some() {
            return Ok(listing::object(key, found));
        }
        // Swift names no ETag where a later PUT overtook this one: then there is another object by now, which is not ours.
        let now = self.store.found(key).await?.filter(|now| now.size == found.size);
        Ok(listing::object(key, now.unwrap_or(found)))
    }

    /// The server does not say whether there was one, so it is asked before.
    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        let _turn = self.store.turns.take(key.as_str()).await;
        let Some(found) = self.store.found(key).await? else { return Ok(false) };
        let quotes = self.store.enforced().delete_if_match;
        let guard = match (if_match, quotes) {
            (None, _) => None,
            (Some(etag), Some(quotes)) => {
                backend::check_delete(key, Some(&listing::object(key, found)), Some(etag))?;
                Some(quotes.around(etag))
            }
            (Some(_), None) => {
                return Err(DriverError::new(
                    Reason::NotSupported,
                    "this S3 server does not enforce If-Match of a DELETE",
                ));
            }
        };
        match self.bucket().delete(key.as_str(), guard.as_deref()).await {
            Ok(()) => Ok(true),
            Err(Failure::Absent) => Ok(false),
            Err(other) => Err(other.into_error(&format!("DELETE {key}"))),
        }
    }

    /// One look for each, and one request for all that are there.
    async fn delete_all(&self, keys: &[Key]) -> Vec<Result<bool>> {
        if let [key] = keys {
            return vec![self.delete(key, None).await];
        }
        let looks = stream::iter(keys.to_vec()).map(|key| async move { self.store.found(&key).await });
        let looks = looks.buffered(LOOKS_AT_ONCE);
        let mut outcomes: Vec<Result<bool>> =
            looks.map(|look| look.map(|found| found.is_some())).collect().await;
        let there: Vec<String> = keys
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| matches!(outcome, Ok(true)))
            .map(|(key, _)| key.as_str().to_owned())
            .collect();
        if there.is_empty() {
            return outcomes;
        }
        let refused = self.bucket().delete_all(&there).await;
        for (key, outcome) in
            keys.iter().zip(&mut outcomes).filter(|(_, outcome)| matches!(outcome, Ok(true)))
        {
            let failed = match &refused {
                Ok(refused) => refused.iter().find(|(name, _)| name == key.as_str()).map(|(_, error)| error),
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                *outcome = Err(error.clone());
            }
        }
        outcomes
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let page = backend::page(self.bucket(), query).await?;
        if page.entries.is_empty() {
            self.store.must_be_there().await?;
        }
        Ok(page)
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        if range.length == Some(0) {
            return self.nothing_to_read(key, &range).await;
        }
        let got = match self.bucket().get(key.as_str(), range.offset, range.length).await {
            Ok(got) => got,
            Err(Failure::Range) => return self.nothing_to_read(key, &range).await,
            Err(Failure::Absent) => {
                self.store.must_be_there().await?;
                return Err(DriverError::key_not_found(key));
            }
            Err(other) => return Err(other.into_error(&format!("GET {key}"))),
        };
        let object = listing::object(key, got.found);
        let wanted = backend::range(&object, &range)?;
        Ok(Reading {
            object,
            bytes: backend::in_pieces(key.clone(), frames(got.body), wanted.end - wanted.start),
        })
    }

    async fn sign(&self, key: &Key, request: &SignRequest) -> Result<Option<SignedUrl>> {
        if !self.signs {
            return Err(DriverError::new(Reason::NotSupported, "signing is switched off (signing=false)"));
        }
        Ok(Some(self.bucket().sign(key.as_str(), request).await?))
    }

    fn uploads(&self) -> &dyn Uploads {
        &self.sessions
    }
}

/// As they come.
pub(crate) fn frames(
    body: ByteStream,
) -> impl Stream<Item = std::result::Result<Bytes, ByteStreamError>> + Send + Unpin {
    Box::pin(stream::unfold(body, |mut body| async move { Some((body.next().await?, body)) }))
}
