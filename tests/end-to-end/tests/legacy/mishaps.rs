//! What may happen around an old driver: clients that go away in the middle of a call, workers that are killed, a disk that is not
//! mounted yet, a backend that is down for long, and listings meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_driver_sdk::client::{Deadlines, RemoteDriver};
use longshore_driver_sdk::{Driver as _, KeyPrefix, ListQuery, ReadRange, Reason};
use longshore_end_to_end::old_store::{OldStore, workers};
use longshore_end_to_end::process;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

use crate::{Bad, PATIENCE, get, key, put, python3, read, says, upload};

const UNUSABLE: &str = "the store can't be used yet";

/// What it had begun ends before anybody else's turn comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_whose_client_went_away_does_not_come_after_a_later_one() {
    let bad = Bad::start("slow", &["config.delay=0.6", "config.calls=put_content"]).await;
    for number in 0..3 {
        let (one, two) = (Bytes::from(vec![1; 300_000]), Bytes::from(vec![2; 200_000]));
        bad.store.turn_bad();
        let gone = timeout(Duration::from_millis(200), put(&bad.remote, "a/b", one)).await;
        assert!(gone.is_err(), "{gone:?}");
        bad.store.turn_good();
        put(&bad.remote, "a/b", two.clone()).await.expect("a put");
        sleep(Duration::from_secs(1)).await;
        assert!(get(&bad.remote, "a/b").await.expect("a get") == two, "{number}: the first put came last");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_whose_client_went_away_takes_no_later_put_along() {
    let bad = Bad::start("slow", &["config.delay=0.6", "config.calls=remove"]).await;
    put(&bad.remote, "a/b", "one").await.expect("a put");
    bad.store.turn_bad();
    let gone = timeout(Duration::from_millis(200), bad.remote.delete(&key("a/b"), None)).await;
    assert!(gone.is_err(), "{gone:?}");
    put(&bad.remote, "a/b", "two").await.expect("a put");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(get(&bad.remote, "a/b").await.expect("a get"), "two");
}

/// What the first one left half written is not taken for an object because a second one did not even begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_comes_to_nothing_spares_what_was_promised_to_the_one_before() {
    let bad = Bad::start("dies", &["config.how=kill", "config.after=1000", "config.calls=put_content"]).await;
    let one = Bytes::from(vec![1; 300_000]);
    bad.store.turn_bad();
    let error = put(&bad.remote, "a/b", one.clone()).await.expect_err("its worker dies");
    says(&error, &["`dies`", "ended in put"]);
    let alive = bad.store.root().join(".driver/alive");
    let aside = bad.store.root().with_extension("alive");
    fs::rename(&alive, &aside).expect("the backend seems emptied");
    bad.store.turn_good();
    put(&bad.remote, "a/b", "two").await.expect_err("nothing is written to what may be another backend");
    fs::rename(&aside, &alive).expect("it is back");
    assert!(get(&bad.remote, "a/b").await.expect("a get") == one, "a part of it is served");
}

/// Pages of every size go on behind a key that is not there yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_goes_on_behind_what_is_being_written() {
    let bad = Bad::start("slow", &["listing=current", "config.delay=1", "config.calls=stream_write"]).await;
    let names: BTreeSet<_> = (0..7).map(|number| format!("x/{number}")).collect();
    for name in &names {
        put(&bad.remote, name, "content").await.expect("a put");
    }
    bad.store.turn_bad();
    let content = Bytes::from(vec![7; 6 << 20]);
    let writing = tokio::spawn({
        let remote = bad.remote.clone();
        async move { upload(&remote, "x/5+", &content).await }
    });
    let begin = Instant::now();
    while !bad.store.root().join("x/5+").exists() {
        assert!(begin.elapsed() < PATIENCE, "the write does not begin");
        sleep(Duration::from_millis(10)).await;
    }
    for limit in 1..=names.len() {
        assert_eq!(listed(&bad.remote, limit).await, names, "pages of {limit}");
    }
    assert!(!writing.is_finished(), "the test is too slow");
    writing.await.expect("no panic").expect("an upload");
    assert_eq!(listed(&bad.remote, 3).await.len(), names.len() + 1);
}

