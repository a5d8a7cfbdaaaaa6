//! A driver that its hooks start, and the kit against it. Everything that was started ends with it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use longshore_end_to_end::{Process, scratch};
use tempfile::TempDir;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Unix,
    Tcp,
}

pub(crate) struct Stand {
    driver: PathBuf,
    hooks: PathBuf,
    wire: Wire,
    endpoint: String,
    /// What its hooks and the driver find in their environment.
    environment: Vec<(String, String)>,
    sockets: TempDir,
    data: TempDir,
}

/// A second instance on the same store.
pub(crate) struct Second {
    endpoint: String,
    _process: Process,
}

/// What the kit said.
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    pub(crate) text: String,
}

impl Report {
    fn of(kit: &mut Command) -> Self {
        let output = kit.stdin(Stdio::null()).output().expect("the kit runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        let count = |verdict: &str| said.lines().filter(|line| line.starts_with(verdict)).count();
        let report = Self { passed: count("PASS "), failed: count("FAIL "), skipped: count("SKIP "), text };
        assert_eq!(output.status.success(), report.failed == 0, "{}: {}", output.status, report.text);
        report
    }
}

impl Stand {
    pub(crate) fn start(driver: &Path, hooks: &Path, wire: Wire) -> Self {
        Self::start_with(driver, hooks, wire, Vec::new())
    }

    pub(crate) fn start_with(
        driver: &Path,
        hooks: &Path,
        wire: Wire,
        environment: Vec<(String, String)>,
    ) -> Self {
        let sockets = scratch::socket_directory();
        let stand = Self {
            driver: driver.to_owned(),
            hooks: hooks.to_owned(),
            wire,
            endpoint: endpoint(wire, sockets.path(), "driver.sock"),
            environment,
            sockets,
            data: scratch::data_directory(),
        };
        assert!(stand.hook("start"), "the driver does not start");
        stand
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.data.path().join("root")
    }

    pub(crate) fn second(&self, settings: impl FnOnce(&Path) -> Vec<String>) -> Second {
        let endpoint = endpoint(self.wire, self.sockets.path(), "second.sock");
        let mut command = Command::new(&self.driver);
        command.args(["--endpoint", &endpoint]).args(settings(&self.root()));
        command.envs(self.environment.clone());
        let process = Process::spawn("second driver", &mut command);
        process.await_line("listening on", Duration::from_secs(30));
        Second { endpoint, _process: process }
    }

    /// Everything, with hooks.
    pub(crate) fn check(&self, second: Option<&Second>) -> Report {
        let junit = self.data.path().join("junit.xml");
        let mut kit = self.kit();
        kit.arg("--hooks").arg(&self.hooks).arg("--junit").arg(&junit);
        if let Some(second) = second {
            kit.args(["--second", &second.endpoint]);
        }
        let report = Report::of(&mut kit);
        let junit = fs::read_to_string(junit).expect("the report as XML");
        let cases = junit.matches("<testcase ").count();
        assert_eq!(cases, report.passed + report.failed + report.skipped, "{}", report.text);
        report
    }

    /// Some checks, without hooks.
    pub(crate) fn check_only(&self, pattern: &str) -> Report {
        Report::of(self.kit().args(["--no-figures", "--only", pattern]))
    }

    fn kit(&self) -> Command {
        let mut kit = Command::new(env!("CARGO_BIN_EXE_longshore-driver-check"));
        self.describe(&mut kit);
        kit.args(["--endpoint", &self.endpoint]);
        kit
    }

    fn describe(&self, command: &mut Command) {
        command.env("DRIVER", &self.driver).env("ROOT", self.root());
        command.env("STATE", self.data.path().join("state"));
        command.env("LONGSHORE_CHECK_ENDPOINT", &self.endpoint).envs(self.environment.clone());
    }

    fn hook(&self, name: &str) -> bool {
        let mut command = Command::new(self.hooks.join(name));
        self.describe(&mut command);
        command.stdin(Stdio::null()).status().expect("the hook runs").success()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.hook("kill");
    }
}

fn endpoint(wire: Wire, folder: &Path, socket: &str) -> String {
    match wire {
        Wire::Unix => format!("unix://{}", folder.join(socket).display()),
        Wire::Tcp => {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            format!("tcp://{}", free.local_addr().expect("its address"))
        }
    }
}
