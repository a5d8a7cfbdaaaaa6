//! One worker: a process of the interpreter that the old driver is installed for. Owns how it is started, spoken to and
//! ended. It leads a process group, so that what the old driver forks ends with it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use longshore_driver_sdk::{DriverError, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::config::Config;
use crate::failure::{Failure, Outcome, Told};
use crate::frame;

/// What every worker runs.
const PROGRAM: &str = include_str!("../python/longshore_worker.py");
/// Takes the program in from the socket: no file of it has to lie anywhere, and it is longer than an argument should be.
const BOOTSTRAP: &str = "\
import os, struct
def take(n):
    taken = b''
    while len(taken) < n:
        piece = os.read(0, n - len(taken))
        if not piece:
            raise SystemExit(0)
        taken += piece
    return taken
exec(compile(take(struct.unpack('>I', take(4))[0]), 'longshore_worker.py', 'exec'), {'__name__': '__main__'})
";
/// Imports of a large client library, translated for the first time, on a busy machine.
const START: Duration = Duration::from_secs(30);
/// What was killed goes at once, unless the kernel itself waits for a dead disk or server.
const DEATH: Duration = Duration::from_secs(5);
/// Of a line that the old driver prints.
const LONGEST_LINE: u64 = 2000;
const BUFFER: usize = 64 * 1024;

/// What a worker is started with.
#[derive(Debug)]
pub(crate) struct Launch {
    python: PathBuf,
    pub(crate) driver: String,
    start: Value,
    pub(crate) timeout: Duration,
}

impl Launch {
    /// `lock`: a file that each worker locks for as long as it lives.
    ///
    /// # Errors
    /// When a setting can't be passed on.
    pub(crate) fn new(config: &Config, lock: Option<&std::path::Path>) -> Result<Self> {
        let cache = config.cache.clone().or_else(|| config.spool.as_ref().map(|spool| spool.join("cache")));
        let start = json!({
            "call": "start",
            "driver": config.driver,
            "path": config.path,
            "config": config.old(),
            "module_path": config.module_path.0,
            "translate": config.translate.0,
            "most_names": config.max_names,
            "lock": lock,
            "cache": cache,
        });
        let (python, driver) = (config.python.clone(), config.driver.clone());
        Ok(Self { python, driver, start, timeout: config.timeout()? })
    }
}

/// The header of any frame of a worker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) end: bool,
    /// The worker is of no more use: the old driver leaks.
    worn: bool,
    pub(crate) error: Option<Told>,
    pub(crate) kind: Option<Kind>,
    pub(crate) size: Option<u64>,
    pub(crate) large: bool,
    /// Bytes that the old driver has moved so far.
    pub(crate) progress: u64,
    pub(crate) more: bool,
    pub(crate) names: Vec<(String, Kind, Option<u64>)>,
    pub(crate) removed: bool,
    pub(crate) key: Option<String>,
    pub(crate) range: bool,
    pub(crate) removes_by_prefix: Option<bool>,
    pub(crate) empty_folders: Option<bool>,
    pub(crate) lists_below: bool,
    pub(crate) notes: Vec<String>,
    pub(crate) python: String,
    pub(crate) class: String,
    pub(crate) version: Option<String>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Object,
    Folder,
    Absent,
}

pub(crate) struct Worker {
    child: Child,
    is_worn: bool,
    socket: BufReader<UnixStream>,
}

impl Worker {
    /// Starts one and loads the old driver; gives what it says of itself, too.
    pub(crate) async fn start(launch: &Launch, canary: Option<&str>) -> Result<(Self, Answer)> {
        let mut worker = Self::spawn(launch).map_err(|error| {
            let message = format!("start the interpreter python={}", launch.python.display());
            DriverError::io(message, error)
        })?;
        let mut request = launch.start.clone();
        request["canary"] = json!(canary);
        let started = async {
            let mut program = Vec::with_capacity(4 + PROGRAM.len());
            program.put_u32(u32::try_from(PROGRAM.len()).unwrap_or(u32::MAX));
            program.extend_from_slice(PROGRAM.as_bytes());
            worker.socket.write_all(&program).await.map_err(Failure::Broken)?;
            worker.ask(&request, &[], START).await
        };
        match started.await {
            Ok((answer, _)) => Ok((worker, answer)),
            Err(failure) => {
                let ended = worker.kill().await;
                Err(failure.into_error(&launch.driver, "start", ended.as_deref()))
            }
        }
    }

    fn spawn(launch: &Launch) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&launch.python);
        command.args(["-c", BOOTSTRAP]).stdin(OwnedFd::from(theirs));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        log_lines(child.stdout.take(), child.id());
        log_lines(child.stderr.take(), child.id());
        let socket = BufReader::with_capacity(BUFFER, UnixStream::from_std(ours)?);
        Ok(Self { child, is_worn: false, socket })
    }

    /// One call with one answer. A worker that fails otherwise than by telling so is of no use any more.
    pub(crate) async fn ask(
        &mut self,
        request: &Value,
        body: &[u8],
        patience: Duration,
    ) -> Outcome<(Answer, Bytes)> {
        self.send(request, body, patience).await?;
        self.next(patience).await
    }

    pub(crate) async fn send(&mut self, request: &Value, body: &[u8], patience: Duration) -> Outcome<()> {
        let sent = timeout(patience, frame::write(&mut self.socket, request, body)).await;
        sent.map_err(|_| Failure::Silent(patience))?.map_err(Failure::Broken)
    }

    /// The next frame of an answer.
    pub(crate) async fn next(&mut self, patience: Duration) -> Outcome<(Answer, Bytes)> {
        let read = timeout(patience, frame::read::<Answer>(&mut self.socket)).await;
        let (mut answer, body) = read.map_err(|_| Failure::Silent(patience))?.map_err(Failure::Broken)?;
        self.is_worn |= answer.worn;
        match answer.error.take() {
            Some(told) => Err(Failure::Told(Box::new(told))),
            None => Ok((answer, body)),
        }
    }

    /// Whether it can be asked again.
    pub(crate) fn is_usable(&mut self) -> bool {
        !self.is_worn && !self.has_ended()
    }

    /// It is not reaped by being looked at: its group, with all that it forked, goes by its number.
    fn has_ended(&self) -> bool {
        let Some(id) = self.id() else { return true };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(id), look), Ok(None))
    }

    /// `None`: it was reaped.
    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// Ends it and all that it forked, and waits until it is gone: what it was doing is over then. Says how it ended.
    pub(crate) async fn kill(mut self) -> Option<String> {
        let had_ended = self.has_ended();
        self.kill_group();
        let Ok(ended) = timeout(DEATH, self.child.wait()).await else {
            tracing::warn!(
                worker = self.child.id(),
                "a worker that was killed does not go: the kernel holds it"
            );
            return None;
        };
        ended.ok().filter(|_| had_ended).map(|status| status.to_string())
    }

    fn kill_group(&self) {
        if let Some(leader) = self.id() {
            // It fails where there is nothing left to be killed.
            let _gone = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// What the old driver prints goes to the log.
fn log_lines(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, worker: Option<u32>) {
    let Some(pipe) = pipe else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
                Ok(read) if read > 0 => {
                    let text = String::from_utf8_lossy(&line);
                    tracing::info!(worker, "{}", text.trim_end().escape_debug());
                }
                _ => return,
            }
        }
    });
}
