//! The program: an old driver in Python behind a socket.

use std::process::ExitCode;

use longshore_driver_legacy_python::{LegacyDriver, config};
use longshore_driver_sdk::{About, run};

fn main() -> ExitCode {
    let about = About::new("longshore-driver-legacy-python", env!("CARGO_PKG_VERSION"), config::HELP);
    run(about, LegacyDriver::open)
}
