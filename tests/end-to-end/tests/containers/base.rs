//! The base image: a Debian made with debootstrap from this machine's own apt source.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_end_to_end::process::{run, run_command};
use longshore_end_to_end::scratch;

/// A tar of the root, kept below the build directory: making it takes a minute or two.
pub(crate) fn tarball() -> PathBuf {
    let release = std::fs::read_to_string("/etc/os-release").expect("/etc/os-release");
    let named = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = named.expect("a Debian with a codename").trim_matches('"').to_owned();
    let target = scratch::release_directory();
    let kept = target.parent().expect("the build directory").join(format!("base-{suite}.tar"));
    if !kept.is_file() {
        let directory = scratch::data_directory();
        let root = directory.path().join("root");
        let mut debootstrap = Command::new(scratch::tool("debootstrap", "debootstrap"));
        debootstrap.args(["--variant=minbase", &suite]).arg(&root).arg(archive(&suite));
        run_command(&mut debootstrap);
        let unfinished = directory.path().join("base.tar");
        pack(&root, &unfinished);
        std::fs::rename(unfinished, &kept).expect("keep the base");
    }
    kept
}

/// What apt is configured to fetch this suite's `main` from.
fn archive(suite: &str) -> String {
    let format = "$(RELEASE) $(COMPONENT) $(CREATED_BY) $(REPO_URI)";
    let targets = run(Path::new("apt-get"), &["indextargets", "--format", format]);
    let wanted = format!("{suite} main Packages ");
    let found = targets.lines().find_map(|line| line.strip_prefix(&wanted));
    found.unwrap_or_else(|| panic!("apt has no source for {suite} main:\n{targets}")).to_owned()
}

fn pack(root: &Path, tarball: &Path) {
    let mut tar = Command::new(scratch::tool("tar", "tar"));
    tar.args(["--exclude=./var/cache/apt/archives/*", "--exclude=./var/lib/apt/lists/*", "--directory"]);
    run_command(tar.arg(root).arg("--create").arg("--file").arg(tarball).arg("."));
}
