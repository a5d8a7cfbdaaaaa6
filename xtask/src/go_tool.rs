//! Programs in Go, each of one version, built once from its module into target/tools.

use std::path::PathBuf;
use std::process::Command;

use crate::console;
use crate::step::{root, succeed};

/// One of them.
pub(crate) struct GoTool {
    /// Its directory is called by name and version.
    pub(crate) name: &'static str,
    /// The last part is what the program is called.
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl GoTool {
    /// The program, built first where it is missing.
    pub(crate) fn provide(&self) -> Result<PathBuf, String> {
        let directory = root().join("target/tools").join(format!("{}-{}", self.name, self.version));
        let program = directory.join(self.package.rsplit('/').next().unwrap_or(self.name));
        if program.is_file() {
            return Ok(program);
        }
        let what = format!("{}@{}", self.package, self.version);
        console::say(&format!("go install {what} (some minutes)"));
        let mut install = Command::new("go");
        install.args(["install", &what]).env("GOBIN", &directory).current_dir(root());
        succeed(&mut install).map_err(|error| {
            format!("{error}; it needs Go 1.25 or later: on Debian, apt-get install -y golang")
        })?;
        Ok(program)
    }
}
