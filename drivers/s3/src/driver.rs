//! The driver: the contract's calls on a bucket.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use longshore_driver_sdk::backend::{self, PIECE};
use longshore_driver_sdk::sessions::Sessions;
use longshore_driver_sdk::{
    ByteStream, Capabilities, Condition, Description, Driver, DriverError, Durability, Entry, Key, Limits,
    ListQuery, Object, Page, Probe, ProbeState, ReadRange, Reading, Reason, Result, SignRequest, SignedUrl,
    Uploads,
};

use crate::body::Content;
use crate::bucket::{Bucket, Extra, Found, Guard};
use crate::config::{Checksums, Config, Init, Listing};
use crate::failure::Failure;
use crate::probe::{self, Enforced};
use crate::sessions::{LAZY_MARK, MARK_EVERY, S3Sessions, Schedule};
use crate::turns::Turns;
use crate::{client, init, listing};

/// How often a bucket is looked at that can't be reached yet.
const AGAIN: Duration = Duration::from_secs(1);
/// Absence is believed for so long after the store's id was seen.
const WITNESSED: Duration = Duration::from_secs(1);

/// Bytes of a read in one message, but for the last: a message costs as much as some thousand bytes.
const LEAST_PIECE: usize = 64 * 1024;

/// Of a batch that is to be deleted.
const LOOKS_AT_ONCE: usize = 32;

/// A bucket, and what is known of it.
pub(crate) struct Store {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) turns: Turns,
    checksums: Checksums,
    listing: Listing,
    enforced: OnceLock<Enforced>,
    /// Why it is not known yet what the server enforces.
    obstacle: Mutex<Option<DriverError>>,
    witness: Mutex<Witness>,
}

/// The store's id: a bucket that was emptied or swapped has none, or another.
#[derive(Default)]
struct Witness {
    id: Option<Bytes>,
    seen: Option<Instant>,
}

impl Store {
    fn enforced(&self) -> Enforced {
        self.enforced.get().copied().unwrap_or_default()
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
        let known = {
            let witness = self.witness();
            if witness.seen.is_some_and(|seen| seen.elapsed() < WITNESSED) {
                return Ok(());
            }
            witness.id.clone()
        };
        let found = self.store_id().await?;
        if known.is_some() && known != found {
            let message = format!(
                "{} is not the store that it was: its {} is {}; bring the old one back, or restart the driver",
                self.bucket.place(),
                Key::store_id(),
                if found.is_some() { "another" } else { "gone" }
            );
            return Err(DriverError::new(Reason::BackendUnavailable, message));
        }
        *self.witness() = Witness { id: found, seen: Some(Instant::now()) };
        Ok(())
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

    // No code panics while it holds one of these locks, so a poisoned one guards sound data.

    fn witness(&self) -> std::sync::MutexGuard<'_, Witness> {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn obstacle(&self) -> std::sync::MutexGuard<'_, Option<DriverError>> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out what the server enforces, for as long as it takes.
    async fn explore(&self, init: Init) {
        loop {
            match self.examine(init).await {
                Ok(enforced) => {
                    tracing::info!(
                        bucket = self.bucket.place(),
                        ?enforced,
                        "this is what the server enforces"
                    );
                    self.obstacle().take();
                    let _ = self.enforced.set(enforced);
                    return;
                }
                Err(error) => self.note(error),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A store that may be made is there before the first handshake is answered.
    async fn examine(&self, init: Init) -> Result<Enforced> {
        let enforced = probe::run(&self.bucket).await?;
        if init == Init::IfEmpty {
            init::make_if_empty(&self.bucket, enforced).await?;
        }
        Ok(enforced)
    }

    /// Logs an obstacle once, until it is another.
    fn note(&self, error: DriverError) {
        let mut obstacle = self.obstacle();
        if obstacle.as_ref().is_none_or(|before| before.message() != error.message()) {
            tracing::warn!(bucket = self.bucket.place(), %error, "the bucket can't be used yet");
        }
        *obstacle = Some(error);
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
            enforced: OnceLock::new(),
            obstacle: Mutex::default(),
            witness: Mutex::default(),
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
        if self.store.enforced.get().is_some() {
            return Ok(());
        }
        let obstacle = self.store.obstacle().clone();
        Err(obstacle.unwrap_or_else(|| {
            DriverError::new(Reason::Starting, "finding out what the S3 server enforces; a moment, please")
        }))
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
        let page = listing::page(self.bucket(), query).await?;
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
        Ok(Reading { object, bytes: pieces(key.clone(), got.body, wanted.end - wanted.start) })
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

/// What is left of a read.
struct Rest {
    key: Key,
    body: aws_sdk_s3::primitives::ByteStream,
    left: u64,
    /// Came in one frame with what went before.
    over: Bytes,
}

/// Pieces of the agreed size: a server's frames may be tiny, and small messages are costly (contract clause T7).
fn pieces(key: Key, body: aws_sdk_s3::primitives::ByteStream, length: u64) -> ByteStream {
    let rest = Rest { key, body, left: length, over: Bytes::new() };
    stream::try_unfold(rest, |mut rest| async move {
        if rest.left == 0 {
            return Ok(None);
        }
        let piece = rest.piece().await?;
        Ok(Some((piece, rest)))
    })
    .boxed()
}

impl Rest {
    /// What comes in large frames goes on as it came; small ones are gathered.
    async fn piece(&mut self) -> Result<Bytes> {
        let most = self.left.min(PIECE as u64) as usize;
        let least = most.min(LEAST_PIECE);
        let mut gathered = BytesMut::new();
        while gathered.len() < least {
            let mut frame = std::mem::take(&mut self.over);
            if frame.is_empty() {
                frame = self.frame().await?;
            }
            if gathered.is_empty() && frame.len() >= least {
                let piece = frame.split_to(frame.len().min(most));
                self.over = frame;
                self.left -= piece.len() as u64;
                return Ok(piece);
            }
            let wanted = least - gathered.len();
            gathered.reserve(wanted);
            gathered.extend_from_slice(&frame.split_to(frame.len().min(wanted)));
            self.over = frame;
        }
        self.left -= gathered.len() as u64;
        Ok(gathered.freeze())
    }

    async fn frame(&mut self) -> Result<Bytes> {
        let key = &self.key;
        match self.body.next().await {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(DriverError::new(
                Reason::BackendUnavailable,
                format!("GET {key}: the connection broke with {} bytes to come: {error}", self.left),
            )),
            None => Err(DriverError::new(
                Reason::ShortObject,
                format!("GET {key}: the server ended it with {} bytes to come", self.left),
            )),
        }
    }
}
