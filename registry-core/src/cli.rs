//! The command line of `longshore`.

mod check;
mod config;
mod import;
mod v1;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::{Endpoint, TrustedPeer};
use longshore_driver_sdk::server::PROTOCOL;
use longshore_driver_sdk::{Driver as _, Reason, UploadId};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::config::listen::{Listen, ListenAddress};
use crate::registry::store::Store;
use crate::server;

/// One attempt at reaching a driver may take 6 s, and a busy machine more than one. Where nobody listens, that is said at once.
const PATIENCE: Duration = Duration::from_secs(30);

const HELP: &str = "\
Examples:
  longshore serve --data /var/lib/longshore       serve on 127.0.0.1:5000
  longshore config default > longshore.toml       begin a configuration
  longshore config check --config longshore.toml  look at it before a restart
  longshore import registry2 /var/lib/registry    bring in what registry:2 keeps
  longshore v1 list --from unix:///run/v1.sock    look at what the registry before it left

Exit status: 0 done, 1 failed (the last line on standard error says why), 2 the command line is wrong.
Environment: LONGSHORE_CONFIG the file; LONGSHORE_SECTION__FIELD a field of it; LONGSHORE_LOG how much to log;
LONGSHORE_LOG_JSON=1 as JSON.";

/// A container registry whose storage is a separate process.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the registry.
    Serve(Serve),
    /// Look at a driver.
    Driver {
        #[command(subcommand)]
        command: DriverCommand,
    },
    /// Look after a store.
    Storage {
        #[command(subcommand)]
        command: StorageCommand,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Say which version this is, and which versions of the layout and of the driver protocol it speaks.
    Version,
    /// Print a script that completes commands in a shell.
    Completions { shell: clap_complete::Shell },
    /// Bring in what another registry keeps.
    Import {
        #[command(subcommand)]
        command: import::ImportCommand,
    },
    /// Look at a store that the V1 registry (docker-registry 0.x, in Python) left.
    V1 {
        #[command(subcommand)]
        command: v1::V1Command,
    },
}

#[derive(Debug, Parser)]
struct Serve {
    /// A TOML file; docs/operations.md describes each field.
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen: ADDR:PORT, https://ADDR:PORT or unix:///PATH; may be given more than once [default: 127.0.0.1:5000].
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddress>,
    /// Where the filesystem driver, started beside the core, keeps its data [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen beyond loopback, although there is neither TLS nor login.
    #[arg(long)]
    allow_insecure_listen: bool,
}

