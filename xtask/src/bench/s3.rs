//! `cargo xtask bench s3`: over versitygw, how many requests a push and a pull cost, and what throughput is left of what the
//! AWS SDK reaches alone. Both go into a section of docs/performance.md; `--assert` fails where a bound is missed.

mod report;
mod requests;
mod throughput;

use std::path::PathBuf;

use super::server::Programs;
use super::{Options, document};
use crate::step::{built, cargo, succeed};
use crate::{console, s3_servers, tools};

const DRIVER: &str = "longshore-driver-s3";
const SDK_ALONE: &str = "sdk_alone";

/// What both parts work with.
struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    sdk_alone: PathBuf,
}

pub(crate) fn bench(options: &Options) -> Result<(), String> {
    let wanted = |part: &str| options.only.as_ref().is_none_or(|only| only == part);
    if !wanted(requests::PART) && !wanted(throughput::PART) {
        return Err(format!("--only takes {} or {}", requests::PART, throughput::PART));
    }
    tools::provide_bench()?;
    s3_servers::versitygw::provide()?;
    succeed(&mut cargo(&["build", "--release"]))?;
    succeed(&mut cargo(&["build", "--release", "--package", DRIVER, "--example", SDK_ALONE]))?;
    let sdk_alone = built("examples").join(SDK_ALONE);
    let bench = Bench { options, programs: Programs::find()?, sdk_alone };
    let requests = if wanted(requests::PART) { Some(requests::count(&bench)?) } else { None };
    let throughput = if wanted(throughput::PART) { Some(throughput::measure(&bench)?) } else { None };

    let mut checks = requests.as_ref().map_or_else(Vec::new, requests::Counts::check);
    checks.extend(throughput.as_ref().into_iter().flat_map(throughput::Samples::check));
    for check in &checks {
        console::say(&check.to_string());
    }
    if let (Some(requests), Some(throughput)) = (&requests, &throughput) {
        let section = report::section(requests, throughput, &checks, options);
        document::write(&document::with_section(&document::read(), &section))?;
    }
    let missed = checks.iter().filter(|check| !check.holds()).count();
    if options.assert && missed > 0 {
        return Err(format!("{missed} of {} bounds are missed", checks.len()));
    }
    Ok(())
}
