//! `cargo xtask run --storage swift`: one command for Swift, the driver and the core, and one end.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest};
use longshore_end_to_end::process::pid;
use longshore_end_to_end::{Client, Process, figures, scratch};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::REPOSITORY;

const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_runs_a_registry_over_swift_and_ends_all_of_it() {
    let data = scratch::data_directory();
    let (mut first, client) = run(data.path());
    let config = client.push_blob(REPOSITORY, "{}").await.expect("push a configuration");
    let manifest = image_manifest((&config, 2), &[]);
    client.put_manifest(REPOSITORY, "1", OCI_MANIFEST, manifest.clone()).await.expect("push a manifest");
    let family = family(first.id());
    let programs: Vec<_> = family.iter().filter_map(|process| figures::program(*process)).collect();
    for program in ["longshore", "longshore-driver-swift"] {
        assert!(programs.iter().any(|name| name == program), "{program} is not among {programs:?}");
    }
    assert_eq!(swifts(&family).len(), 4, "{programs:?}");
    assert!(first.terminate(STOP).success(), "{}", first.log());
    assert!(all_ended(&family), "{programs:?}");

    // What was pushed is there again.
    let (mut second, client) = run(data.path());
    assert_eq!(client.get_manifest(REPOSITORY, "1").await.expect("pull"), manifest);
    let family = self::family(second.id());
    let server = pidfd_open(pid(swifts(&family)[0]), PidfdFlags::empty()).expect("a handle");
    pidfd_send_signal(&server, Signal::KILL).expect("kill a Swift server");
    assert!(!second.wait(STOP).success(), "it says nothing of Swift's end\n{}", second.log());
    assert!(second.log_contains("Swift ended by itself"), "{}", second.log());
    assert!(all_ended(&family));
}

/// Proxy, object, container and account server are programs in Python.
fn swifts(family: &[u32]) -> Vec<u32> {
    let is_python =
        |process: &&u32| figures::program(**process).is_some_and(|name| name.starts_with("python"));
    family.iter().filter(is_python).copied().collect()
}

/// The program as it is after `cargo build`, which has run already.
fn run(data: &Path) -> (Process, Client) {
    let mut command = Command::new(scratch::binary("xtask"));
    command
        .args(["run", "--storage", "swift", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env("CARGO", "true");
    let process = Process::spawn("xtask", &mut command);
    let line = process.await_line("listening on http://", START);
    let (_, address) = line.split_once("listening on ").expect("an address");
    let address = address.split(|c: char| c.is_whitespace() || c == '"').next().expect("an address");
    let client = Client::new(address);
    (process, client)
}

/// All that descends from it.
fn family(process: u32) -> Vec<u32> {
    let children = figures::children(process);
    let below: Vec<u32> = children.iter().flat_map(|child| family(*child)).collect();
    children.into_iter().chain(below).collect()
}

/// They were waited for, so that nothing of them is left.
fn all_ended(processes: &[u32]) -> bool {
    processes.iter().all(|process| figures::program(*process).is_none())
}
