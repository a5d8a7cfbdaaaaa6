//! A core that must not start: its storage is there, and is not what it should be.

use std::process::Command;
use std::time::Duration;

use longshore_end_to_end::{Process, scratch};

use crate::bed::DEADLINES;
use crate::front::Front;

/// 15 s for a driver that may still come up, and time for a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(25);

/// The real driver behind a front, and no core yet.
pub(crate) struct Start {
    pub(crate) front: Front,
    _driver: Process,
    _data: tempfile::TempDir,
    config: std::path::PathBuf,
}

impl Start {
    pub(crate) fn prepare() -> Self {
        let front = Front::start();
        let data = scratch::data_directory();
        let mut driver = Command::new(scratch::binary("longshore-driver-filesystem"));
        driver.arg("--endpoint").arg(format!("unix://{}", front.driver_socket().display()));
        driver.arg(format!("root={}", data.path().join("root").display())).arg("init=if-absent");
        let driver = Process::spawn("longshore-driver-filesystem", &mut driver);
        driver.await_line("listening", Duration::from_secs(5));
        let config = data.path().join("longshore.toml");
        let toml = format!(
            "listen = \"127.0.0.1:0\"\n[storage.bad]\nendpoint = \"unix://{}\"\n{DEADLINES}",
            front.socket().display()
        );
        std::fs::write(&config, toml).expect("write the configuration");
        Self { front, _driver: driver, _data: data, config }
    }

    /// The core does not start, and its last words name the storage and have all of these in them.
    pub(crate) fn assert_refused(&self, what: &str, said: &[&str]) {
        let mut command = Command::new(scratch::binary("longshore"));
        command.arg("serve").arg("--config").arg(&self.config);
        let mut core = Process::spawn("longshore", &mut command);
        let status = core.wait(REFUSED_WITHIN);
        assert!(!status.success(), "{what}: {status}\n{}", core.log());
        let lines = core.lines();
        let words = lines.iter().find(|line| line.contains("storage bad: "));
        let words = words.unwrap_or_else(|| panic!("{what}: no sentence\n{}", core.log()));
        for expected in said {
            assert!(words.contains(expected), "{what}: {expected:?} is not in {words}");
        }
    }
}
