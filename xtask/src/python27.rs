//! Python 2.7, which few machines have still: it is found here or not, and what needs it is the one thing that the tests do without
//! where it is missing, and say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{root, succeed};
use crate::{console, tool_directory};

/// The last virtualenv that runs under Python 2.7, where no module `venv` is.
const VIRTUALENV_FILE: &str = "xtask/src/python27/virtualenv-requirements.txt";
/// Names the interpreter, before all other places.
const PYTHON: &str = "PYTHON27";
const COMPILING: &str = "apt-get install -y gcc libc6-dev liblzma-dev";

/// A virtualenv below the tools with just the packages of a file, which the tests find; or a file `NAME.absent` beside it with the
/// reason why not, for them to tell. `more` is done to it before it counts as made.
pub(crate) fn provide(
    name: &str,
    requirements: &str,
    more: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let absence = tool_directory::tools().join(format!("{name}.absent"));
    let failed = |error: std::io::Error| format!("{}: {error}", absence.display());
    if !tool_directory::tools().join(name).is_dir() {
        let Some(python) = python()? else {
            let reason =
                format!("no python2.7 with pip was found ({PYTHON}, PATH, ~/.pyenv/versions/2.7.*/bin)");
            console::say(&format!("{name}: {reason}; its tests are not run"));
            fs::create_dir_all(tool_directory::tools()).map_err(failed)?;
            return fs::write(&absence, reason).map_err(failed);
        };
        let what = format!("{name} into a virtualenv of {} (a minute)", python.display());
        tool_directory::provide(name, &what, |directory| {
            fill(directory, &python, requirements)?;
            more(directory)
        })?;
    }
    match fs::remove_file(&absence) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// The scripts in its bin name the interpreter by the path that the directory has now: what is run later is `bin/python`.
fn fill(directory: &Path, python: &Path, requirements: &str) -> Result<(), String> {
    let tool = directory.join("virtualenv");
    console::say(&format!("pip install -r {VIRTUALENV_FILE}"));
    succeed(pip(python).arg("--target").arg(&tool).arg("-r").arg(root().join(VIRTUALENV_FILE)))?;
    console::say("virtualenv");
    let mut make = Command::new(python);
    make.args(["-m", "virtualenv", "--quiet", "--no-download"]).arg(directory).env("PYTHONPATH", &tool);
    succeed(&mut make)?;
    console::say(&format!("pip install -r {requirements}"));
    let mut install = pip(&directory.join("bin/python"));
    succeed(install.args(["--no-deps", "-r"]).arg(root().join(requirements)))
        .map_err(|error| format!("{error}; pip has to compile, and needs what this brings: {COMPILING}"))
}

fn pip(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-W", "ignore", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip
}

/// One that runs and has pip: what stands in the PATH may be pyenv's, and find no Python behind it.
fn python() -> Result<Option<PathBuf>, String> {
    if let Some(named) = std::env::var_os(PYTHON) {
        let named = PathBuf::from(named);
        return match is_usable(&named) {
            true => Ok(Some(named)),
            false => Err(format!("{PYTHON} is {}, which is no Python 2.7 with pip", named.display())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|directory| directory.join("python2.7"));
    Ok(in_path.chain(of_pyenv()).find(|candidate| candidate.is_file() && is_usable(candidate)))
}

fn of_pyenv() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let versions = fs::read_dir(home.join(".pyenv/versions"));
    let versions = versions.into_iter().flatten().flatten();
    let old = versions.filter(|version| version.file_name().to_string_lossy().starts_with("2.7."));
    old.map(|version| version.path().join("bin/python2.7")).collect()
}

fn is_usable(python: &Path) -> bool {
    let mut look = Command::new(python);
    look.args(["-c", "import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))"]);
    look.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    look.status().is_ok_and(|status| status.success())
}
