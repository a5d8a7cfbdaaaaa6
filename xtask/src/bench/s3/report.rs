//! The section of docs/performance.md.

use std::fmt::Write as _;

use super::{Counts, Throughput};
use crate::bench::Options;
use crate::bench::document::OVER_S3;
use crate::bench::ratio::Check;
use crate::bench::report::run;
use crate::bench::requests::{Cost, Step};

const HEAD: &str = "
Measured by `cargo xtask bench s3`, against versitygw 1.8.0 over a directory, with connections that are kept. Core and S3
driver are as shipped, distribution 3.1.2 has its S3 driver with its own sizes and no redirects. The requests are those of
the server's access log. A look at the store's id, which tells a bucket that was emptied from one that never had a key, is
counted apart; distribution's health check is off. What zot and Angos cost was measured earlier, on the same server.

The AWS SDK alone is a program that does nothing else (`drivers/s3/examples/sdk_alone.rs`): a multipart upload from memory
without checksums, then one GET. Through core and driver the same bytes are pushed by a plain HTTP client and pulled by
`curl`; they are hashed, checked and made resumable on their way. By a redirect, the core answers with a signed URL, and `curl`
fetches from the server. Each sample has a server of its own that was just started,
and the order turns with each pair; a first pair is not counted. A ratio is the median of the ratios of the pairs.

";

/// Measured earlier: zot's and Angos's requests. Those of a manifest are with its configuration.
fn others(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::PushLayer => ("58", "57"),
        Step::PushConfiguration => ("with the manifest", "with the manifest"),
        Step::PushManifest => ("33", "53"),
        Step::GetByTag => ("5", "6"),
        Step::GetLayer => ("5", "7"),
    }
}

pub(crate) fn section(
    counts: &Counts,
    throughput: &Throughput,
    checks: &[Check],
    options: &Options,
) -> String {
    let mut text = format!("{OVER_S3}{HEAD}{}", run(options, checks));
    requests(&mut text, counts);
    rates(&mut text, throughput, options.megabytes);
    text
}

fn requests(text: &mut String, counts: &Counts) {
    text.push_str(
        "\n### Requests\n\n| | longshore | looks at the store's id | distribution | of these, moving bytes inside the store | zot | Angos |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for step in Step::ALL {
        let (Cost { requests, health, .. }, distribution) =
            (counts.ours.of(step), counts.distribution.of(step));
        let (zot, angos) = others(step);
        let _ = writeln!(
            text,
            "| {} | {requests} | {health} | {} | {} | {zot} | {angos} |",
            step.name(),
            distribution.requests,
            distribution.copies
        );
    }
}

fn rates(text: &mut String, Throughput { pairs, at_once }: &Throughput, megabytes: u64) {
    let _ = write!(
        text,
        "\n### Throughput\n\nThe SDK sends parts of 64 MiB, {at_once} at once: the best of 1, 2 and 4 here. Core and driver \
         took {:.0} MiB of memory together, at most.\n\n\
         | | longshore, MiB/s | the SDK alone, MiB/s |\n|---|---|---|\n{}",
        pairs.peak_mib,
        pairs.rows("", megabytes)
    );
}
