//! Programs in Go, each of one version, built once from its module into target/tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{root, succeed};
use crate::tool_directory;

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
        let name = format!("{}-{}", self.name, self.version);
        let program = self.package.rsplit('/').next().unwrap_or(self.name);
        let built = tool_directory::tools().join(&name).join(program);
        if built.is_file() {
            return Ok(built);
        }
        let what = format!("go install {}@{} (some minutes)", self.package, self.version);
        let directory = tool_directory::make(&name, &what, |directory| self.install(directory))?;
        Ok(directory.join(program))
    }

    fn install(&self, directory: &Path) -> Result<(), String> {
        let mut install = Command::new("go");
        install.arg("install").arg(format!("{}@{}", self.package, self.version));
        succeed(install.env("GOBIN", directory).current_dir(root())).map_err(|error| {
            format!("{error}; it needs Go 1.25 or later: on Debian, apt-get install -y golang")
        })
    }
}
