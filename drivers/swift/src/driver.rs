//! The driver: the contract's calls on a container.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use longshore_driver_sdk::backend::{self, Turn, blocking};
use longshore_driver_sdk::sessions::Sessions;
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{
    Capabilities, Condition, Description, Driver, DriverError, Durability, Entry, Key, Limits, ListQuery,
    Object, Page, Probe, ProbeState, ReadRange, Reading, Reason, Result, SignRequest, SignedUrl, Uploads,
};

use crate::body;
use crate::client::Body;
use crate::config::Config;
use crate::container::{Container, Extra, Found, Freshness, Got};
use crate::failure::{Failure, Outcome};
use crate::info::Flavour;
use crate::listing;
use crate::sessions::{self, SwiftSessions};
use crate::store::Store;

/// Of a batch that is to be deleted.
const LOOKS_AT_ONCE: usize = 32;
/// Objects in segments that are deleted at once: each is a request of its own, under which the server makes many.
const DELETES_AT_ONCE: usize = 4;

/// A store in a container.
pub struct SwiftDriver {
    store: Arc<Store>,
    sessions: Sessions<SwiftSessions>,
    signs: bool,
}

impl SwiftDriver {
    /// Begins to find out what the server can do, and does not wait for it: one that is down may come up later.
    ///
    /// # Errors
    /// When the settings can't work.
    pub async fn open(config: Config) -> Result<Self> {
        let config = config.with_environment()?;
        config.check()?;
        let spool = config.spool.clone().unwrap_or_else(std::env::temp_dir);
        blocking(|| tempfile::tempfile_in(&spool))
            .map_err(|error| DriverError::io(format!("make a file in spool={}", spool.display()), error))?;
        let store = Arc::new(Store::new(Container::open(&config)?, config.listing));
        let exploring = Arc::clone(&store);
        tokio::spawn(async move { exploring.explore(config.init).await });
        let sessions = SwiftSessions::new(Arc::clone(&store), spool, &config);
        let (mark_every, lazy) = sessions.marks();
        let sessions = Sessions::new(sessions, Limits::default().upload_ttl)
            .with_marks_every(mark_every)
            .with_lazy_marks(lazy);
        Ok(Self { store, sessions, signs: config.signing })
    }

    fn container(&self) -> &Container {
        &self.store.container
    }

    /// The one condition that every driver honours, also where the server does not: for the store's id (rule R8).
    async fn put_new(&self, key: &Key, content: Bytes) -> Result<Found> {
        let _turn = self.store.turns.take(key.as_str()).await;
        if self.container().stat(key.as_str(), Freshness::Newest).await?.is_some() {
            return Err(DriverError::new(
                Reason::KeyExists,
                format!("there is an object at key {key} already"),
            ));
        }
        self.write(key, content, false).await.map_err(|failure| failure.into_error(&format!("PUT {key}")))
    }

    /// In the place of what is there. An object in segments would leave them behind.
    async fn put_over(&self, key: &Key, content: Bytes) -> Result<Found> {
        let _turn = self.store.turns.take(key.as_str()).await;
        let failed = |failure: Failure| failure.into_error(&format!("PUT {key}"));
        // Most keys are written once. Where the server sees that nothing is there, nobody else has to look.
        if self.store.info().is_some_and(|info| info.flavour == Flavour::Swift) {
            match self.write(key, content.clone(), true).await {
                Err(Failure::Condition) => {}
                outcome => return outcome.map_err(failed),
            }
        }
        let before = self.container().stat(key.as_str(), Freshness::Newest).await?;
        let found = self.write(key, content, false).await.map_err(failed)?;
        if let Some(made_by) = before.filter(|before| before.is_manifest).and_then(|before| before.made_by) {
            sessions::delete_of_object(&self.store, &made_by).await?;
        }
        Ok(found)
    }

