//! The `main` of every driver: arguments, configuration, tracing, signals, socket, health, drain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::driver::Driver;
use crate::endpoint::{Endpoint, Listener, TrustedPeer};
use crate::error::Result;
use crate::heap;
use crate::server;

/// Calls under way may finish for this long after a signal.
const GRACE: Duration = Duration::from_secs(10);
/// Threads for work that blocks, at most. They are made when they are needed: each upload needs one while its disk takes
/// nothing, and if there is none left, the driver says nothing to the core any more.
const BLOCKING_THREADS: usize = 128;
/// How often a driver that is not ready is looked at.
const READY_EVERY: Duration = Duration::from_millis(100);
/// How often idle sessions are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Who a driver is, for `--help` and `--version`.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    /// One line for each setting.
    pub settings: &'static str,
}

impl About {
    /// A driver of this name and version, and its settings, a line for each.
    pub const fn new(name: &'static str, version: &'static str, settings: &'static str) -> Self {
        Self { name, version, settings }
    }
}

/// What every driver takes on its command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen: unix:///path/to/driver.sock or tcp://127.0.0.1:PORT.
    #[arg(long, env = "LONGSHORE_DRIVER_ENDPOINT")]
    endpoint: Endpoint,
    /// A TOML file with this driver's settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Trust this user, besides the driver's own and root, to connect.
    #[arg(long, value_name = "UID")]
    trust_uid: Option<u32>,
    /// Stop when standard input ends: set by a core that starts the driver, so that it never outlives the core.
    #[arg(long, env = "LONGSHORE_DRIVER_MINDED", value_parser = clap::builder::FalseyValueParser::new())]
    minded: bool,
    /// Log as JSON lines.
    #[arg(long, env = "LONGSHORE_LOG_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    log_json: bool,
    /// Settings; they win over the file's.
    #[arg(value_name = "SETTING=VALUE")]
    settings: Vec<String>,
}

/// Runs a driver until it is told to stop. `open` makes it from its settings, a TOML table.
pub fn run<C, D, F>(about: About, open: impl FnOnce(C) -> F) -> ExitCode
where
    C: DeserializeOwned,
    D: Driver,
    F: Future<Output = Result<D>>,
{
    heap::keep_freed_memory();
    let arguments = parse(about);
    start_tracing(arguments.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let outcome = runtime.map_err(StartError::Runtime).and_then(|runtime| {
        let outcome = runtime.block_on(start(about, arguments, open));
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}: {error}", about.name);
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot read {0}: {1}")]
    ConfigFile(PathBuf, std::io::Error),
    #[error("in {0}: {1}")]
    ConfigSyntax(PathBuf, toml::de::Error),
    #[error("{0:?} is not of the form SETTING=VALUE")]
    Setting(String),
    #[error("in the settings: {0}")]
    Settings(toml::de::Error),
    #[error("{0}")]
    Open(crate::DriverError),
    #[error("cannot listen at {0}: {1}")]
    Listen(Endpoint, std::io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("the socket failed: {0}")]
    Serve(tonic::transport::Error),
}

fn parse(about: About) -> Arguments {
    use clap::{CommandFactory, FromArgMatches};
    let command = Arguments::command()
        .name(about.name)
        .version(about.version)
        .about("A storage driver of Longshore.")
        .after_help(format!("Settings:\n{}", about.settings));
    let matches = command.get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn start_tracing(json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("LONGSHORE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = if json { subscriber.json().try_init() } else { subscriber.try_init() };
}

async fn start<C, D, F>(
    about: About,
    arguments: Arguments,
    open: impl FnOnce(C) -> F,
) -> std::result::Result<(), StartError>
where
    C: DeserializeOwned,
    D: Driver,
    F: Future<Output = Result<D>>,
{
    let config = settings(arguments.config, &arguments.settings)?;
    let driver = open(config).await.map_err(StartError::Open)?;
    let trusted = TrustedPeer { uid: arguments.trust_uid };
    let listener = Listener::bind(&arguments.endpoint, trusted)
        .map_err(|error| StartError::Listen(arguments.endpoint.clone(), error))?;
    let endpoint = listener.endpoint().map_err(|error| StartError::Listen(arguments.endpoint, error))?;
    let stop = stop_signal(arguments.minded).map_err(StartError::Signals)?;
    tracing::info!(driver = about.name, version = about.version, "listening on {endpoint}");
    let driver: Arc<dyn Driver> = Arc::new(driver);
    let expiry = tokio::spawn(expire(driver.clone()));
    let served = server::serve(driver.clone(), listener, stop.cancelled_owned(), GRACE).await;
    expiry.abort();
    served.map_err(StartError::Serve)?;
    if let Ok(open) = driver.drain(GRACE).await {
        tracing::info!(driver = about.name, open_sessions = open, "stopped");
    }
    Ok(())
}

/// Ends sessions that nobody touched for their time to live (contract clause U17). A driver that has yet to find out what
/// its backend is says itself what is in the way.
async fn expire(driver: Arc<dyn Driver>) {
    while driver.ready().await.is_err() {
        tokio::time::sleep(READY_EVERY).await;
    }
    let mut every = tokio::time::interval(EXPIRE_EVERY);
    loop {
        every.tick().await;
        match driver.uploads().expire(SystemTime::now()).await {
            Ok(0) => {}
            Ok(expired) => tracing::info!(expired, "ended idle uploads"),
            Err(error) => tracing::warn!(%error, "idle uploads can't be looked for"),
        }
    }
}

fn settings<C: DeserializeOwned>(
    file: Option<PathBuf>,
    overrides: &[String],
) -> std::result::Result<C, StartError> {
    let mut table = match file {
        None => toml::Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| StartError::ConfigFile(path.clone(), error))?;
            toml::from_str(&text).map_err(|error| StartError::ConfigSyntax(path, error))?
        }
    };
    for setting in overrides {
        let (name, value) = setting.split_once('=').ok_or_else(|| StartError::Setting(setting.clone()))?;
        table.insert(name.to_owned(), value_of(value));
    }
    C::deserialize(table).map_err(StartError::Settings)
}

/// A value as TOML would read it, when that is a number or a truth value; else the text itself, without quotes around it.
fn value_of(text: &str) -> toml::Value {
    match text.parse::<i64>() {
        Ok(number) => toml::Value::Integer(number),
        Err(_) => {
            text.parse::<bool>().map_or_else(|_| toml::Value::String(text.to_owned()), toml::Value::Boolean)
        }
    }
}

/// Cancelled by SIGTERM, SIGINT and, for a minded driver, the end of standard input.
fn stop_signal(minded: bool) -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // Ctrl-C in a terminal reaches core and driver alike; a minded driver leaves the order of stopping to its core.
            _ = interrupt.recv(), if !minded => {}
            () = end_of_input(), if minded => {}
        }
        token.cancel();
    });
    Ok(stop)
}

async fn end_of_input() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 256];
    while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        root: String,
        pieces: Option<u32>,
    }

    #[test]
    fn settings_on_the_command_line_win_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "root = '/a'\npieces = 3\n").unwrap();
        let config: Config = settings(Some(file.path().into()), &["root=/b=c".to_owned()]).unwrap();
        assert_eq!(config, Config { root: "/b=c".into(), pieces: Some(3) });
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let error = settings::<Config>(None, &["root=/b".to_owned(), "rooot=/c".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("rooot"), "{error}");
        assert!(settings::<Config>(None, &["root".to_owned()]).is_err());
    }
}
