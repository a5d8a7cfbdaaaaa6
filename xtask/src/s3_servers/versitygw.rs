//! versitygw over a directory: for what runs over S3 outside of the tests.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Backend, Purpose, Request, secret};
use crate::go_tool::GoTool;
use crate::process::{Process, free_port};

const VERSITYGW: GoTool =
    GoTool { name: "versitygw", package: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" };

pub(crate) const BUCKET: &str = "registry";
const REGION: &str = "us-east-1";
const USER: &str = "longshore";
const START: Duration = Duration::from_secs(20);

/// The program, built first where it is missing.
pub(crate) fn provide() -> Result<PathBuf, String> {
    VERSITYGW.provide()
}

/// A server with one bucket, on loopback and under a secret of its own; stopped when dropped.
pub(crate) struct Versitygw {
    pub(crate) process: Process,
    pub(crate) endpoint: String,
    secret: String,
    access_log: PathBuf,
}

impl Versitygw {
    /// Over a directory, which is made and may have been used before.
    pub(crate) fn start(directory: &Path, purpose: Purpose) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot use {}: {error}", directory.display());
        // A bucket is a directory below the root.
        fs::create_dir_all(directory.join("objects").join(BUCKET)).map_err(failed)?;
        // It changes its own directory to the root of its objects.
        let directory = directory.canonicalize().map_err(failed)?;
        let (secret, port) = (secret()?, free_port()?);
        let access_log = directory.join("access.log");
        let log = File::create(directory.join("versitygw.log")).map_err(failed)?;
        let mut command = Command::new(provide()?);
        command.args(["--port", &format!("127.0.0.1:{port}"), "--region", REGION, "--quiet", "--keep-alive"]);
        if purpose == Purpose::Measure {
            command.arg("--access-log").arg(&access_log);
        }
        command.arg("posix").arg(directory.join("objects"));
        command.env("ROOT_ACCESS_KEY", USER).env("ROOT_SECRET_KEY", &secret);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        if purpose == Purpose::Serve {
            command.process_group(0);
        }
        let process = Process::start("versitygw", &mut command)?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut server = Self { process, endpoint, secret, access_log };
        server.await_connection(port, &directory)?;
        Ok(server)
    }

    fn await_connection(&mut self, port: u16, directory: &Path) -> Result<(), String> {
        let end = Instant::now() + START;
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            if self.process.poll().is_some() || Instant::now() > end {
                let log = directory.join("versitygw.log");
                return Err(format!("versitygw does not come up: {error}; see {}", log.display()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// `storage` of distribution's configuration: the bucket, and no redirects to it.
    pub(crate) fn distribution(&self) -> String {
        format!(
            "storage:\n  cache:\n    blobdescriptor: inmemory\n  redirect:\n    disable: true\n  s3:\n    \
             accesskey: {USER}\n    secretkey: {}\n    region: {REGION}\n    regionendpoint: {}\n    \
             forcepathstyle: true\n    secure: false\n    bucket: {BUCKET}\n",
            self.secret, self.endpoint
        )
    }
}

impl Backend for Versitygw {
    const DATA: &'static [&'static str] = &["objects"];

    fn start_to_measure(directory: &Path) -> Result<Self, String> {
        Self::start(directory, Purpose::Measure)
    }

    fn be_store_of(&self, core: &mut Command) {
        let settings = format!("'bucket={BUCKET}', 'endpoint={}', 'init=if-empty'", self.endpoint);
        core.env("LONGSHORE_STORAGE__MAIN__COMMAND", format!("['longshore-driver-s3', {settings}]"));
        self.let_in(core);
    }

    /// By the environment of the AWS SDKs.
    fn let_in(&self, program: &mut Command) {
        program.env("AWS_ACCESS_KEY_ID", USER).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        program.env("AWS_REGION", REGION);
    }

    /// An entry is there before its answer leaves.
    fn requests(&self) -> Result<Vec<Request>, String> {
        let text = fs::read_to_string(&self.access_log)
            .map_err(|error| format!("cannot read {}: {error}", self.access_log.display()))?;
        let entries = text.lines().filter(|line| !line.starts_with("log starts "));
        entries.map(|line| request(line).ok_or_else(|| format!("an entry of another form: {line}"))).collect()
    }
}

/// `OWNER BUCKET [TIME ZONE] ADDRESS REQUESTER ID s3_OPERATION KEY /PATH?QUERY STATUS ...`
fn request(line: &str) -> Option<Request> {
    let mut words = line.split_once("] ")?.1.split(' ').skip(3);
    let operation = words.next()?.trim_start_matches("s3_").to_owned();
    let is_copy = operation.contains("Copy");
    Some(Request { operation, key: words.next()?.to_owned(), is_copy })
}
