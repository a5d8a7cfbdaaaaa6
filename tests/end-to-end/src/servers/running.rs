//! What runs of a server, whichever it is: the process at its endpoint, and what that stands on.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Port, START};
use crate::process::Process;

/// What the file of an implementation makes: all but the front runs.
pub(super) struct Prepared {
    pub(super) name: &'static str,
    pub(super) front: Command,
    pub(super) behind: Vec<Process>,
    pub(super) ports: Vec<Port>,
}

/// Fields are dropped in order: first what listens, then what it stands on, then their data.
pub(super) struct Running {
    front: Front,
    behind: Vec<Process>,
    _ports: Vec<Port>,
    data: TempDir,
}

/// The process at the endpoint, through all its lives.
struct Front {
    name: &'static str,
    command: Command,
    /// None while it is down.
    process: Option<Process>,
}

impl Running {
    /// Starts the front too.
    pub(super) fn start(prepared: Prepared, data: TempDir) -> Self {
        let mut front = Front { name: prepared.name, command: prepared.front, process: None };
        front.start();
        Self { front, behind: prepared.behind, _ports: prepared.ports, data }
    }

    pub(super) fn name(&self) -> &'static str {
        self.front.name
    }

    /// Kills the front; what it stands on goes on.
    pub(super) fn stop(&mut self) {
        let mut process = self.front.process.take().expect("a server that runs");
        process.kill();
    }

    /// After `stop`: at the same endpoint, over the same data.
    pub(super) fn start_again(&mut self) {
        assert!(self.front.process.is_none(), "{} runs", self.front.name);
        self.front.start();
    }

    pub(super) fn pause(&self) {
        self.front.running().pause();
    }

    pub(super) fn resume(&self) {
        self.front.running().resume();
    }

    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.front.process.iter().chain(&self.behind).map(Process::id).collect()
    }

    pub(super) fn directory(&self) -> &Path {
        self.data.path()
    }

    /// Before another attempt, `why` there was none with success yet. Fails where there will be none.
    pub(super) async fn await_next_attempt(&mut self, since: Instant, what: &str, why: &str) {
        let waiting = !self.front.has_ended() && since.elapsed() < START;
        assert!(waiting, "{what}: {why}\n{}", self.front.running().log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Front {
    fn start(&mut self) {
        self.process = Some(Process::spawn(self.name, &mut self.command));
    }

    /// By itself.
    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.poll().is_some())
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a server that runs")
    }
}
