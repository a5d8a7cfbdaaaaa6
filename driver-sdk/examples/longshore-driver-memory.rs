//! The program: a driver behind a socket that keeps everything in its memory, for tests and for a first look.

use std::process::ExitCode;

use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{About, Result, run};

/// It has nothing to be set.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

async fn open(_: Config) -> Result<MemoryDriver> {
    Ok(MemoryDriver::default())
}

fn main() -> ExitCode {
    let settings = "  (none: what it keeps is gone when it stops)";
    run(About::new("longshore-driver-memory", env!("CARGO_PKG_VERSION"), settings), open)
}
