//! The program: arguments, progress, report, exit status.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use longshore_driver_check::bed::Target;
use longshore_driver_check::check::Check;
use longshore_driver_check::hooks::Hooks;
use longshore_driver_check::runner::{self, Finished, Run};
use longshore_driver_check::scaffold::{self, Language};
use longshore_driver_check::verdict::Failure;
use longshore_driver_check::{checks, figures, junit, report};
use longshore_driver_sdk::endpoint::{Endpoint, TrustedPeer};

/// The driver can't be reached, or the command line makes no sense.
const UNUSABLE: u8 = 2;

/// Proves a Longshore storage driver against the contract, clause by clause.
///
/// Exit status: 0 if no check failed, 1 if one did or what was made can't be cleared away, 2 if the driver could not be
/// checked.
#[derive(Debug, Parser)]
#[command(name = "longshore-driver-check", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    check: CheckArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a new driver that compiles and passes: the example of that language, under a name of its own.
    Scaffold {
        #[arg(long, value_enum)]
        language: Language,
        /// The SDK's folder, for a driver in Rust; without, its repository is named.
        #[arg(long, value_name = "DIR")]
        sdk_path: Option<PathBuf>,
        /// Where; its last part becomes the driver's name. It must not exist, or be empty.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// Where the driver listens: unix:///path/to/driver.sock or tcp://127.0.0.1:PORT.
    #[arg(long, required_unless_present = "list")]
    endpoint: Option<Endpoint>,
    /// A second instance of the driver on the same store.
    #[arg(long, value_name = "ENDPOINT")]
    second: Option<Endpoint>,
    /// Programs that kill, start and stop the driver: `kill`, `start`, `terminate`, `backend-stop`, `backend-start`.
    #[arg(long, value_name = "DIR")]
    hooks: Option<PathBuf>,
    /// Only the checks with this in their name; with `*` or `?`, those whose whole name fits; `=NAME` is one of them.
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Write the outcome as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Trust a driver that runs as this user.
    #[arg(long, value_name = "UID")]
    trust_uid: Option<u32>,
    /// Measure nothing at the end.
    #[arg(long)]
    no_figures: bool,
    /// Show the checks with their clauses, and end.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Scaffold { language, sdk_path, directory }) => {
            scaffold::write(language, &directory, sdk_path.as_deref()).map(|next| {
                say(&next);
                true
            })
        }
        None => check(&arguments.check),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "longshore-driver-check: {why}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn say(line: &str) {
    // Nobody who reads is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn check(arguments: &CheckArguments) -> Result<bool, String> {
    let chosen = runner::select(&checks::all(), arguments.only.as_deref())?;
    let Some(endpoint) = arguments.endpoint.clone().filter(|_| !arguments.list) else {
        for check in &chosen {
            say(&format!("{:<56} {}", check.name, check.clauses.join(" ")));
        }
        say(&format!("{} checks", chosen.len()));
        return Ok(true);
    };
    let hooks = arguments.hooks.as_deref().map(|directory| Hooks::new(directory, &endpoint)).transpose()?;
    let trusted = TrustedPeer { uid: arguments.trust_uid };
    let target = Target { endpoint, second: arguments.second.clone(), trusted, hooks };
    let again = command_line(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(run(target, &chosen, arguments, &again))
}

async fn run(
    target: Target,
    chosen: &[Check],
    arguments: &CheckArguments,
    again: &str,
) -> Result<bool, String> {
    let began = Instant::now();
    let run = Run::begin(target).await.map_err(|failure| in_a_line(&failure))?;
    let greeting = run.greeting();
    let driver = format!("{} {}", greeting.driver_name, greeting.driver_version);
    let applicable = run.applicable(chosen).len();
    say(&format!("{driver} at {}: {applicable} checks", run.endpoint()));
    if let Err(failure) = run.leftovers() {
        say(&format!("what earlier runs left can't be cleared away: {}", in_a_line(failure)));
    }
    let progress = progress(applicable);
    let finished = run
        .run(chosen, |done| {
            progress.suspend(|| say(&report::line(done, again)));
            progress.set_message(done.check.name);
            progress.inc(1);
        })
        .await;
    progress.finish_and_clear();
    let took = began.elapsed();
    if !arguments.no_figures {
        tell_figures(&run).await;
    }
    let cleaned = run.end().await;
    say(&report::summary(&finished, took));
    if let Some(path) = &arguments.junit {
        write_junit(path, &junit::document(&finished, &driver, took)?)?;
    }
    if let Err(failure) = &cleaned {
        say(&format!("what the checks made can't be cleared away: {}", in_a_line(failure)));
    }
    Ok(all_well(&finished) && cleaned.is_ok())
}

fn all_well(finished: &[Finished]) -> bool {
    report::Tally::of(finished).failed == 0
}

async fn tell_figures(run: &Run) {
    match figures::measure(run).await {
        Ok(lines) => lines.iter().for_each(|line| say(line)),
        Err(failure) => say(&format!("no figures: {}", in_a_line(&failure))),
    }
}

fn in_a_line(failure: &Failure) -> String {
    format!("{}: wanted {}, got {}", failure.sent, failure.wanted, failure.got)
}

fn write_junit(path: &Path, document: &str) -> Result<(), String> {
    std::fs::write(path, document).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// On a terminal, a bar; elsewhere the lines are enough.
fn progress(checks: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(checks as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// What was typed, but for `--only`, `--junit` and `--list`.
fn command_line(arguments: &CheckArguments) -> String {
    let mut line = "longshore-driver-check".to_owned();
    let mut add = |option: &str, value: Option<String>| {
        if let Some(value) = value {
            line = format!("{line} {option} {value}");
        }
    };
    add("--endpoint", arguments.endpoint.as_ref().map(Endpoint::to_string));
    add("--second", arguments.second.as_ref().map(Endpoint::to_string));
    add("--hooks", arguments.hooks.as_ref().map(|path| path.display().to_string()));
    add("--trust-uid", arguments.trust_uid.map(|uid| uid.to_string()));
    line
}