/// Longer than a commit may take in silence: a private cloud of old need not be fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_waited_for_as_long_as_the_old_driver_takes_bytes() {
    let bad = Bad::start("slow", &["config.delay=0.7", "config.calls=stream_write"]).await;
    let deadlines = Deadlines { commit: Duration::from_secs(4), ..Deadlines::default() };
    let remote = bad.driver.dialled_with(deadlines.clone()).await;
    let content = Bytes::from(vec![7; 8 << 20]);
    bad.store.turn_bad();
    let begin = Instant::now();
    upload(&remote, "a/b", &content).await.expect("an upload");
    let took = begin.elapsed();
    assert!(took > deadlines.commit, "the old driver was not slow: {took:?}");
    bad.store.turn_good();
    assert!(read(&remote, "a/b", ReadRange::default()).await.expect("a read") == content);
}

async fn listed(remote: &RemoteDriver, limit: usize) -> BTreeSet<String> {
    let (mut found, mut start_after) = (BTreeSet::new(), String::new());
    loop {
        let prefix = KeyPrefix::parse("x/").expect("a prefix");
        let query = ListQuery { prefix, recursive: false, start_after, limit };
        let page = remote.list(&query).await.expect("a page");
        found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
        match page.entries.last().filter(|_| page.more) {
            Some(last) => start_after = last.name().to_owned(),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_takes_along_what_it_forked() {
    let bad = Bad::start("forks", &["config.seconds=600"]).await;
    bad.store.turn_bad();
    put(&bad.remote, "a", "content").await.expect("a put");
    let killed = workers(&bad.driver);
    assert!(!killed.is_empty());
    for worker in &killed {
        let leader = i32::try_from(*worker).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(leader, Signal::KILL).expect("kill -9");
    }
    bad.store.turn_good();
    let begin = Instant::now();
    for group in killed {
        while process::group_exists(group) {
            assert!(begin.elapsed() < PATIENCE, "a fork of worker {group} lives on");
            assert_eq!(get(&bad.remote, "a").await.expect("another worker"), "content");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Tried again each second, with the worker that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_down_for_long_takes_no_more_and_more_workers() {
    let store = OldStore::of_bad("down", &python3(), &[]);
    store.turn_bad();
    let mut driver = store.new_driver("driver", &[]);
    driver.spawn();
    driver.await_line(UNUSABLE);
    sleep(Duration::from_secs(5)).await;
    let count = workers(&driver).len();
    assert!(count <= 2, "{count} workers");
    store.turn_good();
    driver.await_line("this is what the old driver can do");
}

/// The driver `file` would write to the place where the disk is to be, and what was left half done would count as undone there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_not_mounted_yet_is_waited_for() {
    let store = OldStore::of_files(&python3());
    let mut driver = store.driver("driver");
    let remote = driver.dialled().await;
    put(&remote, "a/b", "content").await.expect("a put");
    driver.kill();
    let elsewhere = store.root().with_extension("unmounted");
    fs::rename(store.root(), &elsewhere).expect("unmount");
    fs::create_dir(store.root()).expect("where it is to be mounted");
    driver.spawn();
    let line = driver.await_line(".driver/alive, which was there, is not found");
    assert!(line.contains(UNUSABLE) && line.contains("not mounted"), "{line}");
    let left = fs::read_dir(store.root()).expect("the directory").count();
    assert_eq!(left, 0, "something was written to it");
    fs::remove_dir(store.root()).expect("nothing is in it");
    fs::rename(&elsewhere, store.root()).expect("mount");
    driver.await_line("this is what the old driver can do");
    assert_eq!(get(&driver.dialled().await, "a/b").await.expect("a get"), "content");
}

/// Where nothing is written, any object has to do, and somebody else may remove it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absence_is_believed_again_when_the_object_that_stood_for_the_store_went() {
    let store = OldStore::of_files(&python3());
    for name in ["a", "b"] {
        fs::write(store.root().join(name), "content").expect("a file");
    }
    let mut driver = store.new_reader_at("driver", &store.root());
    driver.start();
    let remote = driver.dialled().await;
    let reason = async |name| remote.stat(&key(name)).await.map_err(|error| error.reason());
    assert_eq!(reason("never").await.expect_err("absent"), Reason::KeyNotFound);
    fs::remove_file(store.root().join("a")).expect("somebody removes it");
    let begin = Instant::now();
    while reason("never").await.expect_err("absent") != Reason::KeyNotFound {
        assert!(begin.elapsed() < PATIENCE, "nothing is believed any more");
        sleep(Duration::from_millis(300)).await;
    }
    reason("b").await.expect("it is still there");
}
