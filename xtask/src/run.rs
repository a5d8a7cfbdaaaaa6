//! `cargo xtask run`: builds the release binaries and serves a registry from them until Ctrl-C; with `--storage s3` or
//! `swift` over a server of its own.

mod store;

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console;
use crate::process::{Process, terminate};
use crate::step::{built, cargo, root, succeed};
use store::Store;

/// How often the store's server is looked at.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct Options {
    listen: String,
    data: PathBuf,
    storage: Storage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Filesystem,
    S3,
    Swift,
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
                "--storage" => {
                    options.storage = match *value()? {
                        "filesystem" => Storage::Filesystem,
                        "s3" => Storage::S3,
                        "swift" => Storage::Swift,
                        other => return Err(format!("--storage is filesystem, s3 or swift, not {other}")),
                    }
                }
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

pub(crate) fn run(options: &Options) -> Result<(), String> {
    succeed(&mut cargo(&["build", "--release"]))?;
    // Before a child is there, so that a Ctrl-C at any moment stops all.
    let signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let store = Store::start(options.storage, &options.data)?;
    let core = start_core(options, store.as_ref())?;
    forward(signals, core.id());
    serve(core, store)
}

/// Until the core ends. It is stopped when the store's server ends; the other way about the server is stopped as it is
/// dropped.
fn serve(mut core: Process, store: Option<Store>) -> Result<(), String> {
    let (id, log) = (core.id(), core.take_log());
    let end = store.as_ref().map_or("", Store::end);
    let (core_ended, store_ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let status = thread::scope(|scope| {
        if let Some(mut store) = store {
            let (core_ended, store_ended) = (&core_ended, &store_ended);
            scope.spawn(move || {
                while !core_ended.load(Ordering::Acquire) {
                    if store.has_ended() && !store_ended.swap(true, Ordering::AcqRel) {
                        terminate(id);
                    }
                    thread::sleep(LOOK);
                }
            });
        }
        let shown = log.map_or(Ok(()), show_log);
        let status = shown.and_then(|()| core.wait());
        core_ended.store(true, Ordering::Release);
        status
    })?;
    if store_ended.load(Ordering::Acquire) {
        return Err(end.into());
    }
    if status.success() { Ok(()) } else { Err(format!("longshore ended with {status}")) }
}

/// In a process group of its own: a Ctrl-C in the terminal then reaches it once, through `forward`.
fn start_core(options: &Options, store: Option<&Store>) -> Result<Process, String> {
    let mut command = Command::new(built("longshore"));
    command.args(["serve", "--listen", &options.listen]);
    match store {
        None => drop(command.arg("--data").arg(&options.data)),
        Some(store) => store.be_store_of(&mut command),
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    Process::start("longshore", &mut command)
}

/// Hands every Ctrl-C on as a request to stop; the core stops its driver in turn.
fn forward(mut signals: Signals, core: u32) {
    thread::spawn(move || {
        for _signal in &mut signals {
            terminate(core);
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
