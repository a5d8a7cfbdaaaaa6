//! The README of an example does what it says: its `sh` blocks run as they stand, one after the other, in one shell.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longshore_end_to_end::docker_engine::{Engine, without_proxies};
use longshore_end_to_end::scratch;
use rustix::process::{Pid, Signal, kill_process_group};

const PATIENCE: Duration = Duration::from_secs(900);

/// At the head of a process group: what the blocks leave behind ends with it.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id().cast_signed()).expect("a process has an id");
        // Empty by now, if all went well.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn the_readme_of_the_example_in_rust_works_as_it_stands() {
    works_as_it_stands("driver-rust");
}

#[test]
fn the_readme_of_the_example_in_go_works_as_it_stands() {
    works_as_it_stands("driver-go");
}

fn works_as_it_stands(example: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    let readme = fs::read_to_string(folder.join("README.md")).expect("the README");
    for step in 1..=5 {
        assert!(readme.contains(&format!("\n## {step}. ")), "step {step} of five");
    }
    run(&blocks(&readme), &folder);
}

fn blocks(readme: &str) -> String {
    let mut script = String::new();
    for block in readme.split("```sh\n").skip(1) {
        script += block.split("```").next().unwrap_or_default();
    }
    assert!(script.contains("docker push") && script.contains("longshore-driver-check"), "{script}");
    script
}

fn run(script: &str, folder: &Path) {
    // Sockets lie there too, so its path is short.
    let place = scratch::socket_directory();
    let engine = Engine::start();
    let (file, log) = (place.path().join("script"), place.path().join("log"));
    fs::write(&file, script).expect("the script");
    let output = File::create(&log).expect("a log");
    let mut command = Command::new("bash");
    command.args(["-eux".as_ref(), file.as_os_str()]).current_dir(folder).process_group(0);
    command.env("PATH", path()).env("TMPDIR", scratch_below(place.path()));
    command.env("DOCKER_HOST", engine.host()).env("DOCKER_BUILDKIT", "0");
    command.env("DOCKER_CONFIG", place.path().join("docker"));
    command.stdin(Stdio::null()).stdout(output.try_clone().expect("the log")).stderr(output);
    let mut shell = Shell(without_proxies(&mut command).spawn().expect("bash"));
    let begin = Instant::now();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let status = loop {
        if let Some(status) = shell.0.try_wait().expect("bash") {
            break status;
        }
        assert!(begin.elapsed() < PATIENCE, "it still runs after {PATIENCE:?}:\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}:\n{}", said());
}

fn scratch_below(place: &Path) -> std::path::PathBuf {
    let path = place.join("t");
    fs::create_dir(&path).expect("a directory");
    path
}

/// The binaries of this build first.
fn path() -> OsString {
    let before = std::env::var_os("PATH").unwrap_or_default();
    let all = [scratch::release_directory()].into_iter().chain(std::env::split_paths(&before));
    std::env::join_paths(all).expect("a PATH")
}
