//! A bucket on a real server, and cores over it, each with a driver of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::TrustedPeer;
use longshore_driver_sdk::{Driver as _, Fence, Key, SignRequest, SignedUrl, UploadQuery};
use reqwest::Method;
use tempfile::TempDir;

use crate::process::run_command;
use crate::registry::{CORE, START};
use crate::servers::{Implementation, Options, S3Access, S3Server};
use crate::{Process, Registry, scratch};

const S3_DRIVER: &str = "longshore-driver-s3";
/// In the driver's log when it does.
pub const IT_SERVES: &str = "this is what the server enforces";
/// Two CPUs may have three servers and a dozen drivers to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// An initialised store.
pub struct Bucket {
    pub server: S3Server,
    sockets: TempDir,
}

/// An instance of the driver, through all its lives.
pub struct Driver {
    command: Command,
    process: Option<Process>,
    endpoint: String,
}

impl Bucket {
    pub async fn start(implementation: Implementation) -> Self {
        Self::start_with(implementation, Options::default(), &[]).await
    }

    /// A server with options, and settings for the driver that initialises the store.
    pub async fn start_with(implementation: Implementation, options: Options, settings: &[&str]) -> Self {
        let server = S3Server::start_with(implementation, options).await;
        let bucket = Self { server, sockets: scratch::socket_directory() };
        let driver = bucket.driver_with("init", |command| {
            command.args(settings);
        });
        driver.init();
        bucket
    }

    /// Another instance of the driver.
    pub fn driver(&self, name: &str) -> Driver {
        self.driver_with(name, |_| ())
    }

    /// The same, with arguments and an environment of the test's own.
    pub fn driver_with(&self, name: &str, adjust: impl FnOnce(&mut Command)) -> Driver {
        let mut driver = self.new_driver(name, adjust);
        driver.start();
        driver
    }

    /// It does not run yet.
    pub fn new_driver(&self, name: &str, adjust: impl FnOnce(&mut Command)) -> Driver {
        self.new_driver_of(&self.server, name, adjust)
    }

    /// With the server behind something at this URL.
    pub fn driver_through(&self, name: &str, url: &str) -> Driver {
        self.driver_through_with(name, url, |_| ())
    }

    /// The same, with arguments and an environment of the test's own.
    pub fn driver_through_with(&self, name: &str, url: &str, adjust: impl FnOnce(&mut Command)) -> Driver {
        let mut driver = self.new_driver_of(&self.server.reached_at(url), name, adjust);
        driver.start();
        driver
    }

    fn new_driver_of(&self, server: &S3Access, name: &str, adjust: impl FnOnce(&mut Command)) -> Driver {
        let place = self.sockets.path().join(name);
        std::fs::create_dir_all(&place).expect("a directory for a socket");
        let (mut command, endpoint) = driver_command(server, &place, server.bucket());
        adjust(&mut command);
        Driver { command, process: None, endpoint }
    }

    pub fn sockets(&self) -> &Path {
        self.sockets.path()
    }
}

/// A driver for a bucket, and its endpoint in this directory.
pub fn driver_command(server: &S3Access, directory: &Path, bucket: &str) -> (Command, String) {
    let endpoint = format!("unix://{}", directory.join("driver.sock").display());
    (driver_command_at(server, &endpoint, bucket), endpoint)
}

/// The same at an endpoint that is chosen already.
pub(crate) fn driver_command_at(server: &S3Access, endpoint: &str, bucket: &str) -> Command {
    let mut command = Command::new(scratch::binary(S3_DRIVER));
    command.args(["--endpoint", endpoint]);
    command.arg(format!("endpoint={}", server.endpoint())).arg(format!("bucket={bucket}"));
    command.arg(format!("max_parts={}", server.implementation().max_parts()));
    command.env("AWS_ACCESS_KEY_ID", server.access_key());
    command.env("AWS_SECRET_ACCESS_KEY", server.secret_key());
    command.env("AWS_REGION", server.region());
    command
}

/// Returns when the driver knows what the server can do.
pub fn started(command: &mut Command) -> Process {
    let process = Process::spawn(S3_DRIVER, command);
    process.await_line(IT_SERVES, PATIENCE);
    process
}

/// Gives a store its id.
pub(crate) fn init(endpoint: &str) {
    run_command(Command::new(scratch::binary(CORE)).args(["storage", "init", endpoint]));
}

impl Driver {
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns when it knows what the server can do.
    pub fn start(&mut self) {
        self.process = Some(started(&mut self.command));
    }

    /// Makes a store of its bucket and prefix.
    pub fn init(&self) {
        init(&self.endpoint);
    }

    /// Does not wait for it.
    pub fn spawn(&mut self) {
        self.process = Some(Process::spawn(S3_DRIVER, &mut self.command));
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

    async fn dialled(&self) -> RemoteDriver {
        let driver = RemoteDriver::new(Remote {
            endpoint: self.endpoint.parse().expect("an endpoint"),
            trusted: TrustedPeer { uid: None },
            store_id: None,
            deadlines: Deadlines::default(),
            core_instance: "the test".to_owned(),
        });
        driver.connected(START).await.expect("the driver");
        driver
    }

    /// A core over it; TOML lines for its storage.
    pub async fn core(&self, toml: &str) -> Registry {
        Registry::start_over(&format!("[storage.main]\nendpoint = \"{}\"\n{toml}", self.endpoint)).await
    }
}

pub async fn no_multipart_upload_is_left(server: &S3Server) {
    let target = format!("/{}?uploads", server.bucket());
    let answer = server.send(Method::GET, &target, Bytes::new()).await;
    let text = answer.text().await.expect("a listing");
    assert!(!text.contains("<UploadId>"), "multipart uploads are left: {text}");
}
