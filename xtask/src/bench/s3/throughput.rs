//! One push and one pull through core and driver, beside what the AWS SDK alone reaches against the same server, in pairs
//! that run one after the other.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Bench;
use crate::bench::client::{self, REPOSITORY};
use crate::bench::load::{noise, touch_memory};
use crate::bench::ratio::{Bound, Check};
use crate::bench::sample::median;
use crate::bench::server::{Kind, REDIRECTED, Server};
use crate::bench::{WARM_UP, remove};
use crate::console;
use crate::s3_servers::versitygw::{BUCKET, Purpose, Versitygw};

pub(crate) const PART: &str = "throughput";
/// What the driver's largest parts have here, too.
const PART_MIB: u64 = 64;
/// So many parts the SDK sends at once; the best of these counts.
const AT_ONCE: [u32; 3] = [1, 2, 4];

/// One push and one pull.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) push: Duration,
    pub(crate) pull: Duration,
    /// A pull that the core redirects to the store. The SDK has but one way.
    pub(crate) redirected: Duration,
}

pub(crate) struct Samples {
    pub(crate) ours: Vec<Sample>,
    pub(crate) sdk: Vec<Sample>,
    /// Parts that the SDK sent at once.
    pub(crate) at_once: u32,
    /// The most that core and driver took together, in MiB.
    pub(crate) peak_mib: f64,
}

impl Samples {
    pub(crate) fn check(&self) -> Vec<Check> {
        let ratio = |of: fn(&Sample) -> Duration| {
            let pairs = self.ours.iter().zip(&self.sdk);
            median(pairs.map(|(ours, sdk)| of(sdk).as_secs_f64() / of(ours).as_secs_f64()).collect())
        };
        let least = Bound::AtLeast;
        let push = ratio(|sample| sample.push)
            .map(|seen| Check::new("push, ratio to the SDK alone", least(0.8), seen));
        let pull = ratio(|sample| sample.pull)
            .map(|seen| Check::new("pull, ratio to the SDK alone", least(0.8), seen));
        let redirected = ratio(|sample| sample.redirected)
            .map(|seen| Check::new("pull by a redirect, ratio to the SDK alone", least(0.8), seen));
        push.into_iter().chain(pull).chain(redirected).collect()
    }
}

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Samples, String> {
    console::heading(PART);
    let mut content = noise(usize::try_from(bench.options.megabytes << 20).unwrap_or(0), 5);
    let mut samples = Samples { ours: Vec::new(), sdk: Vec::new(), at_once: best(bench)?, peak_mib: 0.0 };
    for round in 0..=bench.options.rounds {
        content[0] = u8::try_from(round % 256).unwrap_or(0);
        let ours_first = round % 2 == 0;
        let early = if ours_first { None } else { Some(sdk_alone(bench, samples.at_once)?) };
        let (ours, peak_mib) = through_core_and_driver(bench, &content)?;
        let sdk = early.map_or_else(|| sdk_alone(bench, samples.at_once), Ok)?;
        console::say(&format!("round {round} longshore {ours:.2?}, the SDK alone {sdk:.2?}"));
        if round != WARM_UP {
            samples.ours.push(ours);
            samples.sdk.push(sdk);
            samples.peak_mib = samples.peak_mib.max(peak_mib);
        }
    }
    Ok(samples)
}

/// How many parts at once suit this machine and server.
fn best(bench: &Bench<'_>) -> Result<u32, String> {
    let mut best = (AT_ONCE[0], Duration::MAX);
    for at_once in AT_ONCE {
        let sample = sdk_alone(bench, at_once)?;
        console::say(&format!("the SDK alone, parts at once: {at_once}: {sample:.2?}"));
        if sample.push < best.1 {
            best = (at_once, sample.push);
        }
    }
    Ok(best.0)
}

fn through_core_and_driver(bench: &Bench<'_>, content: &[u8]) -> Result<(Sample, f64), String> {
    let digest = client::digest_of(content);
    with_store(bench, |store, directory| {
        let server = Server::start_over_s3(Kind::Longshore, &bench.programs, store, directory)?;
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

fn sdk_alone(bench: &Bench<'_>, at_once: u32) -> Result<Sample, String> {
    with_store(bench, |store, _| {
        let mut command = Command::new(&bench.sdk_alone);
        command.arg(&store.endpoint).arg(BUCKET).arg(bench.options.megabytes.to_string());
        command.arg(PART_MIB.to_string()).arg(at_once.to_string());
        store.let_in(&mut command);
        let output = command.stdin(Stdio::null()).output();
        let output =
            output.map_err(|error| format!("cannot start {}: {error}", bench.sdk_alone.display()))?;
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let seconds: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match seconds.as_slice() {
            [push, pull] if output.status.success() => {
                let [push, pull] = [push, pull].map(|seconds| Duration::from_secs_f64(*seconds));
                Ok(Sample { push, pull, redirected: pull })
            }
            _ => Err(format!("the SDK alone ended with {}: {said}{complained}", output.status)),
        }
    })
}

/// On a server that was just started and has nothing.
fn with_store<T>(
    bench: &Bench<'_>,
    work: impl FnOnce(&Versitygw, &Path) -> Result<T, String>,
) -> Result<T, String> {
    let directory = bench.options.disk.join("s3-throughput");
    remove(&directory)?;
    touch_memory(bench.options.megabytes << 20, &bench.options.tmpfs)?;
    let store = Versitygw::start(&directory, Purpose::Measure)?;
    let outcome = work(&store, &directory);
    drop(store);
    if outcome.is_err() {
        // The logs stay.
        let _no_objects = fs::remove_dir_all(directory.join("objects"));
        return outcome;
    }
    remove(&directory)?;
    outcome
}
