//! The servers of S3 and Swift that the tests start, implementations that differ: versitygw, Swift with s3api and Ceph's RGW in
//! every run, with Keystone for Swift's own API; MinIO and Garage, which take minutes to build, in the full tier.

mod garage;
mod keystone;
pub(crate) mod rgw;
pub(crate) mod swift;
pub(crate) mod versitygw;
pub(crate) mod virtualenv;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::go_tool::GoTool;
use crate::tests::Tier;

/// Its releases are no versions of a Go module, so it goes by the time of a commit.
const MINIO: GoTool = GoTool {
    name: "minio",
    package: "github.com/minio/minio",
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
};

/// Looks only whether the store is still itself.
const WITNESS: &str = ".driver/store-id";
/// A server that logs after it has answered has done so by then.
const LOG_DELAY: Duration = Duration::from_millis(500);
/// No push or pull here goes on for so long after its answer.
const LOG_PATIENCE: Duration = Duration::from_secs(20);

/// A server that a registry's store may be in.
pub(crate) trait Backend: Sized {
    /// What lies below its directory and is no log.
    const DATA: &'static [&'static str];

    /// Its requests are to be counted, and a Ctrl-C ends it with all others.
    fn start_to_measure(directory: &Path) -> Result<Self, String>;

    /// Gives a core its store here: the core starts the driver, which makes the store where there is nothing.
    fn be_store_of(&self, core: &mut Command);

    /// Tells a program by its environment how to log in.
    fn let_in(&self, program: &mut Command);

    /// What it was asked so far, of which nothing is missing.
    fn requests(&self) -> Result<Vec<Request>, String>;
}

/// What a server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It writes an access log, and a Ctrl-C in the terminal ends it with all others.
    Measure,
    /// A Ctrl-C does not reach it: it is stopped last.
    Serve,
}

/// What a server was asked, by its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// In the server's words: `PutObject`, `ListObjectsV2`; `PUT`, `GET`.
    pub(crate) operation: String,
    /// Empty for a request about the bucket or the container.
    pub(crate) key: String,
    /// It moves bytes inside the store.
    pub(crate) is_copy: bool,
}

impl Request {
    /// What looks only whether all is well.
    pub(crate) fn is_health(&self) -> bool {
        self.key == WITNESS || (self.operation == "HEAD" && self.key.is_empty())
    }
}

/// Reads the log of a server that logs after it has answered, until nothing more comes.
fn settled(read: impl Fn() -> Result<Vec<Request>, String>) -> Result<Vec<Request>, String> {
    let (end, mut seen) = (Instant::now() + LOG_PATIENCE, read()?);
    loop {
        thread::sleep(LOG_DELAY);
        let requests = read()?;
        if requests.len() == seen.len() {
            return Ok(requests);
        }
        if Instant::now() > end {
            return Err("the server is asked without end, where nobody asks the registry".to_owned());
        }
        seen = requests;
    }
}

/// Those of a tier, each fetched or built first where it is missing.
pub(crate) fn provide(tier: Tier) -> Result<(), String> {
    versitygw::provide()?;
    drop(swift::provide()?);
    keystone::provide()?;
    drop(rgw::provide()?);
    if tier == Tier::Full {
        MINIO.provide()?;
        garage::provide()?;
    }
    Ok(())
}

/// One that nobody else on this machine has.
fn secret() -> Result<String, String> {
    let mut bytes = [0; 16];
    let random = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    random.map_err(|error| format!("cannot read /dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
