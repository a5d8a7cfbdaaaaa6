//! `cargo xtask test`: tools, formatting, proto, lints, build, tests, in that order; the first failure ends it.

mod tally;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::step::{Steps, cargo, command_line, succeed};
use crate::{console, proto, s3_servers, tools};
use tally::{NotRun, Tally};

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// What every change has to pass.
    Ordinary,
    /// That, and what takes longer: more servers, longer loads.
    Full,
}

/// The packages that have tests for the full tier alone, behind this feature of theirs.
const FULL: &str = "longshore-end-to-end/full,longshore-driver-check/full";

/// Tests that wait for servers, deadlines and processes leave the processors free for others.
const THREADS_PER_PROCESSOR: usize = 2;

/// Every check of a tier.
pub(crate) fn everything(tier: Tier) -> Result<(), String> {
    let mut steps = Steps::default();
    provide(&mut steps, tier)?;
    steps.run("formatting", || succeed(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("proto", proto::check)?;
    steps.run("lints", || {
        // What is not run here is linted all the same, so that it does not rot.
        let lint = ["clippy", "--release", "--workspace", "--all-targets", "--features", FULL];
        succeed(cargo(&lint).args(["--", "-D", "warnings"]))
    })?;
    build(&mut steps, tier)?;
    let tally = steps.run("tests", || run_tests(tier, None))?;
    steps.summary(&tally.verdict(", none ignored"));
    Ok(())
}

/// The tests whose name contains `filter`, and what they need.
pub(crate) fn filtered(tier: Tier, filter: &str) -> Result<(), String> {
    let mut steps = Steps::default();
    provide(&mut steps, tier)?;
    build(&mut steps, tier)?;
    let tally = steps.run("tests", || run_tests(tier, Some(filter)))?;
    if tally.passed == 0 {
        return Err(format!("no test has `{filter}` in its name"));
    }
    steps.summary(&tally.verdict(""));
    Ok(())
}

fn provide(steps: &mut Steps, tier: Tier) -> Result<(), String> {
    steps.run("tools", tools::provide)?;
    steps.run("distribution", crate::distribution::provide)?;
    steps.run("docker-registry", crate::docker_registry::provide)?;
    steps.run("old drivers", crate::old_drivers::provide)?;
    steps.run("grpcurl", proto::provide_grpcurl)?;
    steps.run("S3 and Swift servers", || s3_servers::provide(tier))
}

/// Binaries and tests in one go and one profile, so that the end-to-end tests find what the tests were
/// built with and nothing is compiled twice.
fn build(steps: &mut Steps, tier: Tier) -> Result<(), String> {
    steps.run("build", || {
        let targets = ["build", "--release", "--workspace", "--lib", "--bins", "--examples", "--tests"];
        succeed(cargo(&targets).args(tier.features()))
    })
}

impl Tier {
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Ordinary => &[],
            Self::Full => &["--features", FULL],
        }
    }
}

fn run_tests(tier: Tier, filter: Option<&str>) -> Result<Tally, String> {
    let mut command = cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    command.args(tier.features()).args(filter);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        command.env("RUST_TEST_THREADS", (processors * THREADS_PER_PROCESSOR).to_string());
    }
    let not_run = NotRun::new()?;
    let mut tally = watch(command.env(NotRun::VARIABLE, not_run.file()))?;
    tally.not_run = not_run.tests()?;
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
