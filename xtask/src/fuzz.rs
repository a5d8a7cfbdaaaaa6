//! `cargo xtask fuzz`: each target of fuzz/ for some minutes, from its seeds and from what earlier runs found. Builds
//! cargo-fuzz where it is missing. A crash ends it, and leaves its input below fuzz/artifacts.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::console;
use crate::step::{command_line, root, succeed};

/// libFuzzer's instrumentation is no part of a stable compiler.
const TOOLCHAIN: &str = "nightly";
const CARGO_FUZZ: &str = "0.13.2";
/// So much is shown of what a target said before it failed.
const LAST_LINES: usize = 60;

/// What the command line asks for.
struct Options {
    seconds: u64,
    target: Option<String>,
}

/// One target's figures.
#[derive(Debug, Default)]
struct Figures {
    runs: u64,
    accepted: u64,
    coverage: u64,
}

/// Fuzzes the targets that were asked for, one after the other.
pub(crate) fn start(words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    let targets = targets()?;
    let chosen: Vec<&String> =
        targets.iter().filter(|target| options.target.as_ref().is_none_or(|only| only == *target)).collect();
    if chosen.is_empty() {
        return Err(format!("there is no such target; there are {}", targets.join(", ")));
    }
    provide()?;
    for target in &chosen {
        succeed(cargo_fuzz("build").arg(target))?;
    }
    let mut table = format!("{:<16} {:>12} {:>12} {:>8}", "target", "runs", "accepted", "cov");
    for target in chosen {
        console::heading(target);
        let figures = fuzz(target, options.seconds)?;
        let Figures { runs, accepted, coverage } = figures;
        table += &format!("\n{target:<16} {runs:>12} {accepted:>12} {coverage:>8}");
        if accepted == 0 {
            return Err(format!(
                "{target}: not one input of {runs} was accepted, so nothing was tried behind the door"
            ));
        }
    }
    console::say(&format!("\n{table}"));
    Ok(())
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { seconds: 600, target: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--seconds" => {
                    let seconds =
                        words.next().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
                    options.seconds = seconds.ok_or("--seconds needs a number above 0")?;
                }
                target if !target.starts_with('-') && options.target.is_none() => {
                    options.target = Some(target.to_owned());
                }
                other => {
                    return Err(format!(
                        "`cargo xtask fuzz` does not take {other}; it has --seconds and one target"
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// The names of the files.
fn targets() -> Result<Vec<String>, String> {
    let directory = root().join("fuzz/fuzz_targets");
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", directory.display());
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}

fn provide() -> Result<(), String> {
    let installed = Command::new("cargo").args(["fuzz", "--version"]).output();
    if installed.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let mut install = Command::new("cargo");
    install.args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]);
    console::say(&command_line(&install));
    succeed(&mut install)
}

/// `cargo fuzz` of the nightly compiler, at the root of the repository.
fn cargo_fuzz(command: &str) -> Command {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", TOOLCHAIN, "cargo", "fuzz", command]).current_dir(root()).stdin(Stdio::null());
    // Set by the cargo that runs this: they would send the build into its compiler and its target directory.
    cargo.env_remove("CARGO").env_remove("RUSTC").env_remove("CARGO_TARGET_DIR");
    cargo
}

fn fuzz(target: &str, seconds: u64) -> Result<Figures, String> {
    let corpus = root().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(|error| format!("cannot make {}: {error}", corpus.display()))?;
    let mut command = cargo_fuzz("run");
    // New inputs go into the first directory; the second is only read.
    command.arg(target).arg(corpus).arg(seeds(target)?).arg("--");
    command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1").arg("-timeout=20");
    watch(&mut command).map_err(|error| format!("{target}: {error}"))
}

fn seeds(target: &str) -> Result<PathBuf, String> {
    let seeds = root().join("fuzz/seeds").join(target);
    if seeds.is_dir() {
        Ok(seeds)
    } else {
        Err(format!("{} is missing: each target has seeds", seeds.display()))
    }
}

/// Runs a target to its end, and reads its figures from what it says.
fn watch(command: &mut Command) -> Result<Figures, String> {
    let line = command_line(command);
    let started = command.stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| format!("cannot start `{line}`: {error}"))?;
    let mut figures = Figures::default();
    let mut last = VecDeque::new();
    if let Some(output) = child.stderr.take() {
        // What a target quotes need be no text.
        for said in BufReader::new(output).split(b'\n') {
            let said = said.map_err(|error| format!("cannot read from `{line}`: {error}"))?;
            let said = String::from_utf8_lossy(&said).into_owned();
            figures.add(&said);
            last.push_back(said);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for `{line}`: {error}"))?;
    if status.success() {
        console::say(&format!("{figures:?}"));
        return Ok(figures);
    }
    last.iter().for_each(|line| console::complain(line));
    Err(format!("`{line}` ended with {status}; the input is below fuzz/artifacts"))
}

impl Figures {
    /// `#4096 NEW cov: 812 ft: ...`, `stat::number_of_executed_units: 4096` and the targets' own `accepted 7 of 4096`.
    fn add(&mut self, line: &str) {
        let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok());
        let coverage = line.split_once(" cov: ").and_then(|(_, rest)| number(rest));
        self.coverage = coverage.unwrap_or(self.coverage);
        let runs = line.strip_prefix("stat::number_of_executed_units:").and_then(number);
        self.runs = runs.unwrap_or(self.runs);
        let accepted = line.strip_prefix("accepted ").and_then(number);
        self.accepted = accepted.unwrap_or(self.accepted);
    }
}
