//! `cargo xtask test`: tools, formatting, proto, lints, build, tests, in that order; the first failure ends it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::step::{Steps, cargo, command_line, succeed};
use crate::{console, proto, s3_servers, tools};

/// Every check there is.
pub(crate) fn everything() -> Result<(), String> {
    let mut steps = Steps::default();
    steps.run("tools", tools::provide)?;
    steps.run("distribution", crate::distribution::provide)?;
    steps.run("grpcurl", proto::provide_grpcurl)?;
    steps.run("S3 servers", s3_servers::provide)?;
    steps.run("formatting", || succeed(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("proto", proto::check)?;
    steps.run("lints", || {
        let lint = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
        succeed(&mut cargo(&lint))
    })?;
    build(&mut steps)?;
    let tally = steps.run("tests", || run_tests(None))?;
    steps.summary(&format!("green: {} tests passed, none ignored", tally.passed));
    Ok(())
}

/// The tests whose name contains `filter`, and what they need.
pub(crate) fn filtered(filter: &str) -> Result<(), String> {
    let mut steps = Steps::default();
    steps.run("tools", tools::provide)?;
    steps.run("distribution", crate::distribution::provide)?;
    steps.run("grpcurl", proto::provide_grpcurl)?;
    steps.run("S3 servers", s3_servers::provide)?;
    build(&mut steps)?;
    let tally = steps.run("tests", || run_tests(Some(filter)))?;
    if tally.passed == 0 {
        return Err(format!("no test has `{filter}` in its name"));
    }
    steps.summary(&format!("green: {} tests passed", tally.passed));
    Ok(())
}

/// Binaries and tests in one go and one profile, so that the end-to-end tests find what the tests were
/// built with and nothing is compiled twice.
fn build(steps: &mut Steps) -> Result<(), String> {
    steps.run("build", || {
        let targets = ["build", "--release", "--workspace", "--lib", "--bins", "--examples", "--tests"];
        succeed(&mut cargo(&targets))
    })
}

#[derive(Default)]
struct Tally {
    passed: u64,
    ignored: u64,
}

fn run_tests(filter: Option<&str>) -> Result<Tally, String> {
    let mut command = cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    command.args(filter);
    let tally = watch(&mut command)?;
    if tally.ignored > 0 {
        return Err(format!("{} tests are ignored; a test that does not run proves nothing", tally.ignored));
    }
    Ok(tally)
}

/// Runs the tests, shows what they say, and adds up their result lines.
fn watch(command: &mut Command) -> Result<Tally, String> {
    let line = command_line(command);
    let started = command.stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| format!("cannot start `{line}`: {error}"))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for said in BufReader::new(output).lines() {
            let said = said.map_err(|error| format!("cannot read from `{line}`: {error}"))?;
            console::say(&said);
            tally.add(&said);
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for `{line}`: {error}"))?;
    if status.success() { Ok(tally) } else { Err(format!("`{line}` ended with {status}")) }
}

impl Tally {
    /// "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s"
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result:").and_then(|(_, rest)| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').and_then(|(number, word)| Some((number.parse::<u64>().ok()?, word))) {
                Some((number, "passed")) => self.passed += number,
                Some((number, "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}
