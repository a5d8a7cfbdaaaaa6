//! What is promised beside distribution, checked over the medians.

use std::fmt;

use super::load::Load;
use super::sample::{Samples, median};
use super::server::Kind;
use crate::console;

const PUSH_TMPFS_8: &str = "push of 8 blobs on tmpfs, throughput ratio";
const PUSH_DISK_8: &str = "push of 8 blobs on disk, throughput ratio";

/// One promise, and what was seen.
pub(crate) struct Check {
    what: String,
    bound: Bound,
    /// What is wanted where less is promised, with the decision that says why.
    aim: Option<(f64, &'static str)>,
    seen: f64,
}

pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Check {
    pub(crate) fn new(what: String, bound: Bound, seen: f64) -> Self {
        Self { what, bound, aim: None, seen }
    }

    pub(crate) fn holds(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.seen >= bound,
            Bound::AtMost(bound) => self.seen <= bound,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.bound {
            Bound::AtLeast(bound) => format!("at least {bound}"),
            Bound::AtMost(bound) => format!("at most {bound}"),
        };
        let verdict = if self.holds() { "ok" } else { "MISSED" };
        write!(f, "{}: {:.2}, {bound}: {verdict}", self.what, self.seen)?;
        match self.aim {
            Some((aim, why)) if self.seen < aim => write!(f, "; short of the aim, {aim} ({why})"),
            _ => Ok(()),
        }
    }
}

pub(crate) fn say(checks: &[Check]) {
    for check in checks {
        console::say(&check.to_string());
    }
}

pub(crate) fn must_hold(checks: &[Check], assert: bool) -> Result<(), String> {
    let missed = checks.iter().filter(|check| !check.holds()).count();
    if assert && missed > 0 {
        return Err(format!("{missed} of {} bounds are missed", checks.len()));
    }
    Ok(())
}

/// Those whose loads were run.
pub(crate) fn check(samples: &Samples) -> Vec<Check> {
    let rate = |load| samples.ratio(load, |sample| sample.figure);
    let cpu = |load| samples.ratio(load, |sample| sample.cpu_seconds);
    let ours = |load| median(samples.of(load, Kind::Longshore).iter().map(|sample| sample.figure).collect());
    let checks = [
        ("manifest GET by tag, ratio", Bound::AtLeast(2.0), rate(Load::ManifestByTag)),
        ("manifest GET by digest, ratio", Bound::AtLeast(3.0), rate(Load::ManifestByDigest)),
        ("pull of 1 blob, throughput ratio", Bound::AtLeast(0.7), rate(Load::Pull1)),
        ("pull of 8 blobs at once, throughput ratio", Bound::AtLeast(0.7), rate(Load::Pull8)),
        ("pull of 1 blob, ratio of CPU per GiB", Bound::AtMost(2.0), cpu(Load::Pull1)),
        ("pull of 8 blobs at once, ratio of CPU per GiB", Bound::AtMost(2.0), cpu(Load::Pull8)),
        ("push of 1 blob on tmpfs, throughput ratio", Bound::AtLeast(1.2), rate(Load::PushTmpfs1)),
        (PUSH_TMPFS_8, Bound::AtLeast(0.6), rate(Load::PushTmpfs8)),
        ("push of 1 blob on disk, throughput ratio", Bound::AtLeast(1.0), rate(Load::PushDisk1)),
        (PUSH_DISK_8, Bound::AtLeast(0.6), rate(Load::PushDisk8)),
        ("cold start of core and driver, ms", Bound::AtMost(100.0), ours(Load::ColdStart)),
        ("idle memory of core and driver, MiB", Bound::AtMost(25.0), ours(Load::IdleMemory)),
    ];
    let seen = checks.into_iter();
    seen.filter_map(|(what, bound, seen)| {
        Some(Check { aim: aim(what), ..Check::new(what.to_owned(), bound, seen?) })
    })
    .collect()
}

fn aim(what: &str) -> Option<(f64, &'static str)> {
    const BUSY: &str = "docs/adr/0021";
    match what {
        PUSH_TMPFS_8 => Some((1.2, BUSY)),
        PUSH_DISK_8 => Some((1.0, BUSY)),
        _ => None,
    }
}
