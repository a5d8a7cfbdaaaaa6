//! The section of docs/performance.md.

use std::fmt::Write as _;

use super::{Counts, RGW, SWIFT, Throughput};
use crate::bench::Options;
use crate::bench::document::OVER_SWIFT;
use crate::bench::ratio::Check;
use crate::bench::report::run;
use crate::bench::requests::Step;

const HEAD: &str = "
Measured by `cargo xtask bench swift`, against OpenStack Swift 2.38 with tempauth (four servers of one process each, one
replica in a directory) and Ceph's RGW 16.2 by Swift's API (one OSD, which keeps its objects in memory). Core and Swift driver
are as shipped. The requests are those of the server's access log, without what Swift asks itself. Looks at the store's id and at
the container are counted apart. RGW's log does not tell which requests are copies. No other registry has a driver for Swift today;
what they cost over S3 is above.

Plain HTTP is a program that does nothing else, by the driver's HTTP client (`drivers/swift/examples/http_alone.rs`): from
memory and without digests it sends segments of the driver's sizes, two at once as the driver does, then their manifest; then it
reads the object with one GET. All else is as over S3.

";

pub(crate) fn section(
    counts: &Counts,
    throughput: &Throughput,
    checks: &[Check],
    options: &Options,
) -> String {
    let mut text = format!("{OVER_SWIFT}{HEAD}{}", run(options, checks));
    requests(&mut text, counts);
    rates(&mut text, throughput, options.megabytes);
    text
}

fn requests(text: &mut String, counts: &Counts) {
    text.push_str(
        "\n### Requests to Swift\n\n| | Swift | looks at id and container | RGW | looks at id and container | \
         the S3 driver, over versitygw |\n|---|---|---|---|---|---|\n",
    );
    for step in Step::ALL {
        let [swift, rgw, s3] = [&counts.swift, &counts.rgw, &counts.s3].map(|costs| costs.of(step));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            step.name(),
            swift.requests,
            swift.health,
            rgw.requests,
            rgw.health,
            s3.requests
        );
    }
}

fn rates(text: &mut String, Throughput { swift, rgw }: &Throughput, megabytes: u64) {
    let peak_mib = swift.peak_mib.max(rgw.peak_mib);
    let _ = write!(
        text,
        "\n### Throughput of Swift\n\nCore and driver took {peak_mib:.0} MiB of memory together, at most.\n\n\
         | | longshore, MiB/s | plain HTTP, MiB/s |\n|---|---|---|\n{}{}",
        swift.rows(SWIFT.over, megabytes),
        rgw.rows(RGW.over, megabytes)
    );
}
