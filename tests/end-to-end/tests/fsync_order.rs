//! What the driver does before every 201 and 202, watched by strace: bytes, fsync of the file, its name, fsync of
//! every directory that got an entry, and only then the answer. The checker itself is checked: it must find
//! what is missing when fsyncs are taken out of the log, and when the driver makes none.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, expect, image_manifest, location, manifest_path};
use longshore_end_to_end::registry::Storage;
use longshore_end_to_end::strace_log::{Ack, Call, History, TRACED, Verdict, parse};
use longshore_end_to_end::{Client, Process, Random, Registry, figure, scratch, sha256};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;

const ROUNDS: usize = 40;

/// What strace saw of one driver, and what the client was told meanwhile.
struct Trace {
    calls: Vec<Call>,
    acks: Vec<Ack>,
    store: String,
    existing: Vec<String>,
    directories: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_durable_before_it_is_acknowledged() {
    let trace = trace_pushes("durability=stable", ROUNDS).await;
    let verdict = trace.check(|_| true);
    let counts = (trace.acks.len(), verdict.with_changes, verdict.fsyncs);
    figure!(
        "fsync order: {} acknowledgements, {} after changes of the store, {} fsyncs",
        counts.0,
        counts.1,
        counts.2
    );
    assert!(verdict.violations.is_empty(), "{}", first(&verdict.violations));
    assert_eq!(verdict.checked, trace.acks.len());
    assert_eq!(verdict.with_changes, trace.acks.len(), "an acknowledgement without any change was traced");

    let is_directory =
        |call: &Call| trace.directories.iter().any(|path| call.arguments.contains(&format!("<{path}>")));
    let no_directories = trace.check(|call| !(is_sync(call) && is_directory(call)));
    let no_files = trace.check(|call| !is_sync(call) || is_directory(call));
    figure!(
        "fsync order: without the fsyncs of directories {} violations, without those of files {}",
        no_directories.violations.len(),
        no_files.violations.len()
    );
    assert!(no_directories.violations.len() >= ROUNDS, "missing fsyncs of directories go unseen");
    assert!(no_files.violations.len() >= ROUNDS, "missing fsyncs of files go unseen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_sees_that_a_driver_without_fsyncs_acknowledges_too_early() {
    let trace = trace_pushes("durability=os", 3).await;
    let verdict = trace.check(|_| true);
    figure!(
        "fsync order: durability=os: {} violations in {} acknowledgements",
        verdict.violations.len(),
        verdict.checked
    );
    assert!(verdict.violations.len() >= trace.acks.len() / 2, "{}", first(&verdict.violations));
}

fn first(violations: &[String]) -> String {
    format!(
        "{} violations, at first:\n{}",
        violations.len(),
        violations[..violations.len().min(10)].join("\n")
    )
}

impl Trace {
    fn check(&self, keep: impl Fn(&Call) -> bool) -> Verdict {
        let calls: Vec<Call> = self.calls.iter().filter(|call| keep(call)).cloned().collect();
        History::new(&self.store, self.existing.iter().cloned()).check(&calls, &self.acks)
    }
}

fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync" | "syncfs")
}

async fn trace_pushes(durability: &str, rounds: usize) -> Trace {
    let mut random = Random::announced("fsync order");
    let registry = Registry::start_storages(vec![Storage::default_one().setting(durability)]).await;
    let store = registry.store().canonicalize().expect("the store");
    let logs = scratch::data_directory();
    let log = logs.path().join("strace.log");
    let existing = paths_below(&store);
    let mut strace = attach_strace(registry.driver_pid(), &log);
    let mut acks = Vec::new();
    for round in 0..rounds {
        push_round(&registry.client(), &mut random, round, &mut acks).await;
    }
    // Detaches and writes the rest of its log.
    strace.signal(Signal::INT);
    strace.wait(Duration::from_secs(10));
    let text = fs::read_to_string(&log).expect("the log of strace");
    let directories = paths_below(&store).into_iter().filter(|path| Path::new(path).is_dir()).collect();
    let store = store.display().to_string();
    Trace { calls: parse(&text), acks, store, existing, directories }
}

fn attach_strace(driver: u32, log: &Path) -> Process {
    let mut command = Command::new(scratch::tool("strace", "strace"));
    command.args(["-f", "-ttt", "-y", "-s", "0", "-e", TRACED, "-o"]).arg(log);
    command.args(["-p", &driver.to_string()]);
    let strace = Process::spawn("strace", &mut command);
    strace.await_line("attached", Duration::from_secs(10));
    strace
}

/// One after the other, so that whatever changed before an answer belongs to that answer.
async fn push_round(client: &Client, random: &mut Random, round: usize, acks: &mut Vec<Ack>) {
    let repository = format!("order/r{}", round % 7);
    let length = usize::try_from(random.between(1_000, 600_000)).expect("a small size");
    let content = Bytes::from(random.bytes(length));
    let digest = sha256(&content);
    let half = length / 2;

    let upload = client.start_upload(&repository).await.expect("POST");
    acknowledged(acks, "POST 202", false);
    let (upload, durable) = client.patch(&upload, 0, content.slice(..half)).await.expect("PATCH");
    acknowledged(acks, "PATCH 202", false);
    let upload = if durable < length as u64 {
        let rest = content.slice(usize::try_from(durable).expect("a small size")..);
        let (upload, _) = client.patch(&upload, durable, rest).await.expect("PATCH");
        acknowledged(acks, "second PATCH 202", false);
        upload
    } else {
        upload
    };
    client.finish_upload(&upload, &digest).await.expect("PUT");
    acknowledged(acks, "PUT blob 201", false);

    let small = Bytes::from(random.bytes(100));
    let path = format!("/v2/{repository}/blobs/uploads/?digest={}", sha256(&small));
    let response = client.request(Method::POST, &path).body(small).send().await.expect("POST");
    location(&expect(StatusCode::CREATED, "POST whole blob", response).await.expect("201"))
        .expect("a location");
    acknowledged(acks, "POST blob 201", false);

    let path = format!("/v2/order/mounted/blobs/uploads/?mount={digest}&from={repository}");
    let response = client.request(Method::POST, &path).send().await.expect("mount");
    expect(StatusCode::CREATED, "mount", response).await.expect("201");
    acknowledged(acks, "mount 201", false);

    let size = length as u64;
    let manifest = image_manifest((&digest, size), &[(&digest, size)]);
    let manifest_digest = sha256(&manifest);
    client
        .put_manifest(&repository, &format!("t{}", round % 3), OCI_MANIFEST, manifest)
        .await
        .expect("manifest");
    acknowledged(acks, "PUT manifest 201", false);
    if round % 4 == 3 {
        let path = manifest_path(&repository, &manifest_digest);
        let response = client.request(Method::DELETE, &path).send().await.expect("DELETE");
        expect(StatusCode::ACCEPTED, "DELETE manifest", response).await.expect("202");
        acknowledged(acks, "DELETE manifest 202", true);
    }
}

fn acknowledged(acks: &mut Vec<Ack>, what: &str, removes: bool) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    acks.push(Ack { what: format!("#{} {what}", acks.len()), at: now.as_secs_f64(), removes });
}

/// Every file and directory below, as strace prints their paths.
fn paths_below(directory: &Path) -> Vec<String> {
    let mut found = vec![directory.display().to_string()];
    for entry in fs::read_dir(directory).expect("a directory of the store").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(paths_below(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}
