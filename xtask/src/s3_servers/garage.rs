//! Garage, from crates.io.

use std::fs;
use std::path::Path;

use crate::step::{cargo, succeed};
use crate::{console, tool_directory};

const VERSION: &str = "2.5.0";

/// Its program is `bin/garage`.
pub(crate) fn provide() -> Result<(), String> {
    let what = format!("cargo install garage {VERSION} (13 minutes on 2 cores)");
    tool_directory::provide(&format!("garage-{VERSION}"), &what, fill).map(drop)
}

fn fill(directory: &Path) -> Result<(), String> {
    let build = directory.join("build");
    console::say("its own Cargo.lock, release profile");
    let mut install = cargo(&["install", "garage", "--version", VERSION, "--locked", "--root"]);
    install.arg(directory).arg("--target-dir").arg(&build);
    // What is set for our own build, such as another target directory or flags, is not for this one.
    install.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let installed = succeed(&mut install);
    // Also of a build that failed: it has gigabytes.
    let removed = fs::remove_dir_all(&build);
    installed.and(removed.map_err(|error| format!("cannot remove {}: {error}", build.display())))
}
