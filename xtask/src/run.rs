//! `cargo xtask run`: builds the release binaries and serves a registry from them until Ctrl-C.

mod s3;

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console;
use crate::step::{cargo, root, succeed};
use s3::S3;

pub(crate) struct Options {
    listen: String,
    data: PathBuf,
    storage: Storage,
}

/// Which driver the core has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storage {
    Filesystem,
    S3,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            listen: "127.0.0.1:5000".to_owned(),
            data: root().join("data"),
            storage: Storage::Filesystem,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words.next().ok_or_else(|| format!("{word} needs a value, as in `cargo xtask run {word} X`"))
            };
            match *word {
                "--listen" => options.listen = (*value()?).to_owned(),
                "--data" => options.data = PathBuf::from(value()?),
                "--storage" => options.storage = Storage::parse(value()?)?,
                other => {
                    return Err(format!(
                        "`cargo xtask run` has no option {other}; it has --listen, --data and --storage"
                    ));
                }
            }
        }
        Ok(options)
    }
}

impl Storage {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "filesystem" => Ok(Self::Filesystem),
            "s3" => Ok(Self::S3),
            other => Err(format!("--storage {other}: there are filesystem and s3")),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    succeed(&mut cargo(&["build", "--release"]))?;
    // Before the child is there, so that a Ctrl-C at any moment stops both.
    let signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let programs = target.join("release");
    // Dropped behind the core, and so ended after it.
    let s3 = match options.storage {
        Storage::Filesystem => None,
        Storage::S3 => Some(S3::start(&options.data, &programs)?),
    };
    let command = match &s3 {
        None => on_files(options, &programs),
        Some(s3) => s3.core(&programs, &options.listen)?,
    };
    let mut core = start_core(command)?;
    forward(signals, &core);
    if let Some(log) = core.stderr.take() {
        show_log(log)?;
    }
    let status = core.wait().map_err(|error| format!("cannot wait for longshore: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("longshore ended with {status}")) }
}

/// The core that starts and minds the filesystem driver.
fn on_files(options: &Options, programs: &Path) -> Command {
    let mut command = Command::new(programs.join("longshore"));
    command.args(["serve", "--listen", &options.listen, "--data"]).arg(&options.data);
    command
}

/// In a process group of its own: a Ctrl-C in the terminal then reaches it once, through `forward`.
fn start_core(mut command: Command) -> Result<Child, String> {
    command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let program = command.get_program().to_owned();
    command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))
}

/// Hands every Ctrl-C on as a request to stop; the core stops its driver in turn.
fn forward(mut signals: Signals, core: &Child) {
    let Ok(id) = i32::try_from(core.id()) else { return };
    let Some(core) = Pid::from_raw(id) else { return };
    thread::spawn(move || {
        for _signal in &mut signals {
            let _already_gone = kill_process(core, Signal::TERM);
        }
    });
}

/// Passes the log on until the core closes it, and says what to type once it listens.
fn show_log(log: impl Read) -> Result<(), String> {
    for line in BufReader::new(log).lines() {
        let line = line.map_err(|error| format!("cannot read the log of longshore: {error}"))?;
        console::complain(&line);
        if let Some(address) = listening_address(&line) {
            console::say(&what_next(address));
        }
    }
    Ok(())
}

fn listening_address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("listening on http://")?;
    rest.split(|c: char| c.is_whitespace() || c == '"').next()
}

/// docker trusts `localhost` and 127.0.0.0/8 without TLS.
fn what_next(address: &str) -> String {
    let host = address.replace("127.0.0.1:", "localhost:");
    format!(
        "\nLongshore is ready; Ctrl-C stops it. In another terminal, with an image of yours:\n\n    \
         docker tag IMAGE {host}/team/app:1\n    \
         docker push {host}/team/app:1\n    \
         docker pull {host}/team/app:1\n"
    )
}
