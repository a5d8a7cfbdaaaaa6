//! The program: a filesystem driver behind a socket.

use std::process::ExitCode;

use longshore_driver_filesystem::{FilesystemDriver, config};
use longshore_driver_sdk::{About, run};

fn main() -> ExitCode {
    let about = About {
        name: "longshore-driver-filesystem",
        version: env!("CARGO_PKG_VERSION"),
        settings: config::HELP,
    };
    run(about, FilesystemDriver::open)
}
