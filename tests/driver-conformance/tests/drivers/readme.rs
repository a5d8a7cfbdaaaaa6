//! The README of an example or of a scaffold: five steps, whose `sh` blocks run as they stand, one after the other, in one
//! shell.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_end_to_end::docker_engine::{Engine, without_proxies};
use longshore_end_to_end::{scratch, shell};

pub(crate) struct Readme {
    folder: PathBuf,
    text: String,
}

impl Readme {
    pub(crate) fn of(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("README.md")).expect("the README");
        for step in 1..=5 {
            assert!(text.contains(&heading(step)), "step {step} of five");
        }
        Self { folder: folder.to_owned(), text }
    }

    /// All of it; gives what was said.
    pub(crate) fn run(&self) -> String {
        let script = blocks(&self.text);
        assert!(script.contains("docker push") && script.contains("longshore-driver-check"), "{script}");
        let engine = Engine::start();
        self.bash(&script, |command, place| {
            command.env("DOCKER_HOST", engine.host()).env("DOCKER_BUILDKIT", "0");
            command.env("DOCKER_CONFIG", place.join("docker"));
            without_proxies(command);
        })
    }

    /// What comes before a step, and then the end of the driver.
    pub(crate) fn run_until(&self, step: usize) -> String {
        let before = self.text.split(&heading(step)).next().unwrap_or_default();
        self.bash(&format!("{}hooks/terminate\nrm -r \"$dir\"\n", blocks(before)), |_, _| {})
    }

    fn bash(&self, script: &str, equip: impl FnOnce(&mut Command, &Path)) -> String {
        // Sockets lie there too, so its path is short.
        let place = scratch::socket_directory();
        let (file, log) = (place.path().join("script"), place.path().join("log"));
        fs::write(&file, script).expect("the script");
        let mut command = Command::new("bash");
        command.args(["-eux".as_ref(), file.as_os_str()]).current_dir(&self.folder);
        command.env("PATH", path()).env("TMPDIR", scratch_below(place.path()));
        equip(&mut command, place.path());
        let status = shell::run(&mut command, &log);
        let said = fs::read(&log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default();
        assert!(status.success(), "{status}:\n{said}");
        said
    }
}

fn heading(step: usize) -> String {
    format!("\n## {step}. ")
}

fn blocks(text: &str) -> String {
    text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

fn scratch_below(place: &Path) -> PathBuf {
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

/// Debian has what makes a virtual environment in a package of its own.
pub(crate) fn require_python() {
    let look = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))";
    let found = Command::new("python3").args(["-c", look]).output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "Python 3.11 or later with venv is missing; install it with `apt-get install -y python3-venv`"
    );
}
