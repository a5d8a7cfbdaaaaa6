//! `cargo xtask bench`: longshore, distribution and nginx, one after the other under the same loads with the same data
//! on the same file system, in rounds; medians and raw samples go to docs/performance.md. `--assert` fails where a
//! ratio that is promised is missed.

mod client;
mod document;
mod load;
mod pairs;
mod parts;
mod ratio;
mod report;
mod requests;
mod s3;
mod sample;
mod server;
mod swift;

use std::path::PathBuf;

use crate::console;
use crate::step::{cargo, root, succeed};
use crate::tools;
use load::{Data, Load};
use sample::{Sample, Samples};
use server::{Kind, Programs, Server};

/// The round that is not counted.
const WARM_UP: usize = 0;

struct Options {
    rounds: usize,
    megabytes: u64,
    only: Option<String>,
    assert: bool,
    /// Where stores are made: a disk, not a tmpfs.
    disk: PathBuf,
    tmpfs: PathBuf,
}

impl Options {
    fn parse(words: &[&str], rounds: usize) -> Result<Self, String> {
        let mut options = Self {
            rounds,
            megabytes: 1024,
            only: None,
            assert: false,
            disk: root().join("target/bench"),
            tmpfs: PathBuf::from("/dev/shm/longshore-bench"),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let number =
                |text: &str| text.parse::<u64>().map_err(|_| format!("{word} takes a number, not {text:?}"));
            match *word {
                "--assert" => options.assert = true,
                "--rounds" => options.rounds = usize::try_from(number(value()?)?).unwrap_or(1).max(1),
                "--size-mib" => options.megabytes = number(value()?)?.max(1),
                "--only" => options.only = Some((*value()?).to_owned()),
                "--disk" => options.disk = PathBuf::from(value()?),
                "--tmpfs" => options.tmpfs = PathBuf::from(value()?),
                other => {
                    return Err(format!(
                        "`cargo xtask bench` has no option {other}; it has --assert, --rounds N, --size-mib N, \
                         --only LOAD, --disk DIR and --tmpfs DIR"
                    ));
                }
            }
        }
        Ok(options)
    }

    fn loads(&self) -> Vec<Load> {
        let wanted = |load: &Load| self.only.as_ref().is_none_or(|only| load.name().contains(only.as_str()));
        Load::ALL.into_iter().filter(wanted).collect()
    }
}

/// Runs in an optimised build: in another the client would be slower than the servers, and every ratio near 1.
pub(crate) fn start(words: &[&str]) -> Result<(), String> {
    let (bench, options): (fn(&Options) -> _, _) = match words {
        ["s3", words @ ..] => (s3::bench, Options::parse(words, 5)?),
        ["swift", words @ ..] => (swift::bench, Options::parse(words, 5)?),
        words => (bench, Options::parse(words, 7)?),
    };
    if !cfg!(debug_assertions) {
        return bench(&options);
    }
    succeed(cargo(&["run", "--quiet", "--release", "--package", "xtask", "--", "bench"]).args(words))
}

fn bench(options: &Options) -> Result<(), String> {
    tools::provide_bench()?;
    succeed(&mut cargo(&["build", "--release"]))?;
    let programs = Programs::find()?;
    let loads = options.loads();
    if loads.is_empty() {
        let names: Vec<_> = Load::ALL.iter().map(|load| load.name()).collect();
        return Err(format!("--only fits no load; there are: {}", names.join(", ")));
    }
    console::heading("data");
    let data = Data::make(&options.disk, options.megabytes)?;
    let mut samples = Samples::default();
    for load in &loads {
        console::heading(load.name());
        for round in 0..=options.rounds {
            for kind in order(*load, round) {
                let sample = run(kind, *load, options, &programs, &data)
                    .map_err(|error| format!("{} of {}, round {round}: {error}", load.name(), kind.name()))?;
                if round == WARM_UP {
                    console::say(&format!("warm-up {:<13} {sample}", kind.name()));
                } else {
                    console::say(&format!("round {round} {:<13} {sample}", kind.name()));
                    samples.add(*load, kind, sample);
                }
            }
        }
    }
    drop(data);
    let checks = ratio::check(&samples);
    ratio::say(&checks);
    if options.only.is_none() {
        let text = report::text(&samples, &checks, options.rounds, options.megabytes);
        document::write(&document::with_sections_of(&text, &document::read()))?;
    }
    ratio::must_hold(&checks, options.assert)
}

/// Each goes first in every other round, so that what the one leaves behind burdens both alike.
fn order(load: Load, round: usize) -> Vec<Kind> {
    let mut kinds = load.kinds().to_vec();
    if round % 2 == 1 {
        kinds.reverse();
    }
    kinds
}

/// One measured load on a server that was just started on a store of its own.
fn run(
    kind: Kind,
    load: Load,
    options: &Options,
    programs: &Programs,
    data: &Data,
) -> Result<Sample, String> {
    let place = if load.on_tmpfs() { &options.tmpfs } else { &options.disk };
    let store = place.join(format!("{}-store", kind.name()));
    remove(&store)?;
    load.prepare(kind, programs, data, &store)?;
    load.touch_memory(data, &options.tmpfs)?;
    let server = Server::start(kind, programs, &store)?;
    let measured = load.run(&server, data);
    drop(server);
    remove(&store)?;
    measured
}

fn remove(directory: &std::path::Path) -> Result<(), String> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}
