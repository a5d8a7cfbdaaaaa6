//! The program: an old driver in Python behind a socket.

use std::process::ExitCode;

use longshore_driver_legacy_python::{LegacyDriver, config};
use longshore_driver_sdk::{About, run};

/// A commit has one until the old driver has written all and all was read back. They are made when they are needed.
const BLOCKING_THREADS: usize = 128;

fn main() -> ExitCode {
    let about = About::new("longshore-driver-legacy-python", env!("CARGO_PKG_VERSION"), config::HELP);
    run(about.with_blocking_threads(BLOCKING_THREADS), LegacyDriver::open)
}
