//! Ceph's RGW with what it stands on, from the distribution's packages: unpacked, not installed, so that no daemon is
//! enabled and nothing outside target/tools changes.

pub(crate) mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::succeed;
use crate::{console, tool_directory, tools};

/// What the tests run.
const PACKAGES: [&str; 4] = ["ceph-mon", "ceph-osd", "radosgw", "ceph-common"];
/// Of what those depend on, the rest is for an administrator: sudo, lvm2, parted and the like.
const NEEDED: [&str; 4] = ["ceph", "lib", "python3", "radosgw"];

/// Whatever version the distribution has. One that is there is not asked about again, so that no network is needed.
pub(crate) fn provide() -> Result<PathBuf, String> {
    if let Some(name) = unpacked() {
        console::say(&format!("{name} is there"));
        return Ok(tool_directory::tools().join(name));
    }
    if tools::find("apt-get").is_none() || tools::find("dpkg").is_none() {
        return Err(format!(
            "Ceph's RGW comes from the packages of Debian or Ubuntu, and there is no apt-get here: unpack {} with \
             what they depend on into target/tools/rgw-VERSION, so that usr/bin/radosgw is below it",
            PACKAGES.join(", ")
        ));
    }
    let version = version()?;
    let what = format!("radosgw {version} and what it needs, downloaded and unpacked (some seconds)");
    tool_directory::provide(&format!("rgw-{version}"), &what, fill)
}

fn unpacked() -> Option<String> {
    let names = fs::read_dir(tool_directory::tools()).ok()?.flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| name.starts_with("rgw-") && !name.ends_with(".unfinished"))
}

/// Without Debian's revision: `16.2.15+ds-0+deb12u2` is 16.2.15.
fn version() -> Result<String, String> {
    let show = || output(Command::new("apt-cache").args(["show", "--no-all-versions", "radosgw"]));
    let shown = match show() {
        Ok(shown) => shown,
        Err(_) => {
            succeed(Command::new("apt-get").args(["update", "-q"]))?;
            show()?
        }
    };
    let full = shown.lines().find_map(|line| line.strip_prefix("Version: "));
    let full = full.ok_or("apt-cache shows no version of radosgw: this distribution has no such package")?;
    Ok(full.split(['+', '-']).next().unwrap_or(full).to_owned())
}

fn fill(directory: &Path) -> Result<(), String> {
    let archives = directory.join("archives");
    fs::create_dir(&archives).map_err(|error| format!("cannot make {}: {error}", archives.display()))?;
    if download(&archives).is_err() {
        // The lists may be old, and name what the mirrors no longer have.
        succeed(Command::new("apt-get").args(["update", "-q"]))?;
        download(&archives)?;
    }
    console::say("dpkg --extract");
    let listed = fs::read_dir(&archives).map_err(|error| format!("{}: {error}", archives.display()))?;
    for archive in listed.flatten() {
        succeed(Command::new("dpkg").arg("--extract").arg(archive.path()).arg(directory))?;
    }
    fs::remove_dir_all(&archives).map_err(|error| format!("cannot remove {}: {error}", archives.display()))
}

fn download(archives: &Path) -> Result<(), String> {
    let packages = packages()?;
    console::say(&format!("apt-get download ({} packages)", packages.len()));
    let mut download = Command::new("apt-get");
    // The directory is not one that apt's own user may write to.
    download.args(["download", "-qq", "-o", "APT::Sandbox::User=root"]).args(&packages);
    succeed(download.current_dir(archives))
}

/// The four, and of what they depend on that which is not installed here.
fn packages() -> Result<Vec<String>, String> {
    let mut simulate = Command::new("apt-get");
    simulate.args(["install", "--simulate", "--no-install-recommends"]).args(PACKAGES);
    let simulated = output(&mut simulate)?;
    let installs = simulated.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let mut packages: Vec<String> = PACKAGES.map(str::to_owned).into();
    packages.extend(
        installs.filter(|name| NEEDED.iter().any(|start| name.starts_with(start))).map(str::to_owned),
    );
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String, String> {
    let line = crate::step::command_line(command);
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    let output = output.map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complained = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{line}` ended with {}: {}", output.status, complained.trim()))
}
