//! `cargo xtask run --storage s3`: a versitygw on loopback with a bucket of its own, and the configuration of a core whose
//! store lies there.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::console;
use crate::s3_servers::VERSITYGW;
use crate::step::succeed;

const BUCKET: &str = "registry";
/// It listens on loopback alone, for as long as this run.
const CREDENTIALS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "longshore"), ("AWS_SECRET_ACCESS_KEY", "on loopback alone")];
const START: Duration = Duration::from_secs(20);
const DRIVER: &str = "longshore-driver-s3";

/// The server, ended when dropped, and where everything is.
pub(super) struct S3 {
    server: Child,
    endpoint: String,
    directory: PathBuf,
}

impl S3 {
    /// Starts the server over a directory below `data`, and makes bucket and store where they are missing.
    pub(super) fn start(data: &Path, programs: &Path) -> Result<Self, String> {
        let directory = absolute(data)?.join("s3");
        let bucket = directory.join("objects").join(BUCKET);
        fs::create_dir_all(&bucket).map_err(|error| format!("cannot make {}: {error}", bucket.display()))?;
        let address = free_address()?;
        let log = directory.join("versitygw.log");
        let mut command = Command::new(VERSITYGW.provide()?);
        command.args(["--port", &address.to_string(), "--keep-alive", "--quiet", "posix"]);
        command.arg(directory.join("objects")).process_group(0).stdin(Stdio::null());
        command.env("ROOT_ACCESS_KEY", CREDENTIALS[0].1).env("ROOT_SECRET_KEY", CREDENTIALS[1].1);
        let (out, errors) = log_files(&log)?;
        let started = command.stdout(out).stderr(errors).spawn();
        let server = started.map_err(|error| format!("cannot start versitygw: {error}"))?;
        let mut s3 = Self { server, endpoint: format!("http://{address}"), directory };
        s3.await_answer(address, &log)?;
        console::say(&format!("versitygw at {}, bucket {BUCKET} in {}", s3.endpoint, bucket.display()));
        s3.make_store(&bucket, programs)?;
        Ok(s3)
    }

    /// The core that starts and minds an S3 driver at this server.
    pub(super) fn core(&self, programs: &Path, listen: &str) -> Result<Command, String> {
        let configuration = self.directory.join("longshore.toml");
        let text = format!(
            "[storage.main]\ncommand = [{:?}, {:?}, {:?}]\n",
            programs.join(DRIVER),
            self.settings()[0],
            self.settings()[1],
        );
        fs::write(&configuration, text)
            .map_err(|error| format!("cannot write {}: {error}", configuration.display()))?;
        let mut command = Command::new(programs.join("longshore"));
        command.args(["serve", "--listen", listen, "--config"]).arg(configuration).envs(CREDENTIALS);
        Ok(command)
    }

    fn settings(&self) -> [String; 2] {
        [format!("bucket={BUCKET}"), format!("endpoint={}", self.endpoint)]
    }

    fn await_answer(&mut self, address: SocketAddr, log: &Path) -> Result<(), String> {
        let end = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            let ended = matches!(self.server.try_wait(), Ok(Some(_)));
            if ended || Instant::now() > end {
                return Err(format!("versitygw does not answer; look into {}", log.display()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Once, by a driver that lives as long as that takes.
    fn make_store(&self, bucket: &Path, programs: &Path) -> Result<(), String> {
        if bucket.join(".driver/store-id").exists() {
            return Ok(());
        }
        let socket = std::env::temp_dir().join(format!("longshore-run-{}.sock", std::process::id()));
        let endpoint = format!("unix://{}", socket.display());
        let mut driver = Command::new(programs.join(DRIVER));
        driver.args(["--endpoint", &endpoint]).args(self.settings()).envs(CREDENTIALS);
        let started = driver.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut driver = started.map_err(|error| format!("cannot start {DRIVER}: {error}"))?;
        let made = succeed(Command::new(programs.join("longshore")).args(["storage", "init", &endpoint]));
        end(&mut driver);
        made
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}

/// SIGTERM, and waits.
fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _already_gone = kill_process(pid, Signal::TERM);
    }
    let _already_reaped = child.wait();
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("--data {}: {error}", path.display()))
}

fn free_address() -> Result<SocketAddr, String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(|error| format!("no free port on loopback: {error}"))
}

fn log_files(path: &Path) -> Result<(fs::File, fs::File), String> {
    let opened = fs::File::create(path).and_then(|file| Ok((file.try_clone()?, file)));
    opened.map_err(|error| format!("cannot write {}: {error}", path.display()))
}