    async fn write(&self, key: &Key, content: Bytes, only_new: bool) -> Outcome<Found> {
        let content = Content::from(content);
        let md5 = body::md5(&content)
            .map_err(|error| DriverError::io(format!("take the MD5 of what goes to {key}"), error))?;
        let extra = Extra { md5: Some(md5), only_new, ..Extra::default() };
        self.container().put(key.as_str(), content, extra).await
    }

    async fn nothing_to_read(&self, key: &Key, range: &ReadRange) -> Result<Reading> {
        let found = self.store.found(key).await?.ok_or_else(|| DriverError::key_not_found(key))?;
        let object = listing::object(key, found);
        let empty = ReadRange { length: Some(0), ..range.clone() };
        backend::range(&object, &empty)?;
        Ok(Reading { object, bytes: stream::empty().boxed() })
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        was_there(key, self.container().delete(key.as_str()).await)
    }

    /// That may be thousands of requests, and goes on where the core has waited for long enough: its next delete has its turn
    /// behind this one.
    async fn remove_with_segments(&self, key: &Key, turn: Turn) -> Result<bool> {
        let (store, name) = (Arc::clone(&self.store), key.clone());
        let removing = tokio::spawn(async move {
            let _turn = turn;
            was_there(&name, store.container.delete_with_segments(name.as_str()).await)
        });
        removing.await.unwrap_or_else(|failed| {
            Err(DriverError::new(Reason::DriverBug, format!("DELETE {key}: {failed}")).with_unknown_outcome())
        })
    }

    /// What a GET gave.
    async fn reading(&self, key: &Key, range: &ReadRange, got: Outcome<Got>) -> Result<Reading> {
        let got = match got {
            Ok(got) => got,
            Err(Failure::Range) => return self.nothing_to_read(key, range).await,
            Err(Failure::Absent) => {
                self.store.must_be_there().await?;
                return Err(DriverError::key_not_found(key));
            }
            Err(other) => return Err(other.into_error(&format!("GET {key}"))),
        };
        let object = listing::object(key, got.found);
        let wanted = backend::range(&object, range)?;
        let bytes = backend::in_pieces(key.clone(), frames(got.body), wanted.end - wanted.start);
        Ok(Reading { object, bytes })
    }
}

/// Whether there was something to delete.
fn was_there(key: &Key, deleted: Outcome<()>) -> Result<bool> {
    match deleted {
        Ok(()) => Ok(true),
        Err(Failure::Absent) => Ok(false),
        Err(other) => Err(other.into_error(&format!("DELETE {key}"))),
    }
}

#[async_trait]
impl Driver for SwiftDriver {
    fn description(&self) -> Description {
        let signs = self.store.info().and_then(|info| info.temp_url.as_ref()).is_some_and(|url| url.reads);
        let capabilities = Capabilities {
            durability: Durability::Stable,
            range_read: true,
            // If-None-Match lets more than one through (measured), and If-Match of a PUT is not looked at.
            put_if_absent: false,
            put_if_match: false,
            delete_if_match: false,
            list_is_current: !self.store.lags(),
            uploads_shared: true,
            sign_get: self.signs && signs,
            move_cost: None,
        };
        let mut description = Description::new("swift.longshore", env!("CARGO_PKG_VERSION"), capabilities);
        description.limits.max_object = self.sessions.storage().largest_object();
        description
    }

    async fn ready(&self) -> Result<()> {
        self.store.ready().map(drop)
    }

    async fn probe(&self) -> Result<Probe> {
        if let Err(error) = self.ready().await {
            return Ok(Probe { state: ProbeState::Starting, reason: error.to_string(), bytes_free: None });
        }
        self.container().stat(Key::store_id().as_str(), Freshness::Any).await?;
        Ok(Probe::ready(None))
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        let found = self.store.found(key).await?.ok_or_else(|| DriverError::key_not_found(key))?;
        Ok(listing::object(key, found))
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let found = match condition {
            Condition::Always => self.put_over(key, content).await?,
            Condition::IfAbsent => self.put_new(key, content).await?,
            Condition::IfMatch(_) => {
                return Err(DriverError::new(
                    Reason::NotSupported,
                    "Swift does not look at If-Match of a PUT",
                ));
            }
        };
        if found.etag.is_some() {
            return Ok(listing::object(key, found));
        }
        // Swift names no ETag where a later PUT overtook this one: then there is another object by now, which is not ours.
        let now = self.store.found(key).await?.filter(|now| now.size == found.size);
        Ok(listing::object(key, now.unwrap_or(found)))
    }

