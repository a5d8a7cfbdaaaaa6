//! The registry that most operators come from: what `cargo xtask bench` compares with and the tests import from. Built
//! once from its Go module, into target/tools.

use std::path::PathBuf;
use std::process::Command;

use crate::console;
use crate::step::{root, succeed};

const MODULE: &str = "github.com/distribution/distribution/v3/cmd/registry";
const VERSION: &str = "v3.1.2";

/// The program, built first where it is missing (about two minutes).
pub(crate) fn provide() -> Result<PathBuf, String> {
    let directory = root().join("target/tools").join(format!("distribution-{VERSION}"));
    let program = directory.join("registry");
    if program.is_file() {
        return Ok(program);
    }
    let line = format!("go install {MODULE}@{VERSION}");
    console::say(&format!("{line} (about two minutes)"));
    let mut install = Command::new("go");
    install.args(["install", &format!("{MODULE}@{VERSION}")]).env("GOBIN", &directory).current_dir(root());
    succeed(&mut install).map_err(|error| {
        format!("{error}; it needs Go 1.25 or later: on Debian, apt-get install -y golang")
    })?;
    Ok(program)
}