#[derive(Debug, Subcommand)]
enum DriverCommand {
    /// Say who answers there, what it can do and how it is.
    Probe {
        /// unix:///path/to/driver.sock or tcp://127.0.0.1:PORT
        endpoint: Endpoint,
        /// Trust a driver of this user, besides our own and root.
        #[arg(long, value_name = "UID")]
        trust_uid: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Make the store behind a driver ready to be used: give it its id. Done once.
    Init {
        /// unix:///path/to/driver.sock or tcp://127.0.0.1:PORT
        endpoint: Endpoint,
        /// Trust a driver of this user, besides our own and root.
        #[arg(long, value_name = "UID")]
        trust_uid: Option<u32>,
    },
    /// Say what a store can do, how fast, and what Longshore will therefore do. Writes below `check/`, and clears up.
    Check(check::Check),
}

/// The whole program.
pub fn main() -> ExitCode {
    longshore_driver_sdk::heap::keep_freed_memory();
    let arguments = Arguments::parse();
    start_tracing();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Serve(arguments) => serve(arguments).await,
            Command::Driver { command: DriverCommand::Probe { endpoint, trust_uid } } => {
                probe(endpoint, trust_uid).await
            }
            Command::Storage { command: StorageCommand::Init { endpoint, trust_uid } } => {
                init(endpoint, trust_uid).await
            }
            Command::Storage { command: StorageCommand::Check(arguments) } => check::run(arguments).await,
            Command::Config { command } => config::run(command).await,
            Command::Version => version(),
            Command::Completions { shell } => completions(shell),
            Command::Import { command } => import::run(command).await,
            Command::V1 { command } => v1::run(command).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn start_tracing() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("LONGSHORE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let json = std::env::var_os("LONGSHORE_LOG_JSON").is_some_and(|value| !value.is_empty() && value != "0");
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = if json { subscriber.json().try_init() } else { subscriber.try_init() };
}

async fn serve(arguments: Serve) -> Result<(), Failure> {
    let mut config = Config::load(arguments.config.as_deref())?;
    if !arguments.listen.is_empty() {
        config.listen = Listen(arguments.listen);
    }
    config.allow_insecure_listen |= arguments.allow_insecure_listen;
    if arguments.data.is_some() && !config.storage.is_empty() {
        return Err("--data is for a start without storages; the configuration names some".into());
    }
    config.use_data(&arguments.data.unwrap_or_else(|| PathBuf::from("./data")));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server::run(config, shutdown).await?;
    Ok(())
}

fn version() -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "longshore        {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "storage layout   {}", crate::registry::layout::VERSION)?;
    writeln!(out, "driver protocol  {}.{}", PROTOCOL.major, PROTOCOL.minor)?;
    writeln!(out, "platform         {} {}", std::env::consts::ARCH, std::env::consts::OS)?;
    Ok(())
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "longshore", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

fn remote(endpoint: Endpoint, trust_uid: Option<u32>) -> RemoteDriver {
    RemoteDriver::new(Remote {
        endpoint,
        trusted: TrustedPeer { uid: trust_uid },
        store_id: None,
        deadlines: Deadlines::default(),
        core_instance: format!("cli-{}", std::process::id()),
    })
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn probe(endpoint: Endpoint, trust_uid: Option<u32>) -> Result<(), Failure> {
    let driver = remote(endpoint.clone(), trust_uid);
    let description = driver.connected(PATIENCE).await?;
    let store_id = driver.store_id().await?;
    let probe = driver.probe().await?;
    println!("endpoint      {endpoint}");
    println!("driver        {} {}", description.name, description.version);
    println!(
        "store         {}",
        if store_id.is_empty() { "not initialised: run `longshore storage init`" } else { &store_id }
    );
    println!("state         {:?} {}", probe.state, probe.reason);
    if let Some(free) = probe.bytes_free {
        println!("free          {:.1} GiB", bytes_to_gib(free));
    }
    let capabilities = description.capabilities;
    println!("durability    {:?}", capabilities.durability);
    println!("range read    {}", capabilities.range_read);
    println!(
        "conditional   put if absent: {}, put if match: {}, delete if match: {}",
        capabilities.put_if_absent, capabilities.put_if_match, capabilities.delete_if_match
    );
    println!("listings      {}", if capabilities.list_is_current { "current" } else { "may lag" });
    println!(
        "uploads       {}",
        if capabilities.uploads_shared { "shared between instances" } else { "of one instance" }
    );
    println!("signed URLs   {}", capabilities.sign_get);
    println!("move          {:?}", capabilities.move_cost);
    println!(
        "limits        piece {} KiB, inline {} KiB, page {}",
        description.limits.max_chunk / 1024,
        description.limits.max_inline / 1024,
        description.limits.max_page
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn bytes_to_gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn init(endpoint: Endpoint, trust_uid: Option<u32>) -> Result<(), Failure> {
    let driver = remote(endpoint, trust_uid);
    driver.connected(PATIENCE).await?;
    let store_id = UploadId::random()?.as_str().to_owned();
    match driver.initialise(&store_id).await {
        Ok(()) => {}
        Err(error) if error.reason() == Reason::KeyExists => {
            return Err(
                format!("this store is initialised already: its id is {}", driver.store_id().await?).into()
            );
        }
        Err(error) => return Err(error.into()),
    }
    Store::new("new".to_owned(), std::sync::Arc::new(driver)).open(&store_id).await?;
    println!("store {store_id} is ready");
    Ok(())
}
