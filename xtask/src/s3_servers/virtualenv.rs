//! Packages of Python, each of one version, in a virtualenv of their own: newer than what distributions have.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{root, succeed};
use crate::{console, tools};

/// Where there is no wheel for a machine, pip compiles with these.
const COMPILING: &str = "apt-get install -y gcc libc6-dev python3-dev liberasurecode-dev libffi-dev libssl-dev libxml2-dev libxslt1-dev";

/// The scripts in its bin name the interpreter by the path that the directory has now, so that after the renaming
/// they run as `bin/python bin/SCRIPT`.
pub(super) fn make(directory: &Path, requirements: &str) -> Result<(), String> {
    make_with(directory, requirements, &[])
}

/// The same, without what these packages ask for.
pub(crate) fn make_of_just(directory: &Path, requirements: &str) -> Result<(), String> {
    make_with(directory, requirements, &["--no-deps"])
}

fn make_with(directory: &Path, requirements: &str, options: &[&str]) -> Result<(), String> {
    if !has_venv() {
        tools::install_packages(&["python3", "python3-venv"])?;
    }
    console::say("python3 -m venv");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    console::say(&format!("pip install -r {requirements}"));
    let mut install = Command::new(directory.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(options);
    succeed(install.arg("--requirement").arg(root().join(requirements)))
        .map_err(|error| format!("{error}; where pip has to compile, it needs what this brings: {COMPILING}"))
}

/// Of the package that a file of requirements is for.
pub(crate) fn version<'a>(requirements: &'a str, file: &str, package: &str) -> Result<&'a str, String> {
    let versions = requirements.lines().filter_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
    versions.into_iter().next().ok_or_else(|| format!("no line `{package}==...` in {file}"))
}

/// Debian has the module venv without what it needs, unless its package is there too.
fn has_venv() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
