//! What a check works with: connections, keys of its own, the driver's description, hooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_driver_proto::v1;
use longshore_driver_sdk::endpoint::{Endpoint, TrustedPeer};
use tokio::sync::RwLock;

use crate::check::Need;
use crate::connection::{Connection, Windows};
use crate::hooks::{Hook, Hooks};
use crate::new_store::NewStore;
use crate::verdict::{Failure, Verdict};

/// Below this lies everything that the kit writes.
pub const ROOT: &str = "longshore-driver-check";

/// Where a driver listens, and what may be done to it.
#[derive(Debug, Clone)]
pub struct Target {
    pub endpoint: Endpoint,
    pub second: Option<Endpoint>,
    pub trusted: TrustedPeer,
    pub hooks: Option<Hooks>,
}

/// One check's view of the driver.
pub struct Bed {
    pub target: Arc<Target>,
    /// The answer to the handshake at the begin of the run.
    pub greeting: Arc<v1::HandshakeResponse>,
    /// If the store had no id before the run.
    pub new_store: Option<Arc<NewStore>>,
    connection: RwLock<Connection>,
    second: Option<Connection>,
    /// `longshore-driver-check/RUN/CHECK`: nobody else's.
    place: String,
    next: AtomicU64,
    run: String,
}

impl Bed {
    /// A bed for the check of this name, in this run.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn new(
        target: Arc<Target>,
        greeting: Arc<v1::HandshakeResponse>,
        new_store: Option<Arc<NewStore>>,
        run: &str,
        check: &str,
    ) -> Verdict<Self> {
        let (connection, _) = Connection::open(&target.endpoint, target.trusted).await?;
        let second = match &target.second {
            Some(endpoint) => Some(Connection::open(endpoint, target.trusted).await?.0),
            None => None,
        };
        Ok(Self {
            target,
            greeting,
            new_store,
            connection: RwLock::new(connection),
            second,
            place: format!("{ROOT}/{run}/{check}"),
            next: AtomicU64::new(0),
            run: run.to_owned(),
        })
    }

    /// The connection to the driver; after a restart, the new one.
    pub async fn driver(&self) -> Connection {
        self.connection.read().await.clone()
    }

    /// The second instance on the same store; the runner skips checks that need one where there is none.
    ///
    /// # Errors
    /// When there is none.
    pub fn second(&self) -> Verdict<Connection> {
        self.second.clone().ok_or_else(|| Failure::new("nothing", "a second endpoint", "none was named"))
    }

    /// A connection of its own, with windows of its own.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn connect(&self, windows: Windows) -> Verdict<Connection> {
        Connection::dial(&self.target.endpoint, self.target.trusted, windows).await
    }

    /// A key that nobody else uses.
    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    /// A prefix that nobody else uses, with its final `/`.
    pub fn prefix(&self) -> String {
        format!("{}/", self.place)
    }

    /// An upload id that nobody else uses. They begin with the run's letters, by which the kit finds its own again.
    pub fn upload_id(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut random = [0_u8; 8];
        // Without randomness the number alone keeps ids of one check apart.
        let _ = getrandom::fill(&mut random);
        let random = u64::from_le_bytes(random) ^ number;
        format!("{}{random:016x}", self.run)
    }

    pub fn capabilities(&self) -> v1::Capabilities {
        self.greeting.capabilities.unwrap_or_default()
    }

    pub fn limits(&self) -> v1::Limits {
        self.greeting.limits.unwrap_or_default()
    }

    /// The largest piece that the driver takes.
    pub fn chunk(&self) -> usize {
        self.limits().max_chunk_bytes as usize
    }

    /// Kills the driver and starts it again.
    ///
    /// # Errors
    /// When a hook fails, or the driver does not come back.
    pub async fn restart(&self) -> Verdict<v1::HandshakeResponse> {
        self.hook(Hook::Kill).await?;
        self.hook(Hook::Start).await?;
        self.reconnect().await
    }

    /// Runs a hook.
    ///
    /// # Errors
    /// When it fails.
    pub async fn hook(&self, hook: Hook) -> Verdict {
        match &self.target.hooks {
            Some(hooks) => hooks.run(hook).await,
            None => Err(Failure::new(hook.file_name(), "a hook", "no --hooks were named")),
        }
    }

    /// A new connection in place of the old one.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn reconnect(&self) -> Verdict<v1::HandshakeResponse> {
        let (connection, greeting) = Connection::open(&self.target.endpoint, self.target.trusted).await?;
        *self.connection.write().await = connection;
        Ok(greeting)
    }

    /// Whether the driver, the hooks and the command line give what a check needs.
    pub fn lacks(target: &Target, greeting: &v1::HandshakeResponse, need: Need) -> bool {
        let has = greeting.capabilities.unwrap_or_default();
        let hooks = |wanted: &[Hook]| {
            target.hooks.as_ref().is_some_and(|hooks| wanted.iter().all(|hook| hooks.has(*hook)))
        };
        let there = match need {
            Need::RangeRead => has.range_read,
            Need::PutIfAbsent => has.put_if_absent,
            Need::PutIfMatch => has.put_if_match,
            Need::DeleteIfMatch => has.delete_if_match,
            Need::ListIsCurrent => has.list_is_current,
            Need::UploadsShared => has.uploads_shared,
            Need::Crc32c => has.crc32c,
            Need::Move => has.r#move() != v1::MoveCost::Unspecified,
            Need::Restart => has.durability() >= v1::Durability::Os && hooks(&[Hook::Kill, Hook::Start]),
            Need::Terminate => hooks(&[Hook::Terminate, Hook::Start]),
            Need::BackendStop => hooks(&[Hook::BackendStop, Hook::BackendStart]),
            Need::Second => target.second.is_some(),
            Need::Unix => matches!(target.endpoint, Endpoint::Unix(_)),
        };
        !there
    }
}
