//! A driver of a store that a server keeps: a process that is started, killed and started again, and what a test asks it.

use std::process::Command;
use std::time::{Duration, Instant};

use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::TrustedPeer;
use longshore_driver_sdk::{Driver as _, DriverError, Fence, Key, SignRequest, SignedUrl, UploadQuery};

use crate::process::run_command;
use crate::registry::{CORE, START};
use crate::{Process, Registry, scratch};

/// Two CPUs may have three servers and a dozen drivers to start.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// One of the drivers.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// In its log when it does.
    pub(crate) it_serves: &'static str,
}

/// An instance of the driver, through all its lives.
pub struct Driver {
    program: &'static Program,
    command: Command,
    process: Option<Process>,
    endpoint: String,
}

impl Program {
    /// Returns when the driver knows what the server can do.
    pub(crate) fn started(&self, command: &mut Command) -> Process {
        let process = Process::spawn(self.name, command);
        process.await_line(self.it_serves, PATIENCE);
        process
    }
}

/// Gives a store its id.
pub(crate) fn init(endpoint: &str) {
    run_command(Command::new(scratch::binary(CORE)).args(["storage", "init", endpoint]));
}

impl Driver {
    /// It does not run yet.
    pub(crate) fn new(program: &'static Program, command: Command, endpoint: String) -> Self {
        Self { program, command, process: None, endpoint }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns when it knows what the server can do.
    pub fn start(&mut self) {
        self.process = Some(self.program.started(&mut self.command));
    }

    /// Makes a store of its bucket or container, and prefix.
    pub fn init(&self) {
        init(&self.endpoint);
    }

    /// Does not wait for it.
    pub fn spawn(&mut self) {
        self.process = Some(Process::spawn(self.program.name, &mut self.command));
    }

    /// The first line of its log with this text, waited for.
    pub fn await_line(&self, text: &str) -> String {
        self.process().await_line(text, PATIENCE)
    }

    /// Whether a line of its log so far has this text.
    pub fn says(&self, text: &str) -> bool {
        self.process.as_ref().is_some_and(|process| process.log_contains(text))
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("a driver that runs")
    }

    pub fn kill(&mut self) {
        self.process.take().expect("a driver that runs").kill();
    }

    /// Ends every upload session, as the core's sweeper does when their time is over.
    pub async fn end_all_uploads(&self) {
        let driver = self.dialled().await;
        let query = UploadQuery { start_after: String::new(), limit: 1000, idle_since: None };
        let page = driver.list_uploads(&query).await.expect("a page of sessions");
        assert!(!page.more && !page.entries.is_empty(), "{} sessions", page.entries.len());
        for upload in page.entries {
            let fence = Fence { counter: u64::MAX, owner: "~".to_owned() };
            assert!(driver.end_upload(&upload.id, &fence).await.expect("the end of a session"));
        }
    }

    /// A URL for the object at a key, as the core asks for one; but the core wants a longer life.
    pub async fn sign(&self, key: &str, ttl: Duration) -> SignedUrl {
        let request = SignRequest { head: false, ttl, content_type: String::new() };
        let key = Key::parse(key).expect("a key");
        let signed = self.dialled().await.sign(&key, &request).await.expect("a signature");
        signed.expect("a URL")
    }

    /// As the core's collector does: again, where it takes longer than one call may.
    pub async fn delete(&self, key: &str) {
        let begin = Instant::now();
        while let Err(error) = self.try_delete(key).await {
            assert!(error.is_transient() && begin.elapsed() < PATIENCE, "{key}: {error}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// One call of it; whether there was something to delete.
    pub async fn try_delete(&self, key: &str) -> Result<bool, DriverError> {
        let key = Key::parse(key).expect("a key");
        self.dialled().await.delete(&key, None).await
    }

    /// What the core has of it, for calls of the test's own.
    pub async fn dialled(&self) -> RemoteDriver {
        dial(&self.endpoint).await
    }

    /// The same with deadlines of the test's own.
    pub async fn dialled_with(&self, deadlines: Deadlines) -> RemoteDriver {
        dial_with(&self.endpoint, deadlines).await
    }

    /// A core over it; TOML lines for its storage.
    pub async fn core(&self, toml: &str) -> Registry {
        Registry::start_over(&format!("[storage.main]\nendpoint = \"{}\"\n{toml}", self.endpoint)).await
    }
}

/// What the core has of a driver at an endpoint.
pub async fn dial(endpoint: &str) -> RemoteDriver {
    dial_with(endpoint, Deadlines::default()).await
}

async fn dial_with(endpoint: &str, deadlines: Deadlines) -> RemoteDriver {
    let driver = RemoteDriver::new(Remote {
        endpoint: endpoint.parse().expect("an endpoint"),
        trusted: TrustedPeer { uid: None },
        store_id: None,
        deadlines,
        core_instance: "the test".to_owned(),
    });
    driver.connected(START).await.expect("the driver");
    driver
}
