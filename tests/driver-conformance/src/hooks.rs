//! The author's programs that kill, start and stop the driver and its backend: files of one directory, run with the
//! endpoint in LONGSHORE_CHECK_ENDPOINT.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use longshore_driver_sdk::endpoint::Endpoint;

use crate::verdict::{Failure, Verdict};

/// No hook may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What a hook does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// SIGKILL; returns when the driver is gone.
    Kill,
    /// Starts the driver again, at the same endpoint and store; returns when it listens.
    Start,
    /// SIGTERM; returns when the driver has ended, with its exit status.
    Terminate,
    /// Makes the backend unreachable.
    BackendStop,
    /// Brings the backend back.
    BackendStart,
}

impl Hook {
    pub const ALL: [Self; 5] =
        [Self::Kill, Self::Start, Self::Terminate, Self::BackendStop, Self::BackendStart];

    /// The name of its file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Start => "start",
            Self::Terminate => "terminate",
            Self::BackendStop => "backend-stop",
            Self::BackendStart => "backend-start",
        }
    }
}

/// The directory of hooks.
#[derive(Debug, Clone)]
pub struct Hooks {
    directory: PathBuf,
    endpoint: Endpoint,
}

impl Hooks {
    /// # Errors
    /// When the directory is not there, or holds none of the hooks: a wrong path must not look like a driver
    /// without hooks.
    pub fn new(directory: &Path, endpoint: &Endpoint) -> Result<Self, String> {
        let hooks = Self { directory: directory.to_owned(), endpoint: endpoint.clone() };
        if Hook::ALL.into_iter().any(|hook| hooks.has(hook)) {
            return Ok(hooks);
        }
        let names = Hook::ALL.map(Hook::file_name).join(", ");
        Err(format!("{} holds no hook: there may be {names}", directory.display()))
    }

    pub fn has(&self, hook: Hook) -> bool {
        self.directory.join(hook.file_name()).is_file()
    }

    /// Runs one to its end.
    ///
    /// # Errors
    /// When it can't be started, fails, or takes too long.
    pub async fn run(&self, hook: Hook) -> Verdict {
        let path = self.directory.join(hook.file_name());
        let mut command = tokio::process::Command::new(&path);
        command.env("LONGSHORE_CHECK_ENDPOINT", self.endpoint.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let failed = |what: String| Failure::new(format!("hook {}", path.display()), "exit status 0", what);
        let ended = tokio::time::timeout(LIMIT, command.status()).await;
        match ended {
            Err(_) => Err(failed(format!("it still runs after {} s", LIMIT.as_secs()))),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(status.to_string())),
        }
    }
}
