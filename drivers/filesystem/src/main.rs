//! The program: a filesystem driver behind a socket.

use std::process::ExitCode;

use longshore_driver_filesystem::{FilesystemDriver, config};
use longshore_driver_sdk::{About, run};

fn main() -> ExitCode {
    run(
        About::new("longshore-driver-filesystem", env!("CARGO_PKG_VERSION"), config::HELP),
        FilesystemDriver::open,
    )
}