    /// An object in segments goes with them.
    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        if if_match.is_some() {
            return Err(DriverError::new(
                Reason::NotSupported,
                "Swift does not look at If-Match of a DELETE",
            ));
        }
        let turn = self.store.turns.take(key.as_str()).await;
        match self.store.is_in_segments(key).await? {
            None => Ok(false),
            Some(false) => self.remove(key).await,
            Some(true) => self.remove_with_segments(key, turn).await,
        }
    }

    /// One look for each, one request for all that lie in one piece, and one for each that is in segments.
    async fn delete_all(&self, keys: &[Key]) -> Vec<Result<bool>> {
        if let [key] = keys {
            return vec![self.delete(key, None).await];
        }
        let looks =
            stream::iter(keys.to_vec()).map(|key| async move { self.store.is_in_segments(&key).await });
        let found: Vec<Result<Option<bool>>> = looks.buffered(LOOKS_AT_ONCE).collect().await;
        let plain: Vec<String> = keys
            .iter()
            .zip(&found)
            .filter(|(_, found)| matches!(found, Ok(Some(false))))
            .map(|(key, _)| key.as_str().to_owned())
            .collect();
        let refused = match plain.is_empty() {
            true => Ok(Vec::new()),
            false => self.container().delete_all(&plain).await,
        };
        let refused = &refused;
        let outcomes = stream::iter(keys.iter().cloned().zip(found)).map(|(key, found)| async move {
            match found? {
                None => Ok(false),
                Some(true) => {
                    let turn = self.store.turns.take(key.as_str()).await;
                    self.remove_with_segments(&key, turn).await
                }
                Some(false) => match refused {
                    Err(error) => Err(error.clone()),
                    Ok(refused) => {
                        let failed = refused.iter().find(|(name, _)| name == key.as_str());
                        failed.map_or(Ok(true), |(_, error)| Err(error.clone()))
                    }
                },
            }
        });
        outcomes.buffered(DELETES_AT_ONCE).collect().await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let page = backend::page(self.container(), query).await?;
        if page.entries.is_empty() {
            self.store.must_be_there().await?;
        }
        Ok(page)
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        if range.length == Some(0) {
            return self.nothing_to_read(key, &range).await;
        }
        // What is overwritten is small, and read as a whole.
        let is_whole = range.offset == 0 && range.length.is_none();
        let freshness = if is_whole { Freshness::Newest } else { Freshness::Any };
        let got = self.container().get(key.as_str(), range.offset, range.length, freshness).await;
        self.reading(key, &range, got).await
    }

    /// What is small lies in one piece, unless it came by an upload.
    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        let got = self.container().get_piece(key.as_str(), 0, None, Freshness::Newest).await;
        let reading = self.reading(key, &ReadRange::default(), got).await?;
        backend::whole(reading, self.description().limits.max_inline).await
    }

    async fn sign(&self, key: &Key, request: &SignRequest) -> Result<Option<SignedUrl>> {
        if !self.signs {
            return Err(DriverError::new(Reason::NotSupported, "signing is switched off (signing=false)"));
        }
        self.container().sign(key.as_str(), request).await
    }

    fn uploads(&self) -> &dyn Uploads {
        &self.sessions
    }
}

/// As they come.
pub(crate) fn frames(body: Body) -> impl Stream<Item = Result<Bytes>> + Send + Unpin {
    Box::pin(stream::unfold(body, |mut body| async move { Some((body.next().await?, body)) }))
}
