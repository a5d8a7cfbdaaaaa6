//! The systemd units: accepted by `systemd-analyze verify`, and as shut in as docs/operations.md says.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_end_to_end::process::run_command;
use longshore_end_to_end::{figure, scratch};

const UNITS: [&str; 2] = ["longshore", "longshore-driver-filesystem"];

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../packaging/systemd/{name}.service"))
}

#[test]
fn systemd_accepts_both_units_with_the_release_binaries() {
    let directory = scratch::data_directory();
    let mut written = Vec::new();
    for name in UNITS {
        let text = std::fs::read_to_string(unit(name)).expect("the unit");
        let installed = format!("ExecStart=/usr/bin/{name} ");
        assert!(text.contains(&installed), "{text}");
        let built = format!("ExecStart={} ", scratch::binary(name).display());
        let path = directory.path().join(format!("{name}.service"));
        std::fs::write(&path, text.replace(&installed, &built)).expect("a copy of the unit");
        written.push(path);
    }
    let mut command = Command::new(scratch::tool("systemd-analyze", "systemd"));
    command.args(["verify", "--man=no", "--recursive-errors=no"]).args(&written);
    let output = command.output().expect("systemd-analyze");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("longshore"), "{said}");
}

#[test]
fn both_units_are_exposed_less_than_two_of_ten() {
    for name in UNITS {
        let mut command = Command::new(scratch::tool("systemd-analyze", "systemd"));
        command.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(unit(name));
        let said = run_command(&mut command);
        let level = said.lines().rev().find(|line| line.contains("exposure level")).expect("a level");
        figure!("units: {}", level.trim());
    }
}
