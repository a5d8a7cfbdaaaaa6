//! kill -9 of a worker, of the driver, and of both, in the middle of a commit: what was acknowledged is there, nothing is there
//! by half, and the client goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::old_store::{OldStore, Python, workers};
use longshore_end_to_end::writer::patiently;
use longshore_end_to_end::{Random, figure, sha256};
use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

const REPOSITORY: &str = "team/app";
const KILLS: usize = 24;
const BLOB: usize = 48 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_a_commit_lose_nothing_that_was_acknowledged_under_python_3() {
    kills(&crate::python3(), "legacy kills, Python 3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_a_commit_lose_nothing_that_was_acknowledged_under_python_2() {
    let test = "kills_in_the_middle_of_a_commit_lose_nothing_that_was_acknowledged_under_python_2";
    let Some(python) = Python::Two.of_test(test) else { return };
    kills(&python, "legacy kills, Python 2").await;
}

async fn kills(python: &Path, name: &str) {
    let mut random = Random::announced(name);
    let store = OldStore::of_files(python);
    let mut driver = store.driver("driver");
    let core = driver.core("").await;
    let client = core.client();
    let (mut acknowledged, mut inside) = (Vec::new(), 0);
    for number in 0..KILLS {
        let small = Bytes::from(random.bytes(10_000));
        acknowledged.push(patiently(|| client.push_blob(REPOSITORY, small.clone())).await);
        let blob = Bytes::from(random.bytes(BLOB));
        let digest = sha256(&blob);
        let location = client.start_upload(REPOSITORY).await.expect("POST");
        let (location, _) = client.patch(&location, 0, blob).await.expect("PATCH");
        let commit = tokio::spawn({
            let (client, location, digest) = (core.client(), location.clone(), digest.clone());
            async move { client.finish_upload(&location, &digest).await }
        });
        await_intent(&store).await;
        tokio::time::sleep(Duration::from_millis(random.between(0, 60))).await;
        inside += usize::from(!commit.is_finished());
        if number % 3 != 1 {
            for worker in workers(&driver) {
                let worker = i32::try_from(worker).ok().and_then(Pid::from_raw).expect("a process");
                // One that nobody needs may have ended since it was listed.
                let _ended = kill_process(worker, Signal::KILL);
            }
        }
        if number % 3 != 0 {
            driver.kill();
            driver.start();
        }
        let _whatever_it_came_to = commit.await;
        // A client repeats the PUT that was not answered.
        let finished = patiently(|| client.finish_upload(&location, &digest));
        tokio::time::timeout(PATIENCE, finished).await.expect("the end of the upload");
        acknowledged.push(digest);
    }
    figure!("{name}: {inside} of {KILLS} before the commit was answered");
    assert!(inside >= KILLS / 2, "only {inside} kills hit a commit");
    for digest in &acknowledged {
        let pulled = patiently(|| client.get_blob(REPOSITORY, digest)).await;
        assert_eq!(sha256(&pulled), *digest);
    }
    await_no_intent(&store).await;
}

fn intents(store: &OldStore) -> usize {
    std::fs::read_dir(store.spool().join(".driver/intents")).expect("the intents").count()
}

/// The commit is under way, or over already.
async fn await_intent(store: &OldStore) {
    let begin = Instant::now();
    while intents(store) == 0 && begin.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What was left half done is finished or undone.
async fn await_no_intent(store: &OldStore) {
    let begin = Instant::now();
    while intents(store) > 0 {
        assert!(begin.elapsed() < PATIENCE, "{} intents are left", intents(store));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
