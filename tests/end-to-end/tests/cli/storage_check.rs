//! `longshore storage check`: what it says of a store that keeps what its driver declares, and of others.

use std::path::Path;
use std::process::Command;

use longshore_end_to_end::{Process, scratch};

use crate::{Stand, longshore, said};

/// Breaks one promise of the contract, by name. A check dials until it answers.
const FAULTY_DRIVER: &str = "longshore-faulty-driver";

#[test]
fn a_check_says_on_one_screen_what_holds_and_leaves_nothing_behind() {
    let stand = Stand::start();
    let check = longshore(&["storage", "check", &stand.endpoint, "--size-mib", "3"]);
    assert!(check.status.success(), "{}", said(&check));
    let screen = String::from_utf8_lossy(&check.stdout).into_owned();
    for part in [
        "filesystem.longshore",
        "not initialised",
        "agrees with this machine's",
        "get of 1 KiB",
        "object of 3.00 MiB",
        "put_if_match     yes",
        "survives a power cut",
        "every byte goes through the core",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(screen.lines().count() <= 24 && screen.lines().all(|line| line.len() <= 120), "{screen}");
    assert!(!stand.root.join("check").exists(), "the check left something behind");
    assert_eq!(std::fs::read_dir(stand.root.join(".driver/uploads")).unwrap().count(), 0);
}

#[test]
fn a_promise_that_is_not_kept_is_named_and_fails_the_check() {
    for (fault, named) in [
        ("put-if-absent-overwrites", "put_if_absent"),
        ("put-if-absent-races", "put_if_absent"),
        ("list-stale", "list_is_current"),
    ] {
        let (data, sockets) = (scratch::data_directory(), scratch::socket_directory());
        let endpoint = format!("unix://{}/faulty.sock", sockets.path().display());
        let _driver = faulty_driver(fault, &endpoint, data.path());
        let check = longshore(&["storage", "check", &endpoint, "--size-mib", "1"]);
        assert_eq!(check.status.code(), Some(1), "{fault}: {}", said(&check));
        let said = said(&check);
        assert!(said.contains("BROKEN") && said.contains("does not hold here"), "{fault}: {said}");
        assert!(said.contains(&format!("{named}: the driver declares")), "{fault}: {said}");
    }
}

#[test]
fn a_check_of_nobody_says_what_to_look_at() {
    let nobody = longshore(&["storage", "check", "unix:///nonexistent/driver.sock"]);
    assert_eq!(nobody.status.code(), Some(1));
    for part in ["/nonexistent/driver.sock", "look whether the driver runs"] {
        assert!(said(&nobody).contains(part), "{}", said(&nobody));
    }
    assert_eq!(longshore(&["storage", "check", "unix:///x.sock", "--size-mib", "0"]).status.code(), Some(2));
}

fn faulty_driver(fault: &str, endpoint: &str, root: &Path) -> Process {
    let mut command = Command::new(scratch::binary(FAULTY_DRIVER));
    command.args(["--fault", fault, "--endpoint", endpoint, "--root"]).arg(root);
    Process::spawn(FAULTY_DRIVER, &mut command)
}
