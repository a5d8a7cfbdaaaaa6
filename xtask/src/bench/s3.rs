//! `cargo xtask bench s3`: over versitygw, how many requests a push and a pull cost, and what throughput is left of what the
//! AWS SDK reaches alone. Both go into a section of docs/performance.md; `--assert` fails where a bound is missed.

mod report;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::document::{self, OVER_S3};
use super::pairs::{self, Pairs};
use super::ratio::{self, Check};
use super::requests::{self, Bounds, Costs};
use super::server::{Kind, Programs, Server};
use super::{Options, parts};
use crate::s3_servers::versitygw::{self, BUCKET, Versitygw};
use crate::step::{built, cargo, succeed};
use crate::{console, tools};

const DRIVER: &str = "longshore-driver-s3";
const SDK_ALONE: &str = "sdk_alone";
const SDK: &str = "the SDK alone";
/// What the driver's largest parts have here, too.
const PART_MIB: u64 = 64;
/// So many parts the SDK sends at once; the best of these counts.
const AT_ONCE: [u32; 3] = [1, 2, 4];
const BOUNDS: Bounds =
    Bounds { layer: 32.0, manifest: 14.0, get_by_tag: 2.0, get_layer: 2.0, copies: Some(0.0) };

struct Counts {
    ours: Costs,
    distribution: Costs,
}

struct Throughput {
    pairs: Pairs,
    /// Parts that the SDK sent at once.
    at_once: u32,
}

pub(crate) fn bench(options: &Options) -> Result<(), String> {
    let [requests, throughput] = parts::wanted(options)?;
    tools::provide_bench()?;
    versitygw::provide()?;
    let programs = Programs::find()?;
    succeed(&mut cargo(&["build", "--release"]))?;
    succeed(&mut cargo(&["build", "--release", "--package", DRIVER, "--example", SDK_ALONE]))?;
    let requests = if requests { Some(count(options, &programs)?) } else { None };
    let throughput = if throughput { Some(measure(options)?) } else { None };

    let mut checks: Vec<Check> = requests.iter().flat_map(|counts| counts.ours.check("", &BOUNDS)).collect();
    checks.extend(throughput.iter().flat_map(|throughput| throughput.pairs.check("", SDK)));
    ratio::say(&checks);
    if let (Some(requests), Some(throughput)) = (&requests, &throughput) {
        let section = report::section(requests, throughput, &checks, options);
        document::write(&document::with_section(&document::read(), OVER_S3, &section))?;
    }
    ratio::must_hold(&checks, options.assert)
}

fn count(options: &Options, programs: &Programs) -> Result<Counts, String> {
    console::heading(requests::PART);
    let distribution =
        |bucket: &Versitygw, directory: &Path| Server::distribution_over_s3(programs, bucket, directory);
    Ok(Counts {
        ours: requests::count(options, Kind::Longshore.name(), Server::longshore_over::<Versitygw>)?,
        distribution: requests::count(options, Kind::Distribution.name(), distribution)?,
    })
}

fn measure(options: &Options) -> Result<Throughput, String> {
    console::heading(pairs::PART);
    let at_once = best(options)?;
    Ok(Throughput { pairs: Pairs::measure(options, SDK, sdk_alone(options, at_once))?, at_once })
}

/// How many parts at once suit this machine and server.
fn best(options: &Options) -> Result<u32, String> {
    let mut best = (AT_ONCE[0], Duration::MAX);
    for at_once in AT_ONCE {
        let sample = pairs::by_itself(options, sdk_alone(options, at_once))?;
        console::say(&format!("{SDK}, parts at once: {at_once}: {sample:.2?}"));
        if sample.push < best.1 {
            best = (at_once, sample.push);
        }
    }
    Ok(best.0)
}

fn sdk_alone(options: &Options, at_once: u32) -> impl Fn(&Versitygw) -> Command {
    let size = options.megabytes.to_string();
    move |store| {
        let mut command = Command::new(built("examples").join(SDK_ALONE));
        command.args([&store.endpoint, BUCKET, &size, &PART_MIB.to_string(), &at_once.to_string()]);
        command
    }
}
