//! One step of a chore: a command with a heading, its time, and an error that names the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::console;

/// The times of the steps that have run, for the summary.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs `work` under a heading and keeps its time.
    pub(crate) fn run<T>(
        &mut self,
        title: &str,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        console::heading(title);
        let started = Instant::now();
        let value = work().map_err(|reason| format!("\n{title}: FAILED: {reason}"))?;
        let took = started.elapsed();
        console::say(&format!("--- {title}: {:.1} s", took.as_secs_f64()));
        self.finished.push((title.to_owned(), took));
        Ok(value)
    }

    pub(crate) fn summary(&self, result: &str) {
        console::heading("summary");
        let mut total = Duration::ZERO;
        for (title, took) in &self.finished {
            console::say(&format!("{:>8.1} s  {title}", took.as_secs_f64()));
            total += *took;
        }
        console::say(&format!("{:>8.1} s  in all", total.as_secs_f64()));
        console::say(result);
    }
}

/// The root of the repository: the parent of this package.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// A release binary of the workspace.
pub(crate) fn built(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release").join(name)
}

/// `cargo` with these arguments, at the root of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command to its end; anything but success is an error.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let line = command_line(command);
    let status = command.status().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

pub(crate) fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
