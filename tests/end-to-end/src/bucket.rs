//! A bucket on a real server, and cores over it, each with a driver of its own.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use reqwest::Method;
use tempfile::TempDir;

pub use crate::instance::Driver;
use crate::instance::Program;
use crate::servers::{Implementation, Options, S3Access, S3Server};
use crate::{Process, scratch};

/// In the driver's log when it does.
pub const IT_SERVES: &str = "this is what the server enforces";
pub(crate) const S3: Program = Program { name: "longshore-driver-s3", it_serves: IT_SERVES };

/// An initialised store.
pub struct Bucket {
    pub server: S3Server,
    sockets: TempDir,
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
        Driver::new(&S3, command, endpoint)
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
    let mut command = Command::new(scratch::binary(S3.name));
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
    S3.started(command)
}

pub async fn no_multipart_upload_is_left(server: &S3Server) {
    let target = format!("/{}?uploads", server.bucket());
    let answer = server.send(Method::GET, &target, Bytes::new()).await;
    let text = answer.text().await.expect("a listing");
    assert!(!text.contains("<UploadId>"), "multipart uploads are left: {text}");
}
