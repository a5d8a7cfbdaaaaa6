//! OpenStack Swift in a virtualenv: newer than what distributions have, and no package of theirs is needed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{root, succeed};
use crate::{console, tool_directory, tools};

/// Each package of one version; the first line names Swift's.
const REQUIREMENTS: &str = include_str!("swift-requirements.txt");
/// The file, as pip is told.
const REQUIREMENTS_FILE: &str = "xtask/src/s3_servers/swift-requirements.txt";
/// Where there is no wheel for a machine, pip compiles with these.
const COMPILING: &str = "apt-get install -y gcc libc6-dev python3-dev liberasurecode-dev libffi-dev libssl-dev libxml2-dev libxslt1-dev";

pub(crate) fn provide() -> Result<(), String> {
    let version = REQUIREMENTS.lines().find_map(|line| line.strip_prefix("swift=="));
    let version = version.ok_or_else(|| format!("no line `swift==...` in {REQUIREMENTS_FILE}"))?;
    let what = format!("swift {version} into a virtualenv (half a minute)");
    tool_directory::provide(&format!("swift-{version}"), &what, fill).map(drop)
}

/// The scripts in its bin name the interpreter by the path that the directory has now, so that after the renaming
/// they run as `bin/python bin/SCRIPT`.
fn fill(directory: &Path) -> Result<(), String> {
    if !has_venv() {
        tools::install_packages(&["python3", "python3-venv"])?;
    }
    console::say("python3 -m venv");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    console::say(&format!("pip install -r {REQUIREMENTS_FILE}"));
    let mut install = Command::new(directory.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    succeed(install.arg(root().join(REQUIREMENTS_FILE)))
        .map_err(|error| format!("{error}; where pip has to compile, it needs what this brings: {COMPILING}"))
}

/// Debian has the module venv without what it needs, unless its package is there too.
fn has_venv() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import ensurepip, venv"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
