//! A registry under test: the core and its driver or drivers, as an operator would start them.

mod driver;
mod store;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Process, pid};
use crate::{figures, scratch};
pub use driver::{DRIVER, Driver, Storage};
pub use store::{Conditions, Store};

/// I21: a restart serves within this time.
pub const START: Duration = Duration::from_secs(5);

pub const CORE: &str = "longshore";

/// One registry. Fields are dropped in order: first the core, then the drivers, then their directories.
pub struct Registry {
    core: Option<Process>,
    drivers: Vec<Driver>,
    core_command: CoreCommand,
    url: String,
    /// What its clients trust over TLS.
    authority: Option<PathBuf>,
    store: Store,
    sockets: TempDir,
    _data: TempDir,
}

struct CoreCommand {
    arguments: Vec<String>,
    log_filter: String,
    environment: Vec<(String, String)>,
}

impl Registry {
    /// `longshore serve` with nothing else: it starts and minds the filesystem driver itself.
    pub async fn start() -> Self {
        Self::start_with_config("").await
    }

    /// The same with a configuration file of these TOML lines: sections, and nothing before them.
    pub async fn start_with_config(toml: &str) -> Self {
        if Store::is_on_a_server() {
            // The core starts a filesystem driver alone.
            return Self::start_storages_with(vec![Storage::default_one()], toml).await;
        }
        let data = scratch::data_directory();
        let store = data.path().join("data");
        let mut arguments = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned(), "--data".to_owned()];
        arguments.push(store.display().to_string());
        if !toml.is_empty() {
            let file = data.path().join("longshore.toml");
            std::fs::write(&file, toml).expect("write the configuration");
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        Self::launch(arguments, Vec::new(), Store::Directory(store), scratch::socket_directory(), data, None)
            .await
    }

    /// At the addresses that the TOML lines name; `authority` is the PEM file of what clients trust over TLS.
    pub async fn start_listening(toml: &str, authority: Option<&Path>) -> Self {
        let data = scratch::data_directory();
        let store = data.path().join("data");
        let file = data.path().join("longshore.toml");
        std::fs::write(&file, toml).expect("write the configuration");
        let paths = [("--data", &store), ("--config", &file)];
        let arguments: Vec<_> = paths
            .into_iter()
            .flat_map(|(name, path)| [name.to_owned(), path.display().to_string()])
            .collect();
        let authority = authority.map(Path::to_owned);
        let store = Store::Directory(store);
        Self::launch(arguments, Vec::new(), store, scratch::socket_directory(), data, authority).await
    }

    /// Core and driver as two processes that the test can kill and stop one by one.
    pub async fn start_apart() -> Self {
        Self::start_storages(vec![Storage::default_one()]).await
    }

    /// A core with a driver of its own for each storage.
    pub async fn start_storages(storages: Vec<Storage>) -> Self {
        Self::start_storages_with(storages, "").await
    }

    /// The same, with these TOML lines at the end of its configuration.
    pub async fn start_storages_with(storages: Vec<Storage>, toml: &str) -> Self {
        let data = scratch::data_directory();
        let sockets = scratch::socket_directory();
        let mut config = "listen = \"127.0.0.1:0\"\n".to_owned();
        let mut drivers = Vec::new();
        for storage in storages {
            let (section, mut driver) = storage.placed(sockets.path(), data.path());
            config += &section;
            driver.start();
            drivers.push(driver);
        }
        config += &format!("\n{toml}");
        let file = data.path().join("longshore.toml");
        std::fs::write(&file, config).expect("write the configuration");
        let store = drivers[0].store().clone();
        let arguments = vec!["--config".to_owned(), file.display().to_string()];
        Self::launch(arguments, drivers, store, sockets, data, None).await
    }

    /// A core over drivers that the test runs by itself; these TOML lines name them.
    pub async fn start_over(toml: &str) -> Self {
        let data = scratch::data_directory();
        let file = data.path().join("longshore.toml");
        std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\n{toml}")).expect("write the configuration");
        let arguments = vec!["--config".to_owned(), file.display().to_string()];
        let store = Store::Directory(data.path().to_owned());
        Self::launch(arguments, Vec::new(), store, scratch::socket_directory(), data, None).await
    }

    async fn launch(
        arguments: Vec<String>,
        drivers: Vec<Driver>,
        store: Store,
        sockets: TempDir,
        data: TempDir,
        authority: Option<PathBuf>,
    ) -> Self {
        let log_filter = std::env::var("LONGSHORE_LOG").unwrap_or_else(|_| "info".into());
        let core_command = CoreCommand { arguments, log_filter, environment: Vec::new() };
        let url = String::new();
        let mut registry =
            Self { core: None, drivers, core_command, url, authority, store, sockets, _data: data };
        registry.start_core();
        registry.await_ready(START).await;
        registry
    }

    /// How much the next life of the core tells.
    pub fn set_log_filter(&mut self, filter: &str) {
        filter.clone_into(&mut self.core_command.log_filter);
    }

