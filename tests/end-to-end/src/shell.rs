//! A document's blocks in one `bash`, at the head of a process group: what they leave behind ends with it, also when the
//! test fails.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Of a whole document, the build of a driver included, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(900);

struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        // The group may be empty by now, and that is the good case.
        let group = Pid::from_raw(self.0.id().cast_signed()).expect("a process has an id");
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs to its end; what it says on either output goes into the file.
pub fn run(command: &mut Command, output: &Path) -> ExitStatus {
    let log = File::create(output).expect("make the output");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("the output twice")).stderr(log);
    let mut shell = Shell(command.process_group(0).spawn().expect("start bash"));
    let begin = Instant::now();
    loop {
        if let Some(status) = shell.0.try_wait().expect("wait for bash") {
            return status;
        }
        let so_far = || fs::read_to_string(output).unwrap_or_default();
        assert!(begin.elapsed() < PATIENCE, "it still runs after {PATIENCE:?}\n{}", so_far());
        std::thread::sleep(Duration::from_millis(50));
    }
}
