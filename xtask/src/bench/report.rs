//! docs/performance.md: how it was measured, medians and ranges, the promises, and every sample.

use std::fmt::Write as _;
use std::fs;

use super::Options;
use super::document::SAMPLES;
use super::load::Load;
use super::ratio::Check;
use super::sample::{Sample, Samples, median};
use super::server::Kind;

const HEAD: &str = "\
# Performance

Measured by `cargo xtask bench`, which anyone can repeat (Debian, root for the installation of wrk and nginx; go for
distribution 3.1.2). Every sample comes from a server that was just started on a store of its own; longshore (core and
filesystem driver, over the stream plane, durable as shipped), distribution 3.1.2 (the configuration of its image) and
nginx (the same bytes as plain files) run one after the other in each round, in an order that turns with each round, on
the same file system and the same machine as the client; a first round is not counted. Large blobs are pushed by a plain
HTTP client and pulled by `curl`, the requests a second are `wrk`'s. CPU is user and system time of the server's whole process tree; peak memory
is the sum of the high-water marks of its processes. A ratio is the median of the ratios of the pairs. 64 connections ask for one manifest or blob here: requests that wait for the
same record share a read (docs/adr/0019), which a load over many records does not. Before each push of large blobs as
much memory is written and freed again: a virtual machine may give free memory back to its host, and who uses it next
pays for that.

";

pub(crate) fn text(samples: &Samples, checks: &[Check], rounds: usize, megabytes: u64) -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "This run: {rounds} rounds, large blobs of {megabytes} MiB, {}.\n", machine());
    promises(&mut text, checks);
    medians(&mut text, samples);
    raw(&mut text, samples);
    text
}

/// Of a section over a server: how it was run, and what is promised.
pub(crate) fn run(options: &Options, checks: &[Check]) -> String {
    let (rounds, megabytes) = (options.rounds, options.megabytes);
    let mut text = format!("This run: {rounds} pairs of {megabytes} MiB, {}.\n\n", machine());
    list(&mut text, checks);
    text
}

/// The processors and the kernel.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

fn promises(text: &mut String, checks: &[Check]) {
    text.push_str("## Beside distribution\n\n");
    list(text, checks);
}

fn list(text: &mut String, checks: &[Check]) {
    for check in checks {
        let _ = writeln!(text, "* {check}");
    }
}

fn medians(text: &mut String, samples: &Samples) {
    text.push_str("\n## Medians, and the least and the most seen\n\n| load | server | figure | CPU s/GiB | peak memory, MiB |\n|---|---|---|---|---|\n");
    for load in Load::ALL {
        for kind in [Kind::Longshore, Kind::Distribution, Kind::Nginx] {
            let of = samples.of(load, kind);
            let Some(unit) = of.first().map(|sample| sample.unit) else { continue };
            let figure = spread(of, 0, |sample| Some(sample.figure));
            let cpu = spread(of, 2, Sample::cpu_per_gib);
            let peak = spread(of, 0, |sample| Some(sample.peak_mib));
            let _ =
                writeln!(text, "| {} | {} | {figure} {unit} | {cpu} | {peak} |", load.name(), kind.name());
        }
    }
}

fn spread(samples: &[Sample], digits: usize, of: impl Fn(&Sample) -> Option<f64>) -> String {
    let values: Vec<f64> = samples.iter().filter_map(of).collect();
    let (least, most) =
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
    match median(values) {
        Some(median) => format!("{median:.digits$} ({least:.digits$} to {most:.digits$})"),
        None => String::new(),
    }
}

fn raw(text: &mut String, samples: &Samples) {
    let _ = write!(text, "\n{SAMPLES}\n");
    for ((load, kind), samples) in samples.all() {
        let _ = writeln!(text, "{}, {}:\n", load.name(), kind.name());
        for sample in samples {
            let _ = writeln!(text, "    {sample}");
        }
        text.push('\n');
    }
}
