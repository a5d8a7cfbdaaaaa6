//! The program: an S3 driver behind a socket.

use std::process::ExitCode;

use longshore_driver_s3::{S3Driver, config};
use longshore_driver_sdk::{About, run};

fn main() -> ExitCode {
    run(About::new("longshore-driver-s3", env!("CARGO_PKG_VERSION"), config::HELP), S3Driver::open)
}
