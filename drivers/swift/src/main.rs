//! The program: a Swift driver behind a socket.

use std::process::ExitCode;

use longshore_driver_sdk::{About, run};
use longshore_driver_swift::{SwiftDriver, config};

fn main() -> ExitCode {
    run(About::new("longshore-driver-swift", env!("CARGO_PKG_VERSION"), config::HELP), SwiftDriver::open)
}
