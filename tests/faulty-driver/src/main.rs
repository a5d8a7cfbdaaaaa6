//! A storage driver that keeps the contract, but for the one promise that `--fault NAME` names: the check kit is tested
//! with it. Owns the arguments, the socket and the signals.
//!
//! Reading order: [`faults`] (what can be broken), `store` (the directory), then a file for each section of the contract.

mod driver;
mod faults;
mod identity;
mod keys;
mod listing;
mod losses;
mod objects;
mod reads;
mod refusal;
mod service;
mod signing;
mod store;
mod uploads;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use longshore_driver_proto::v1::identity_service_server::IdentityServiceServer;
use longshore_driver_proto::v1::storage_service_server::StorageServiceServer;
use longshore_driver_sdk::endpoint::{Connection, Endpoint, Listener, TrustedPeer};
use tokio::signal::unix::{SignalKind, signal};

use driver::Driver;
use faults::Fault;
use service::Service;
use signing::Signer;
use store::Store;

/// R6.
const MAX_MESSAGE: usize = 5 * 1024 * 1024;
const FRAME: u32 = 256 * 1024;
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 1 << 30;
/// Calls under way may finish for this long after SIGTERM.
const GRACE: Duration = Duration::from_millis(500);
/// File work is done on the threads that serve.
const THREADS: usize = 8;

/// A storage driver that breaks one promise of the contract on request.
#[derive(Debug, Parser)]
#[command(name = "longshore-faulty-driver", version)]
struct Arguments {
    /// Where to listen: unix:///path/to/driver.sock or tcp://127.0.0.1:PORT.
    #[arg(long, env = "LONGSHORE_DRIVER_ENDPOINT", required_unless_present = "list_faults")]
    endpoint: Option<Endpoint>,
    /// The directory of the store; it is made if it is missing.
    #[arg(long, required_unless_present = "list_faults")]
    root: Option<PathBuf>,
    /// The promise to break; none if it is not given.
    #[arg(long, env = "FAULT", default_value = "none")]
    fault: Fault,
    /// Print every fault with what it does, and stop.
    #[arg(long)]
    list_faults: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.endpoint, arguments.root) {
        _ if arguments.list_faults => print_faults().map_err(Into::into),
        (Some(endpoint), Some(root)) => start(&endpoint, &root, arguments.fault),
        _ => Err("--endpoint and --root are needed".into()),
    };
    match outcome {
        Ok(()) if arguments.fault == Fault::TerminatedBadly => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "longshore-faulty-driver: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_faults() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for fault in Fault::ALL {
        writeln!(out, "{}: {}", fault.name(), fault.sentence())?;
    }
    Ok(())
}

fn start(endpoint: &Endpoint, root: &std::path::Path, fault: Fault) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let outcome = runtime.block_on(run(endpoint, root, fault));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn run(endpoint: &Endpoint, root: &std::path::Path, fault: Fault) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Store::open(root, fault)?.at(endpoint));
    let signer = Signer::start(Arc::clone(&store)).await?;
    let instance = store::random().map_err(|refusal| refusal.message)?;
    let driver = Arc::new(Driver::new(Arc::clone(&store), instance, signer));
    let mut terminate = signal(SignalKind::terminate())?;
    if let (Endpoint::Unix(path), Fault::FolderOpenToAll) = (endpoint, fault) {
        // As it was left, it would not be bound in again.
        open_folder(path, 0o700)?;
    }
    let listener = Listener::bind(endpoint, TrustedPeer::default())?;
    if let (Endpoint::Unix(path), Fault::SocketOpenToAll) = (endpoint, fault) {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    }
    if let (Endpoint::Unix(path), Fault::FolderOpenToAll) = (endpoint, fault) {
        open_folder(path, 0o777)?;
    }
    // The hooks wait for this line.
    writeln!(std::io::stdout(), "listening at {}", listener.endpoint()?)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = serve(Arc::clone(&driver), listener, fault, stopped);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        _ = terminate.recv() => {}
    }
    // D5: what was marked is durable before the end, also what comes in meanwhile.
    if fault != Fault::TerminatedForgetsMarks {
        driver.drain(GRACE).await;
    }
    let _ = stop.send(());
    let _ = tokio::time::timeout(GRACE, serving).await;
    if fault != Fault::TerminatedForgetsMarks {
        driver.drain(GRACE).await;
    }
    store.settle_losses();
    Ok(())
}

fn open_folder(socket: &std::path::Path, mode: u32) -> std::io::Result<()> {
    let folder = socket.parent().unwrap_or(socket);
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

async fn serve(
    driver: Arc<Driver>,
    listener: Listener,
    fault: Fault,
    stopped: tokio::sync::oneshot::Receiver<()>,
) -> Result<(), Box<dyn Error>> {
    let service = Service(driver);
    let (reporter, health) = tonic_health::server::health_reporter();
    match fault {
        Fault::HealthNotServing => {
            reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        }
        _ => reporter.set_serving::<StorageServiceServer<Service>>().await,
    }
    let most = if fault == Fault::MessagesSmall { 1024 * 1024 } else { MAX_MESSAGE };
    let storage = StorageServiceServer::new(service.clone())
        .max_decoding_message_size(most)
        .max_encoding_message_size(4 * MAX_MESSAGE);
    let mut server = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    if fault == Fault::StreamsFew {
        server = server.max_concurrent_streams(4);
    }
    let health = (fault != Fault::HealthMissing).then_some(health);
    server
        .add_optional_service(health)
        .add_service(IdentityServiceServer::new(service))
        .add_service(storage)
        .serve_with_incoming_shutdown(accept(listener), async {
            let _ = stopped.await;
        })
        .await?;
    Ok(())
}

fn accept(listener: Listener) -> impl futures_util::Stream<Item = std::io::Result<Connection>> {
    futures_util::stream::unfold(
        listener,
        |listener| async move { Some((listener.accept().await, listener)) },
    )
}
