//! The README of an example does what it says: its `sh` blocks run as they stand, one after the other, in one shell.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use longshore_end_to_end::docker_engine::{Engine, without_proxies};
use longshore_end_to_end::scratch;

use crate::shell;

#[test]
fn the_readme_of_the_example_in_rust_works_as_it_stands() {
    works_as_it_stands("driver-rust");
}

#[test]
fn the_readme_of_the_example_in_go_works_as_it_stands() {
    works_as_it_stands("driver-go");
}

fn works_as_it_stands(example: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    let readme = fs::read_to_string(folder.join("README.md")).expect("the README");
    for step in 1..=5 {
        assert!(readme.contains(&format!("\n## {step}. ")), "step {step} of five");
    }
    run(&blocks(&readme), &folder);
}

fn blocks(readme: &str) -> String {
    let mut script = String::new();
    for block in readme.split("```sh\n").skip(1) {
        script += block.split("```").next().unwrap_or_default();
    }
    assert!(script.contains("docker push") && script.contains("longshore-driver-check"), "{script}");
    script
}

fn run(script: &str, folder: &Path) {
    // Sockets lie there too, so its path is short.
    let place = scratch::socket_directory();
    let engine = Engine::start();
    let (file, log) = (place.path().join("script"), place.path().join("log"));
    fs::write(&file, script).expect("the script");
    let mut command = Command::new("bash");
    command.args(["-eux".as_ref(), file.as_os_str()]).current_dir(folder);
    command.env("PATH", path()).env("TMPDIR", scratch_below(place.path()));
    command.env("DOCKER_HOST", engine.host()).env("DOCKER_BUILDKIT", "0");
    command.env("DOCKER_CONFIG", place.path().join("docker"));
    let status = shell::run(without_proxies(&mut command), &log);
    assert!(status.success(), "{status}:\n{}", fs::read_to_string(&log).unwrap_or_default());
}

fn scratch_below(place: &Path) -> std::path::PathBuf {
    let path = place.join("t");
    fs::create_dir(&path).expect("a directory");
    path
}

/// The binaries of this build first.
fn path() -> OsString {
    let before = std::env::var_os("PATH").unwrap_or_default();
    let all = [scratch::release_directory()].into_iter().chain(std::env::split_paths(&before));
    std::env::join_paths(all).expect("a PATH")
}