    /// A variable of the core's next lives.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.core_command.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the core and waits for its address, not yet for its storage.
    pub fn start_core(&mut self) {
        let mut command = Command::new(scratch::binary(CORE));
        command.arg("serve").args(&self.core_command.arguments);
        command.env("LONGSHORE_LOG", &self.core_command.log_filter);
        command.env("NO_COLOR", "1");
        command.envs(self.core_command.environment.iter().cloned());
        // Where a core that minds its driver makes the socket: a killed one can't tidy up.
        command.env("XDG_RUNTIME_DIR", self.sockets.path());
        let core = Process::spawn(CORE, &mut command);
        self.url = listening_url(&core.await_line_where("listening on", says_where, START));
        self.core = Some(core);
    }

    /// Waits until both the core and its first storage answer; returns how long that took.
    pub async fn await_ready(&self, patience: Duration) -> Duration {
        self.await_repository("ready/probe", patience).await
    }

    /// Waits until a read in this repository is answered by its storage (404 is an answer, 503 is none).
    pub async fn await_repository(&self, repository: &str, patience: Duration) -> Duration {
        let client = self.client();
        let begin = Instant::now();
        loop {
            let said = match client.head_blob(repository, &crate::sha256(b"no such blob")).await {
                Ok(response) if !response.status().is_server_error() => return begin.elapsed(),
                Ok(response) => response.status().to_string(),
                Err(error) => error.to_string(),
            };
            let log = || self.core.as_ref().map(Process::log).unwrap_or_default();
            assert!(begin.elapsed() < patience, "not ready after {patience:?}: {said}\n{}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The first address that it listens at: `http://127.0.0.1:PORT`, or `https://`, or `unix:///PATH`. The port is
    /// another one after a restart of the core.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every address that it listens at, in the order of its configuration.
    pub fn urls(&self) -> Vec<String> {
        self.core().lines().iter().filter(|line| says_where(line)).map(|line| listening_url(line)).collect()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.split_once("://").map_or(&self.url, |(_, address)| address)
    }

    pub fn client(&self) -> Client {
        Client::trusting(&self.url, self.authority.as_deref())
    }

    /// The directory that the first storage's driver keeps its store in.
    pub fn store(&self) -> &Path {
        self.store.directory()
    }

    /// The first storage's store, whichever driver keeps it.
    pub fn kept(&self) -> &Store {
        &self.store
    }

    pub fn core(&self) -> &Process {
        self.core.as_ref().expect("the core runs")
    }

    pub fn kill_core(&mut self) {
        self.core.as_mut().expect("the core runs").kill();
    }

    /// Stops the core as an operator would: SIGTERM, exit status 0.
    pub fn stop_core(&mut self, patience: Duration) {
        let core = self.core.as_mut().expect("the core runs");
        let status = core.terminate(patience);
        assert!(status.success(), "the core ended with {status}\n{}", core.log());
    }

    /// The first driver that the test started itself.
    pub fn driver(&mut self) -> &mut Driver {
        self.drivers.first_mut().expect("start_apart or start_storages")
    }

    /// kill -9 for both at once: neither sees the other die first.
    pub fn kill_both(&mut self) {
        let driver = self.driver_pid();
        self.core().signal(Signal::KILL);
        signal(driver, Signal::KILL);
        self.kill_core();
        if let Some(driver) = self.drivers.first_mut() {
            driver.kill();
        }
    }

    pub fn kill_driver(&mut self) {
        if self.drivers.is_empty() {
            signal(self.driver_pid(), Signal::KILL);
        } else {
            self.driver().kill();
        }
    }

    /// The first driver's process: the test's own child, or the core's.
    pub fn driver_pid(&self) -> u32 {
        match self.drivers.first() {
            Some(driver) => driver.process().id(),
            None => self.minded_driver().expect("the core has started its driver"),
        }
    }

    /// The driver that the core minds, if one runs.
    pub fn minded_driver(&self) -> Option<u32> {
        let children = figures::children(self.core.as_ref()?.id());
        children.into_iter().find(|child| figures::program(*child).as_deref() == Some(DRIVER))
    }

    /// Kills both and starts both again.
    pub async fn restart(&mut self) {
        self.kill_core();
        for driver in &mut self.drivers {
            driver.kill();
            driver.start();
        }
        self.start_core();
        self.await_ready(START).await;
    }
}

impl Drop for Registry {
    /// A stopped driver does not see that its core is gone, so a minded one is ended here.
    fn drop(&mut self) {
        if self.drivers.is_empty()
            && let Some(driver) = self.minded_driver()
        {
            let handle = pidfd_open(pid(driver), PidfdFlags::empty());
            self.core = None;
            if let Ok(handle) = handle {
                let _already_gone = pidfd_send_signal(handle, Signal::KILL);
            }
        }
    }
}

fn signal(process: u32, signal: Signal) {
    rustix::process::kill_process(pid(process), signal)
        .unwrap_or_else(|error| panic!("process {process}: {error}"));
}

/// The drivers that a core minds write to the same log.
fn says_where(line: &str) -> bool {
    line.contains("listening on ") && !line.contains("driver")
}

fn listening_url(line: &str) -> String {
    let (_, rest) = line.split_once("listening on ").expect("the line says where it listens");
    rest.split(|c: char| c.is_whitespace() || c == '"').next().unwrap_or(rest).to_owned()
}
