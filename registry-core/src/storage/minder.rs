//! Driver processes that the core starts itself: on a private socket, again with back-off when they die, and ended when
//! the core ends. A minded driver also ends when the core is killed: its standard input ends with the core.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use longshore_driver_sdk::endpoint::Endpoint;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// A driver that ran this long starts with the first back-off again.
const STEADY: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(25);

/// A driver that is kept running.
#[derive(Debug)]
pub struct Minder {
    endpoint: Endpoint,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    directory: PathBuf,
    ends: Arc<AtomicU32>,
}

/// Why a driver can't be minded.
#[derive(Debug, thiserror::Error)]
pub enum MindError {
    #[error("the command of storage {0} is empty")]
    NoCommand(String),
    #[error("cannot make a private directory for the driver's socket: {0}")]
    Directory(std::io::Error),
    #[error("cannot start {program:?}: {error}; is it installed, or beside longshore?")]
    Start { program: String, error: std::io::Error },
}

impl Minder {
    /// Starts the program for the first time, and minds it from then on.
    ///
    /// # Errors
    /// When it can't be started at all.
    pub fn start(storage: &str, command: &[String]) -> Result<Self, MindError> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(MindError::NoCommand(storage.to_owned()));
        };
        let directory = private_directory().map_err(MindError::Directory)?;
        let socket = directory.join("driver.sock");
        let launch = Launch {
            storage: storage.to_owned(),
            program: beside_ourselves(program),
            arguments: arguments.to_vec(),
            socket: socket.clone(),
        };
        let child = launch.spawn().map_err(|error| MindError::Start { program: program.clone(), error })?;
        let stop = CancellationToken::new();
        let ends = Arc::new(AtomicU32::new(0));
        let task = tokio::spawn(mind(launch, child, stop.clone(), ends.clone()));
        Ok(Self { endpoint: Endpoint::Unix(socket), stop, task, directory, ends })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How often the driver has ended by itself.
    pub fn ends(&self) -> u32 {
        self.ends.load(Ordering::Relaxed)
    }

    /// Ends the driver, and waits until it has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct Launch {
    storage: String,
    program: PathBuf,
    arguments: Vec<String>,
    socket: PathBuf,
}

impl Launch {
    fn spawn(&self) -> std::io::Result<Child> {
        let _ = std::fs::remove_file(&self.socket);
        Command::new(&self.program)
            .args(&self.arguments)
            .env("LONGSHORE_DRIVER_ENDPOINT", format!("unix://{}", self.socket.display()))
            .env("LONGSHORE_DRIVER_MINDED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

async fn mind(launch: Launch, mut child: Child, stop: CancellationToken, ends: Arc<AtomicU32>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let began = Instant::now();
        // Held here, because waiting for a child closes its input: that is the sign for the driver to stop.
        let input = child.stdin.take();
        tracing::info!(storage = launch.storage, program = %launch.program.display(), pid = child.id(), "driver started");
        tokio::select! {
            () = stop.cancelled() => return end(child, input).await,
            ended = child.wait() => {
                ends.fetch_add(1, Ordering::Relaxed);
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(storage = launch.storage, how, "the driver ended; it is started again");
            }
        }
        if began.elapsed() > STEADY {
            backoff = FIRST_BACKOFF;
        }
        child = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(LAST_BACKOFF);
            match launch.spawn() {
                Ok(child) => break child,
                Err(error) => tracing::error!(storage = launch.storage, %error, "cannot start the driver"),
            }
        };
    }
}

/// The end of its input asks the driver to stop; SIGTERM asks again; SIGKILL does not ask.
async fn end(mut child: Child, input: Option<ChildStdin>) {
    drop(input);
    if let Some(pid) =
        child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// A driver without a path in its name is first looked for beside our own executable.
fn beside_ourselves(program: &str) -> PathBuf {
    let sibling = || Some(std::env::current_exe().ok()?.parent()?.join(program));
    match sibling() {
        Some(sibling) if !program.contains('/') && sibling.exists() => sibling,
        _ => PathBuf::from(program),
    }
}

fn private_directory() -> std::io::Result<PathBuf> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let base = base.unwrap_or_else(std::env::temp_dir);
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| std::io::Error::other(error.to_string()))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = Path::new(&base).join(format!("longshore-{name}"));
    std::fs::create_dir(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))?;
    Ok(directory)
}
