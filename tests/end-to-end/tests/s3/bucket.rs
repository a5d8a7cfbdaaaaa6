//! A bucket on a real server, and cores over it, each with a driver of its own.

use std::path::Path;
use std::process::Command;

use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::TrustedPeer;
use longshore_driver_sdk::{Driver as _, Fence, UploadQuery};
use longshore_end_to_end::process::run_command;
use longshore_end_to_end::registry::{CORE, START};
use longshore_end_to_end::servers::{Implementation, S3Server};
use longshore_end_to_end::{Process, Registry, scratch};
use tempfile::TempDir;

const S3_DRIVER: &str = "longshore-driver-s3";

/// An initialised store.
pub(crate) struct Bucket {
    pub(crate) server: S3Server,
    implementation: Implementation,
    sockets: TempDir,
}

/// An instance of the driver, through all its lives.
pub(crate) struct Driver {
    command: Command,
    process: Option<Process>,
    endpoint: String,
}

impl Bucket {
    pub(crate) async fn start(implementation: Implementation) -> Self {
        let server = S3Server::start(implementation).await;
        let bucket = Self { server, implementation, sockets: scratch::socket_directory() };
        let driver = bucket.driver("init");
        run_command(Command::new(scratch::binary(CORE)).args(["storage", "init", &driver.endpoint]));
        bucket
    }

    /// Another instance of the driver.
    pub(crate) fn driver(&self, name: &str) -> Driver {
        let place = self.sockets.path().join(name);
        std::fs::create_dir(&place).expect("a directory for a socket");
        let (mut command, endpoint) = driver_command(&self.server, &place, self.server.bucket());
        if self.implementation == Implementation::Swift {
            command.arg("max_parts=1000");
        }
        let mut driver = Driver { command, process: None, endpoint };
        driver.start();
        driver
    }

    pub(crate) fn sockets(&self) -> &Path {
        self.sockets.path()
    }
}

/// A driver for a bucket, and its endpoint in this directory.
pub(crate) fn driver_command(server: &S3Server, directory: &Path, bucket: &str) -> (Command, String) {
    let endpoint = format!("unix://{}", directory.join("driver.sock").display());
    let mut command = Command::new(scratch::binary(S3_DRIVER));
    command.args(["--endpoint", &endpoint]);
    command.arg(format!("endpoint={}", server.endpoint())).arg(format!("bucket={bucket}"));
    command.env("AWS_ACCESS_KEY_ID", server.access_key());
    command.env("AWS_SECRET_ACCESS_KEY", server.secret_key());
    command.env("AWS_REGION", server.region());
    (command, endpoint)
}

impl Driver {
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns when it knows what the server can do.
    pub(crate) fn start(&mut self) {
        let process = Process::spawn(S3_DRIVER, &mut self.command);
        process.await_line("this is what the server enforces", START * 6);
        self.process = Some(process);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().expect("a driver that runs").kill();
    }

    /// Ends every upload session, as the core's sweeper does when their time is over.
    pub(crate) async fn end_all_uploads(&self) {
        let driver = RemoteDriver::new(Remote {
            endpoint: self.endpoint.parse().expect("an endpoint"),
            trusted: TrustedPeer { uid: None },
            store_id: None,
            deadlines: Deadlines::default(),
            core_instance: "the test".to_owned(),
        });
        driver.connected(START).await.expect("the driver");
        let query = UploadQuery { start_after: String::new(), limit: 1000, idle_since: None };
        let page = driver.list_uploads(&query).await.expect("a page of sessions");
        assert!(!page.more && !page.entries.is_empty(), "{} sessions", page.entries.len());
        for upload in page.entries {
            let fence = Fence { counter: u64::MAX, owner: "~".to_owned() };
            assert!(driver.end_upload(&upload.id, &fence).await.expect("the end of a session"));
        }
    }

    /// A core over it; TOML lines for its storage.
    pub(crate) async fn core(&self, toml: &str) -> Registry {
        Registry::start_over(&format!("[storage.main]\nendpoint = \"{}\"\n{toml}", self.endpoint)).await
    }
}
