//! Where everything is put together: drivers are reached or started, stores opened, the registry served, and all of it
//! ended in the right order. The only place that names concrete types.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use longshore_driver_sdk::client::{Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::TrustedPeer;
use longshore_driver_sdk::{DriverError, UploadId};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::config::{Config, ConfigProblem, Reach};
use crate::registry::Registry;
use crate::registry::store::{Store, StoreProblem};
use crate::storage::minder::{MindError, Minder};
use crate::storage::{Route, RouteProblem, Storages};

/// How long a driver may take to answer at start.
const PATIENCE: Duration = Duration::from_secs(15);
/// A minded driver that ended this often before it ever answered will not come up.
const HOPELESS: u32 = 3;
/// From the accept to the end of a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests under way may finish for this long.
const DRAIN: Duration = Duration::from_secs(30);

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
    #[error("storage {name}: {error}")]
    Driver { name: String, error: DriverError },
    #[error("storage {name}: {error}")]
    Store { name: String, error: StoreProblem },
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    #[error("the system gives no random bits: {0}")]
    Random(DriverError),
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// When a driver, a store or the address can't be used.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    config.check()?;
    let instance = UploadId::random().map_err(ServeError::Random)?.as_str().to_owned();
    let mut minders = Vec::new();
    let started = start(&config, &instance, &mut minders).await;
    let outcome = match started {
        Ok((registry, listener)) => {
            let registry = Arc::new(registry);
            let sweeper = tokio::spawn(sweep(registry.clone(), config.uploads.sweep_every));
            serve(listener, api::router(registry), shutdown).await;
            sweeper.abort();
            Ok(())
        }
        Err(error) => Err(error),
    };
    for minder in minders {
        minder.stop().await;
    }
    outcome
}

async fn start(
    config: &Config,
    instance: &str,
    minders: &mut Vec<Minder>,
) -> Result<(Registry, TcpListener), ServeError> {
    // First, so that nothing is started for an address that is taken; clients that come early wait in its queue.
    let listener =
        TcpListener::bind(config.listen).await.map_err(|error| ServeError::Listen(config.listen, error))?;
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
        let store = Arc::new(open_store(name, driver, minder).await?);
        let prefixes =
            if storage.prefixes.is_empty() { vec![String::new()] } else { storage.prefixes.clone() };
        routes.extend(prefixes.into_iter().map(|prefix| Route { prefix, store: store.clone() }));
    }
    let registry = Registry::new(Storages::new(routes)?, config.rules(), instance.to_owned());
    Ok((registry, listener))
}

async fn open_store(name: &str, driver: RemoteDriver, minder: Option<&Minder>) -> Result<Store, ServeError> {
    let failed = |error| ServeError::Driver { name: name.to_owned(), error };
    let hopeless = || minder.is_some_and(|minder| minder.ends() >= HOPELESS);
    match wait_for(&driver, hopeless).await {
        Err(_) if hopeless() => return Err(ServeError::DriverEnds(name.to_owned())),
        waited => waited.map_err(failed)?,
    }
    let store_id = driver.store_id().await.map_err(failed)?;
    let store = Store::new(name.to_owned(), Arc::new(driver));
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

async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    match listener.local_addr() {
        Ok(address) => {
            if !address.ip().is_loopback() {
                tracing::warn!(
                    "no TLS and no login: anybody who reaches {address} can read, write and delete"
                );
            }
            tracing::info!("listening on http://{address}");
        }
        Err(error) => tracing::warn!(%error, "listening on an address that the system does not tell"),
    }
    let connections = GracefulShutdown::new();
    let stop = CancellationToken::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connect(stream, router.clone(), &connections, stop.clone()),
                Err(error) => {
                    // Out of descriptors, as a rule: others must close before it gets better.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    tracing::info!("stopping: requests under way may finish");
    if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!("requests that took longer than {} s were cut off", DRAIN.as_secs());
    }
    stop.cancel();
}

fn connect(stream: TcpStream, router: Router, connections: &GracefulShutdown, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).half_close(true);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128).max_frame_size(256 * 1024);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            },
            () = stop.cancelled() => {}
        }
    });
}
