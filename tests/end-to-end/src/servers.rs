//! S3 and Swift servers and the V1 registry for the tests: real ones, on loopback and on ports and data of their own, so that several run at once.
//! `cargo xtask test` provides them in `target/tools`. What was started is killed and reaped on drop.

mod access;
mod accounts;
mod garage;
mod keystone;
mod login;
mod minio;
mod port;
mod rgw;
mod running;
mod signature;
mod swift;
mod swift_access;
mod swift_server;
mod v1_registry;
mod versitygw;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;

use crate::{Authority, scratch};
pub use access::{PAGE, S3Access, STORE};
pub use accounts::Account;
pub use keystone::{Keystone, REGIONS};
pub use login::{Login, Session};
use port::Port;
use running::{Prepared, Running};
pub(crate) use signature::decode;
pub use signature::{Credentials, encode, rfc3339};
pub(crate) use swift_access::path_of;
pub use swift_access::{Flavour, SWIFT_STORE, SwiftAccess};
pub use swift_server::{Rights, SwiftOptions, SwiftServer};
pub use v1_registry::V1Registry;
pub use versitygw::Request;

/// A machine that builds and tests at once is slow to start four interpreters.
const START: Duration = Duration::from_secs(120);
/// Within this, a server on loopback has answered, or it never does.
const ANSWER: Duration = Duration::from_secs(60);

/// The implementations: what one of them refuses, another ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// versitygw over a directory: keeps every condition.
    Versitygw,
    /// OpenStack Swift with s3api: no PUT with If-Match.
    Swift,
    /// Ceph's RGW: ignores some conditions silently.
    Rgw,
    /// MinIO: lists multipart uploads by their exact key only. In the full tier.
    Minio,
    /// Garage: enforces no condition. In the full tier.
    Garage,
}

impl Implementation {
    /// Those of every run.
    pub const ALL: [Self; 3] = [Self::Versitygw, Self::Swift, Self::Rgw];

    /// Of one multipart upload.
    pub fn max_parts(self) -> u32 {
        if self == Self::Swift { 1000 } else { 10_000 }
    }
}

/// What versitygw alone is asked to be besides.
#[derive(Clone, Default)]
pub struct Options {
    /// Another one than the usual.
    pub region: Option<&'static str>,
    /// It serves over TLS with what this has issued.
    pub authority: Option<Arc<Authority>>,
    /// It has accounts besides its owner's: see `accounts`.
    pub accounts: bool,
}

/// One server.
pub struct S3Server {
    running: Running,
    access_log: Option<PathBuf>,
    access: S3Access,
}

impl S3Server {
    /// It answers, and has an empty bucket.
    pub async fn start(implementation: Implementation) -> Self {
        Self::start_with(implementation, Options::default()).await
    }

    pub async fn start_with(implementation: Implementation, options: Options) -> Self {
        let blocking = tokio::task::spawn_blocking(move || Self::launch(implementation, &options));
        let mut server =
            blocking.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        server.await_success(Method::PUT, "").await;
        server
    }

    fn launch(implementation: Implementation, options: &Options) -> Self {
        let (data, port) = (scratch::data_directory(), Port::reserve());
        let scheme = if options.authority.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://127.0.0.1:{}", port.number());
        let access = S3Access::new(implementation, endpoint).with(options);
        let credentials = access.credentials();
        let mut access_log = None;
        let mut prepared = match implementation {
            Implementation::Versitygw => {
                access_log = Some(versitygw::access_log(data.path()));
                versitygw::prepare(data.path(), &port, credentials, options)
            }
            Implementation::Swift => swift::prepare(data.path(), &port),
            Implementation::Rgw => rgw::prepare(data.path(), &port, credentials),
            Implementation::Minio => minio::prepare(data.path(), &port, credentials),
            Implementation::Garage => garage::prepare(data.path(), &port, credentials),
        };
        prepared.ports.push(port);
        Self { running: Running::start(prepared, data), access_log, access }
    }

    /// Another one, empty.
    pub async fn create_bucket(&self, name: &str) {
        let answer = self.send(Method::PUT, &format!("/{name}"), Bytes::new()).await;
        assert!(answer.status().is_success(), "create the bucket {name}: {}", answer.status());
    }

    /// Kills the process at the endpoint: connections break off, and new ones are refused. What it stands on goes on:
    /// RGW's objects are in the memory of the process behind it.
    pub fn stop(&mut self) {
        self.running.stop();
    }

    /// After `stop`: the same endpoint, the same data.
    pub async fn start_again(&mut self) {
        self.running.start_again();
        self.await_success(Method::GET, "").await;
    }

    /// Connections stay open and new ones are accepted by the kernel, but nothing is answered until `resume`.
    pub fn pause(&self) {
        self.running.pause();
    }

    pub fn resume(&self) {
        self.running.resume();
    }

    /// What the server has been asked so far, in the order of its answers, the bucket's creation included. An entry is
    /// there before its answer leaves. versitygw alone writes such a log.
    pub fn requests(&self) -> Vec<Request> {
        let log = self.access_log.as_ref().expect("versitygw: the others write no access log");
        versitygw::requests(log)
    }

    /// Every process of its.
    pub fn process_ids(&self) -> Vec<u32> {
        self.running.process_ids()
    }

    /// Where everything that it writes is.
    pub fn directory(&self) -> &Path {
        self.running.directory()
    }

    /// Asks until it has come up and does what it is asked.
    async fn await_success(&mut self, method: Method, query: &str) {
        let (begin, target) = (Instant::now(), format!("/{}{query}", self.bucket()));
        loop {
            let why = match self.attempt(method.clone(), &target, Bytes::new()).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
            self.running.await_next_attempt(begin, &format!("{method} {target}"), &why).await;
        }
    }
}

/// What can be asked of a bucket is asked of its server.
impl Deref for S3Server {
    type Target = S3Access;

    fn deref(&self) -> &S3Access {
        &self.access
    }
}

/// A tool of `target/tools`.
pub fn provided(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools").join(name);
    let provided = std::fs::canonicalize(&path);
    provided.unwrap_or_else(|_| panic!("{} is missing: `cargo xtask test` provides it", path.display()))
}
