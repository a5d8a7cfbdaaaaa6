//! `cargo xtask bench swift`: over OpenStack Swift and over Ceph's RGW, how many requests a push and a pull cost, and what
//! throughput is left of what plain HTTP requests reach alone. Both go into a section of docs/performance.md; `--assert` fails
//! where a bound is missed.

mod report;

use std::process::Command;

use super::document::{self, OVER_SWIFT};
use super::pairs::{self, Pairs};
use super::ratio::{self, Check};
use super::requests::{self, Bounds, Costs};
use super::server::Server;
use super::{Options, parts};
use crate::s3_servers::rgw::server::Rgw;
use crate::s3_servers::swift::account::CONTAINER;
use crate::s3_servers::swift::server::Swift;
use crate::s3_servers::versitygw::Versitygw;
use crate::s3_servers::{Backend, rgw, swift, versitygw};
use crate::step::{built, cargo, succeed};
use crate::{console, tools};

const DRIVER: &str = "longshore-driver-swift";
const HTTP_ALONE: &str = "http_alone";
const HTTP: &str = "plain HTTP";
/// As the driver does it.
const AT_ONCE: &str = "2";

/// A server that speaks Swift.
struct Flavour {
    /// In front of each line about it.
    over: &'static str,
    /// After so many segments the driver makes them twice as large: by what the server says of its manifests.
    doubled_after: u32,
    bounds: Bounds,
}

const SWIFT: Flavour = Flavour {
    over: "Swift: ",
    doubled_after: 1250,
    bounds: Bounds { layer: 32.0, manifest: 32.0, get_by_tag: 3.0, get_layer: 4.0, copies: Some(0.0) },
};

/// It says of an object without its first segment that there is none, so that each absence is looked at again.
const RGW: Flavour = Flavour {
    over: "RGW: ",
    doubled_after: 15,
    bounds: Bounds { layer: 36.0, manifest: 38.0, get_by_tag: 3.0, get_layer: 4.0, copies: None },
};

struct Counts {
    swift: Costs,
    rgw: Costs,
    /// The S3 driver's, over versitygw.
    s3: Costs,
}

struct Throughput {
    swift: Pairs,
    rgw: Pairs,
}

pub(crate) fn bench(options: &Options) -> Result<(), String> {
    let [requests, throughput] = parts::wanted(options)?;
    tools::provide_bench()?;
    versitygw::provide()?;
    drop((swift::provide()?, rgw::provide()?));
    succeed(&mut cargo(&["build", "--release"]))?;
    succeed(&mut cargo(&["build", "--release", "--package", DRIVER, "--example", HTTP_ALONE]))?;
    let requests = if requests { Some(count(options)?) } else { None };
    let throughput = if throughput { Some(measure(options)?) } else { None };

    let mut checks: Vec<Check> = requests.iter().flat_map(Counts::check).collect();
    checks.extend(throughput.iter().flat_map(Throughput::check));
    ratio::say(&checks);
    if let (Some(requests), Some(throughput)) = (&requests, &throughput) {
        let section = report::section(requests, throughput, &checks, options);
        document::write(&document::with_section(&document::read(), OVER_SWIFT, &section))?;
    }
    ratio::must_hold(&checks, options.assert)
}

fn count(options: &Options) -> Result<Counts, String> {
    console::heading(requests::PART);
    Ok(Counts {
        swift: requests::count(options, "over Swift", Server::longshore_over::<Swift>)?,
        rgw: requests::count(options, "over RGW", Server::longshore_over::<Rgw>)?,
        s3: requests::count(options, "over S3", Server::longshore_over::<Versitygw>)?,
    })
}

fn measure(options: &Options) -> Result<Throughput, String> {
    console::heading(pairs::PART);
    console::say("Swift");
    let swift = Pairs::measure(options, HTTP, http_alone::<Swift>(options, &SWIFT))?;
    console::say("RGW");
    Ok(Throughput { swift, rgw: Pairs::measure(options, HTTP, http_alone::<Rgw>(options, &RGW))? })
}

fn http_alone<B: Backend>(options: &Options, flavour: &Flavour) -> impl Fn(&B) -> Command {
    let (size, doubled_after) = (options.megabytes.to_string(), flavour.doubled_after.to_string());
    move |_| {
        let mut command = Command::new(built("examples").join(HTTP_ALONE));
        command.args([CONTAINER, &size, &doubled_after, AT_ONCE]);
        command
    }
}

impl Counts {
    fn check(&self) -> Vec<Check> {
        let mut checks = self.swift.check(SWIFT.over, &SWIFT.bounds);
        checks.extend(self.rgw.check(RGW.over, &RGW.bounds));
        checks
    }
}

impl Throughput {
    fn check(&self) -> Vec<Check> {
        let mut checks = self.swift.check(SWIFT.over, HTTP);
        checks.extend(self.rgw.check(RGW.over, HTTP));
        checks
    }
}
