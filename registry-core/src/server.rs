//! Where everything is put together: drivers are reached or started, stores opened, the registry served, and all of it
//! ended in the right order. The only place that names concrete types.

mod admission;
mod body;
mod connection;
mod listener;
mod proxies;
mod pulse;
mod stream;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use longshore_driver_sdk::client::{Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::TrustedPeer;
use longshore_driver_sdk::{DriverError, UploadId};
use rustix::process::Resource;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::auth::{Auth, HtpasswdProblem};
use crate::config::listen::ListenAddress;
use crate::config::{self, Config, ConfigProblem, Reach};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::registry::store::{Store, StoreProblem};
use crate::storage::advice::next_step;
use crate::storage::minder::{MindError, Minder};
use crate::storage::{self, Route, RouteProblem, Storages};
use admission::Admission;
use connection::Edge;
use listener::Listener;
use tls::TlsProblem;

/// How long a driver may take to answer at start.
const PATIENCE: Duration = Duration::from_secs(15);
/// A minded driver that ended this often before it ever answered will not come up.
const HOPELESS: u32 = 3;
/// Descriptors beside those of clients: drivers, listeners, the log.
const SPARE_DESCRIPTORS: u64 = 64;

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    #[error(transparent)]
    Routes(#[from] RouteProblem),
    #[error(transparent)]
    Mind(#[from] MindError),
    #[error("the driver of storage {0} ends as soon as it is started; its own message above says why")]
    DriverEnds(String),
    #[error("storage {name}: {error}; {}", next_step(error.reason()))]
    Driver { name: String, error: DriverError },
    #[error("storage {name}: {error}")]
    Store { name: String, error: StoreProblem },
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddress, std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdProblem),
    #[error("the system gives no random bits: {0}")]
    Random(DriverError),
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// When a driver, a store or the address can't be used.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    check_text(&config)?;
    let instance = UploadId::random().map_err(ServeError::Random)?.as_str().to_owned();
    let (mut minders, metrics) = (Vec::new(), Metrics::default());
    let started = start(&config, &instance, &mut minders, &metrics).await;
    let outcome = match started {
        Ok((registry, auth, listeners)) => {
            let registry = Arc::new(registry);
            let sweeper = (!config.read_only)
                .then(|| tokio::spawn(sweep(registry.clone(), config.uploads.sweep_every)));
            let watched = registry.clone();
            let watcher = tokio::spawn(async move { watched.watch_health().await });
            serve(listeners, api::router(registry, auth, metrics, config.read_only), config, shutdown).await;
            sweeper.inspect(tokio::task::JoinHandle::abort);
            watcher.abort();
            Ok(())
        }
        Err(error) => Err(error),
    };
    for minder in minders {
        minder.stop().await;
    }
    outcome
}

/// All that the text alone tells.
fn check_text(config: &Config) -> Result<(), ServeError> {
    config.check()?;
    if !config.storage.is_empty() {
        let prefixes = config.storage.values().flat_map(config::Storage::claimed);
        storage::check_prefixes(prefixes)?;
    }
    Ok(())
}

/// All that can be said of a configuration without a driver and without an address being taken.
///
/// # Errors
/// What a start would end with.
pub async fn check(config: &Config) -> Result<(), ServeError> {
    check_text(config)?;
    if let Some(tls) = config.tls.clone() {
        tls::start(tls).await?;
    }
    Auth::start(config.auth.clone()).await?;
    Ok(())
}

async fn start(
    config: &Config,
    instance: &str,
    minders: &mut Vec<Minder>,
    metrics: &Metrics,
) -> Result<(Registry, Auth, Vec<Listener>), ServeError> {
    // First, so that nothing is started for an address that is taken; clients that come early wait in its queue.
    let listeners = bind(config).await?;
    let auth = Auth::start(config.auth.clone()).await?;
    raise_descriptors(config.limits.connections);
    let registry = open_registry(config, instance, minders, metrics).await?;
    Ok((registry, auth, listeners))
}

/// Reaches or starts every driver, and opens its store. The minders are the caller's to stop, also after an error.
pub(crate) async fn open_registry(
    config: &Config,
    instance: &str,
    minders: &mut Vec<Minder>,
    metrics: &Metrics,
) -> Result<Registry, ServeError> {
    let mut routes = Vec::new();
    for (name, storage) in &config.storage {
        let endpoint = match storage.reach(name)? {
            Reach::Endpoint(endpoint) => endpoint,
            Reach::Command(command) => {
                let minder = Minder::start(name, &command)?;
                let endpoint = minder.endpoint().clone();
                minders.push(minder);
                endpoint
            }
        };
        let driver = RemoteDriver::new(Remote {
            endpoint,
            trusted: TrustedPeer { uid: storage.trust_uid },
            store_id: storage.store_id.clone(),
            deadlines: config.deadlines.deadlines(),
            core_instance: instance.to_owned(),
        });
        let minder = storage.command.as_ref().and(minders.last());
        let store = Arc::new(open_store(name, storage, driver, minder, metrics).await?);
        let route = |prefix: &str| Route { prefix: prefix.to_owned(), store: store.clone() };
        routes.extend(storage.claimed().map(route));
    }
    Ok(Registry::new(Storages::new(routes)?, config.rules(), instance.to_owned()))
}

async fn bind(config: &Config) -> Result<Vec<Listener>, ServeError> {
    let acceptors = match &config.tls {
        Some(tls) => Some(tls::start(tls.clone()).await?),
        None => None,
    };
    let mut listeners = Vec::new();
    for address in &config.listen.0 {
        let bound = Listener::bind(address, config.listen_socket_mode, acceptors.as_ref());
        listeners.push(bound.map_err(|error| ServeError::Listen(address.clone(), error))?);
    }
    Ok(listeners)
}

async fn open_store(
    name: &str,
    storage: &config::Storage,
    driver: RemoteDriver,
    minder: Option<&Minder>,
    metrics: &Metrics,
) -> Result<Store, ServeError> {
    let failed = |error| ServeError::Driver { name: name.to_owned(), error };
    let hopeless = || minder.is_some_and(|minder| minder.ends() >= HOPELESS);
    match wait_for(&driver, hopeless).await {
        Err(_) if hopeless() => return Err(ServeError::DriverEnds(name.to_owned())),
        waited => waited.map_err(failed)?,
    }
    let store_id = driver.store_id().await.map_err(failed)?;
    let store = Store::new(name.to_owned(), Arc::new(metrics.meter(name, driver)))
        .with_min_free(storage.min_free)
        .with_redirect(storage.redirect.clone());
    store.open(&store_id).await.map_err(|error| ServeError::Store { name: name.to_owned(), error })?;
    Ok(store)
}

/// A driver that is started beside us needs a moment; one that refuses us will not change its mind.
async fn wait_for(driver: &RemoteDriver, hopeless: impl Fn() -> bool) -> Result<(), DriverError> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match driver.connected(Duration::from_millis(250)).await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is_transient() || hopeless() || tokio::time::Instant::now() > end => {
                return Err(error);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn sweep(registry: Arc<Registry>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let swept = registry.sweep_uploads().await;
        if swept != crate::registry::sweep::Swept::default() {
            tracing::info!(?swept, "uploads swept");
        }
    }
}

async fn serve(listeners: Vec<Listener>, router: Router, config: Config, shutdown: impl Future<Output = ()>) {
    for listener in &listeners {
        tracing::info!("listening on {}", listener.url());
    }
    if let Some(address) = config.unguarded() {
        tracing::warn!("no TLS or no login: anybody who reaches {address} can read, write and delete");
    }
    if config.read_only {
        tracing::warn!("read-only: pulls alone are served");
    }
    let limits = config.limits;
    let (connections, admission, grace) = (TaskTracker::new(), Admission::new(&limits), limits.drain);
    let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
    let (stop, end) = (drain.clone(), cut.clone());
    let edge = Arc::new(Edge { router, limits, trusted: config.trusted_proxies, drain, cut });
    for listener in listeners {
        connections.spawn(accept(listener, edge.clone(), admission.clone(), connections.clone()));
    }
    shutdown.await;
    stop.cancel();
    connections.close();
    tracing::info!("stopping: requests under way may finish");
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("requests that took longer than {} s were cut off", grace.as_secs());
    }
    end.cancel();
}

async fn accept(listener: Listener, edge: Arc<Edge>, admission: Arc<Admission>, connections: TaskTracker) {
    loop {
        let (socket, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = edge.drain.cancelled() => return,
        };
        // A proxy speaks for many.
        let counted = peer.filter(|_| !edge.trusted.trusts(peer));
        let Some(place) = admission.admit(counted) else { continue };
        let (edge, tls) = (edge.clone(), listener.tls().cloned());
        connections.spawn(async move {
            connection::serve(edge, socket, peer, tls).await;
            drop(place);
        });
    }
}

/// A connection needs a descriptor, and the usual soft limit of 1024 is there for programs that use select.
fn raise_descriptors(connections: u32) {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let have = rustix::process::getrlimit(Resource::Nofile).current;
    if let Some(have) = have.filter(|have| *have < u64::from(connections) + SPARE_DESCRIPTORS) {
        tracing::warn!(
            "limits.connections is {connections}, but only {have} files may be open: raise the limit (ulimit -n)"
        );
    }
}
