//! The programs that the tests need beside cargo, and how Debian names their packages.

use std::path::Path;
use std::process::Command;

use crate::console;
use crate::step::succeed;

/// (program, Debian package)
const TOOLS: &[(&str, &str)] = &[
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("debootstrap", "debootstrap"),
    ("systemd-analyze", "systemd"),
    ("rsync", "rsync"),
    ("podman", "podman"),
    ("skopeo", "skopeo"),
    ("buildah", "buildah"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("htpasswd", "apache2-utils"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("tar", "tar"),
    ("strace", "strace"),
    ("faketime", "faketime"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("losetup", "mount"),
    ("perl", "perl-base"),
    ("python3", "python3-venv"),
];

/// What the benchmark needs beside.
const BENCH_TOOLS: &[(&str, &str)] = &[("wrk", "wrk"), ("nginx", "nginx-light"), ("curl", "curl")];

/// What the tests need.
pub(crate) fn provide() -> Result<(), String> {
    install_missing(TOOLS)
}

/// What the benchmark needs.
pub(crate) fn provide_bench() -> Result<(), String> {
    install_missing(BENCH_TOOLS)
}

/// Installs what is missing if that can be done here; else fails with the line to type.
fn install_missing(tools: &[(&'static str, &'static str)]) -> Result<(), String> {
    let missing = missing_packages(tools);
    if missing.is_empty() {
        console::say("all there");
        return require_root();
    }
    require_root()?;
    install_packages(&missing)?;
    let still = missing_programs(tools);
    if still.is_empty() {
        Ok(())
    } else {
        Err(format!("still missing after the installation: {}; install them by hand", still.join(", ")))
    }
}

/// Loop mounts, the shutdown ioctl and dockerd work for root alone.
fn require_root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let missing = missing_packages(TOOLS);
    let install = if missing.is_empty() {
        String::new()
    } else {
        format!(" after `apt-get install -y {}`", missing.join(" "))
    };
    Err(format!(
        "the power-cut and docker tests mount a file system and start dockerd: run this as root{install}"
    ))
}

/// Asks anew what there is where the first attempt fails: the lists may be old.
pub(crate) fn install_packages(packages: &[&str]) -> Result<(), String> {
    let line = format!("apt-get install -y {}", packages.join(" "));
    if find("apt-get").is_none() {
        return Err(format!("{} is missing; on Debian: {line}", packages.join(", ")));
    }
    console::say(&line);
    if install(packages).is_ok() {
        return Ok(());
    }
    succeed(Command::new("apt-get").args(["update", "-q"]))?;
    install(packages).map_err(|error| format!("{error}; as root: {line}"))
}

fn install(packages: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    succeed(command.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn missing_programs(tools: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    tools.iter().filter(|(program, _)| find(program).is_none()).map(|(program, _)| *program).collect()
}

fn missing_packages(tools: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        tools.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// Debian keeps some of them in sbin, which is not on everyone's PATH.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|candidate| Path::is_file(candidate))
}
