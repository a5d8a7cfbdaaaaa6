//! One push and one pull through core and driver, beside what a plain client of the server's reaches alone, in pairs that
//! run one after the other.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{self, REPOSITORY};
use super::load::{noise, touch_memory};
use super::ratio::{Bound, Check};
use super::sample::median;
use super::server::{REDIRECTED, Server};
use super::{Options, WARM_UP, remove};
use crate::console;
use crate::s3_servers::Backend;

pub(crate) const PART: &str = "throughput";
/// Of what the client reaches alone.
const SHARE: f64 = 0.8;

/// One push and one pull.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) push: Duration,
    pub(crate) pull: Duration,
    /// A pull that the core redirects to the store. The client alone has but one way.
    pub(crate) redirected: Duration,
}

#[derive(Default)]
pub(crate) struct Pairs {
    ours: Vec<Sample>,
    alone: Vec<Sample>,
    /// The most that core and driver took together, in MiB.
    pub(crate) peak_mib: f64,
}

/// With its name.
type Way = (&'static str, fn(&Sample) -> f64);

const WAYS: [Way; 3] = [
    ("push", |sample| sample.push.as_secs_f64()),
    ("pull", |sample| sample.pull.as_secs_f64()),
    ("pull by a redirect", |sample| sample.redirected.as_secs_f64()),
];

impl Pairs {
    /// `ours` first and `alone` first, by turns; the first pair is not counted. `name` is that of the client alone.
    pub(crate) fn measure<B: Backend>(
        options: &Options,
        name: &str,
        alone: impl Fn(&B) -> Command,
    ) -> Result<Self, String> {
        let mut content = noise(usize::try_from(options.megabytes << 20).unwrap_or(0), 5);
        let mut pairs = Self::default();
        let alone = || by_itself(options, &alone);
        for round in 0..=options.rounds {
            content[0] = u8::try_from(round % 256).unwrap_or(0);
            let ours_first = round % 2 == 0;
            let early = if ours_first { None } else { Some(alone()?) };
            let (ours, peak_mib) = through_core_and_driver::<B>(options, &content)?;
            let alone = early.map_or_else(alone, Ok)?;
            console::say(&format!("round {round} longshore {ours:.2?}, {name} {alone:.2?}"));
            if round != WARM_UP {
                pairs.ours.push(ours);
                pairs.alone.push(alone);
                pairs.peak_mib = pairs.peak_mib.max(peak_mib);
            }
        }
        Ok(pairs)
    }

    /// `over` begins each line where there are several servers.
    pub(crate) fn check(&self, over: &str, name: &str) -> Vec<Check> {
        let ratio = |of: fn(&Sample) -> f64| {
            let pairs = self.ours.iter().zip(&self.alone);
            median(pairs.map(|(ours, alone)| of(alone) / of(ours)).collect())
        };
        let check = |(way, of): Way| {
            let what = format!("{over}{way}, ratio to {name}");
            ratio(of).map(|seen| Check::new(what, Bound::AtLeast(SHARE), seen))
        };
        WAYS.into_iter().filter_map(check).collect()
    }

    /// Rows of a table: what, ours, the client alone.
    pub(crate) fn rows(&self, over: &str, megabytes: u64) -> String {
        let row = |(way, of): Way| {
            let [ours, alone] = [&self.ours, &self.alone].map(|samples| spread(samples, of, megabytes));
            format!("| {over}{way} | {ours} | {alone} |\n")
        };
        WAYS.map(row).concat()
    }
}

fn through_core_and_driver<B: Backend>(options: &Options, content: &[u8]) -> Result<(Sample, f64), String> {
    let digest = client::digest_of(content);
    with_store(options, |store: &B, directory| {
        let server = Server::longshore_over(store, directory)?;
        let began = Instant::now();
        client::push(&client::agent(), &server.url, REPOSITORY, &digest, content)?;
        let push = began.elapsed();
        let began = Instant::now();
        client::pull(&server.url, &digest, content.len() as u64)?;
        let pull = began.elapsed();
        let began = Instant::now();
        client::pull_from(&server.url, &digest, content.len() as u64, Some(REDIRECTED))?;
        Ok((Sample { push, pull, redirected: began.elapsed() }, server.peak_mib()))
    })
}

/// A program that does nothing else, and prints the seconds of its push and those of its pull.
pub(crate) fn by_itself<B: Backend>(
    options: &Options,
    program: impl Fn(&B) -> Command,
) -> Result<Sample, String> {
    with_store(options, |store, _| {
        let mut command = program(store);
        store.let_in(&mut command);
        let name = command.get_program().to_string_lossy().into_owned();
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot start {name}: {error}"))?;
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let seconds: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match seconds.as_slice() {
            [push, pull] if output.status.success() => {
                let [push, pull] = [push, pull].map(|seconds| Duration::from_secs_f64(*seconds));
                Ok(Sample { push, pull, redirected: pull })
            }
            _ => Err(format!("{name} ended with {}: {said}{complained}", output.status)),
        }
    })
}

/// On a server that was just started and has nothing.
fn with_store<B: Backend, T>(
    options: &Options,
    work: impl FnOnce(&B, &Path) -> Result<T, String>,
) -> Result<T, String> {
    let directory = options.disk.join("throughput");
    remove(&directory)?;
    touch_memory(options.megabytes << 20, &options.tmpfs)?;
    let store = B::start_to_measure(&directory)?;
    let outcome = work(&store, &directory);
    drop(store);
    if outcome.is_err() {
        // The logs stay.
        for data in B::DATA {
            let _no_data = fs::remove_dir_all(directory.join(data));
        }
        return outcome;
    }
    remove(&directory)?;
    outcome
}

/// MiB in a second: the median, and the least and the most seen.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn spread(samples: &[Sample], seconds: fn(&Sample) -> f64, megabytes: u64) -> String {
    let mut rates: Vec<f64> = samples.iter().map(|sample| megabytes as f64 / seconds(sample)).collect();
    rates.sort_by(f64::total_cmp);
    match (median(rates.clone()), rates.first(), rates.last()) {
        (Some(median), Some(least), Some(most)) => format!("{median:.0} ({least:.0} to {most:.0})"),
        _ => String::new(),
    }
}
