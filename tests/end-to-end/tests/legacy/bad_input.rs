//! What an old driver may do, and what is told of it: each names the driver, the call, and the last line of its traceback. Nothing
//! is lost, and the core and other storages go on.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use longshore_driver_sdk::{Driver as _, KeyPrefix, ListQuery, Reason};
use longshore_end_to_end::old_store::{OldStore, workers};
use longshore_end_to_end::{Registry, process};

use crate::{Bad, PATIENCE, get, key, put, python3, read, says, upload};

/// In the log while the old driver can't be used.
const UNUSABLE: &str = "the store can't be used yet";

/// What is told of an old driver that never works.
fn is_unusable(name: &str, settings: &[&str], texts: &[&str]) {
    let store = OldStore::of_bad(name, &python3(), settings);
    let mut driver = store.new_driver("driver", &[]);
    driver.spawn();
    let line = driver.await_line(UNUSABLE);
    for text in texts {
        assert!(line.contains(text), "{text:?} is not in {line}");
    }
}

#[test]
fn raises_at_import() {
    is_unusable(
        "raises_at_import",
        &[],
        &["raises_at_import", "ValueError: this driver does not like to be imported"],
    );
}

#[test]
fn needs_a_module_that_is_not_there() {
    is_unusable("missing_module", &[], &["missing_module", "an_sdk_that_is_not_there"]);
}

#[test]
fn is_not_there() {
    is_unusable("nowhere", &[], &["nowhere", "file", "dumb"]);
}

#[test]
fn has_no_class_of_the_right_name() {
    is_unusable("no_storage", &[], &["no_storage", "Storage"]);
}

#[test]
fn raises_at_construction() {
    is_unusable("raises_at_construction", &[], &["raises_at_construction", "KeyError: 'bucket'"]);
}

#[test]
fn exits_at_construction() {
    let settings = ["config.raise=SystemExit"];
    is_unusable("raises_at_construction", &settings, &["SystemExit: no bucket is configured"]);
}

#[test]
fn answers_none_to_everything() {
    is_unusable("nothing", &[], &["nothing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raises_anything_at_a_call() {
    for (raised, said) in [
        ("SystemExit", "SystemExit"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("MemoryError", "MemoryError"),
        ("Custom", "Custom"),
        ("TypeError", "TypeError"),
    ] {
        let raise = format!("config.raise={raised}");
        let bad = Bad::start("raises", &[&raise, "config.calls=get_content"]).await;
        put(&bad.remote, "a/b", "content").await.expect("a put while it is good");
        bad.store.turn_bad();
        let error = get(&bad.remote, "a/b").await.expect_err("an error");
        says(&error, &["`raises`", "get_content", said]);
        assert!(!error.message().contains('\u{1b}'), "{error}");
        bad.store.turn_good();
        assert_eq!(get(&bad.remote, "a/b").await.expect("the old bytes"), "content");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prints() {
    let bad = Bad::start("prints", &[]).await;
    bad.store.turn_bad();
    let content = Bytes::from(vec![7; 6 << 20]);
    put(&bad.remote, "a/small", "content").await.expect("a put");
    upload(&bad.remote, "a/large", &content).await.expect("an upload");
    assert_eq!(get(&bad.remote, "a/small").await.expect("a get"), "content");
    assert_eq!(read(&bad.remote, "a/large", Default::default()).await.expect("a read"), content);
    for noise in ["noise at import", "noise by print in", "noise by write in", "noise by sys.__stdout__"] {
        bad.driver.await_line(noise);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forks() {
    let bad = Bad::start("forks", &["config.seconds=600"]).await;
    bad.store.turn_bad();
    put(&bad.remote, "a", "content").await.expect("a put");
    assert_eq!(get(&bad.remote, "a").await.expect("a get"), "content");
    let groups = workers(&bad.driver);
    assert!(!groups.is_empty());
    drop(bad);
    for group in groups {
        let begin = Instant::now();
        while process::group_exists(group) {
            assert!(begin.elapsed() < PATIENCE, "a fork of worker {group} outlives the driver");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaks_descriptors() {
    let bad = Bad::start("leaks", &["workers=1"]).await;
    bad.store.turn_bad();
    put(&bad.remote, "a", "content").await.expect("a put");
    // A process has a thousand descriptors as a rule, and a get leaks some.
    for number in 0..1500 {
        let content = get(&bad.remote, "a").await.unwrap_or_else(|error| panic!("get {number}: {error}"));
        assert_eq!(content, "content");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hangs() {
    for how in ["sleep", "spin", "gil"] {
        let how = format!("config.how={how}");
        let bad = Bad::start("hangs", &[&how, "config.calls=get_content", "timeout=1"]).await;
        put(&bad.remote, "a", "content").await.expect("a put");
        let before = workers(&bad.driver);
        bad.store.turn_bad();
        let begin = Instant::now();
        let error = get(&bad.remote, "a").await.expect_err("it hangs");
        assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
        assert_eq!(error.reason(), Reason::Timeout, "{error}");
        says(&error, &["`hangs`", "get", "gave no sign"]);
        bad.store.turn_good();
        assert_eq!(get(&bad.remote, "a").await.expect("another worker"), "content");
        let after = workers(&bad.driver);
        assert!(before.iter().any(|worker| !after.contains(worker)), "{before:?} {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_text_for_bytes() {
    let bad = Bad::start("text", &["config.calls=get_content"]).await;
    put(&bad.remote, "a", "content").await.expect("a put");
    bad.store.turn_bad();
    let error = get(&bad.remote, "a").await.expect_err("an error");
    assert_eq!(error.reason(), Reason::DriverBug, "{error}");
    says(&error, &["`text`", "get_content"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_unsorted_twice_and_with_its_root() {
    let bad = Bad::start("untidy", &["listing=current"]).await;
    for name in ["x/b", "x/a", "x/c/d", "x/a-b", "x/a0"] {
        put(&bad.remote, name, name).await.expect("a put");
    }
    bad.store.turn_bad();
    for (recursive, expected) in
        [(false, ["x/a", "x/a-b", "x/a0", "x/b", "x/c/"]), (true, ["x/a", "x/a-b", "x/a0", "x/b", "x/c/d"])]
    {
        let prefix = KeyPrefix::parse("x/").expect("a prefix");
        let query = ListQuery { prefix, recursive, start_after: String::new(), limit: 100 };
        let page = bad.remote.list(&query).await.expect("a page");
        let names: Vec<_> = page.entries.iter().map(|entry| entry.name().to_owned()).collect();
        assert_eq!(names, expected);
        assert!(!page.more);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_without_end() {
    let bad = Bad::start("endless", &["max_names=5000"]).await;
    put(&bad.remote, "x/a", "a").await.expect("a put");
    bad.store.turn_bad();
    let prefix = KeyPrefix::parse("x/").expect("a prefix");
    let query = ListQuery { prefix, recursive: false, start_after: String::new(), limit: 10 };
    let error = bad.remote.list(&query).await.expect_err("an error");
    says(&error, &["`endless`", "list_directory", "5000"]);
    bad.store.turn_good();
    assert_eq!(get(&bad.remote, "x/a").await.expect("a get"), "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_fewer_bytes_than_there_are() {
    let bad = Bad::start("short", &[]).await;
    let content = Bytes::from(vec![7; 6 << 20]);
    put(&bad.remote, "a", "content").await.expect("a put");
    upload(&bad.remote, "b", &content).await.expect("an upload");
    bad.store.turn_bad();
    let error = get(&bad.remote, "a").await.expect_err("a short get");
    assert_eq!(error.reason(), Reason::ShortObject, "{error}");
    says(&error, &["`short`", "get_content", "6 bytes", "7"]);
    read(&bad.remote, "b", Default::default()).await.expect_err("a short read never ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_an_interpreter_that_is_not_there_yet() {
    let store = OldStore::of("file", std::path::Path::new("/nowhere/bin/python"), &[]);
    let mut driver = store.new_driver("driver", &[]);
    driver.spawn();
    let line = driver.await_line(UNUSABLE);
    assert!(line.contains("/nowhere/bin/python"), "{line}");
    drop((driver, store));

    let place = tempfile::tempdir().expect("a directory");
    let python = place.path().join("python");
    let store = OldStore::of("file", &python, &[]);
    let mut driver = store.new_driver("driver", &[]);
    driver.spawn();
    driver.await_line(UNUSABLE);
    // The virtualenv is mounted at last.
    std::fs::write(&python, format!("#!/bin/sh\nexec {} \"$@\"\n", python3().display())).expect("a script");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    driver.await_line("this is what the old driver can do");
    driver.init();
    let remote = driver.dialled().await;
    put(&remote, "a", "content").await.expect("a put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_two_workers_that_write_one_key() {
    let bad = Bad::start("slow", &["config.delay=0.02"]).await;
    bad.store.turn_bad();
    let contents: Vec<_> =
        (0..16_u8).map(|number| Bytes::from(vec![number; 300_000 + usize::from(number)])).collect();
    let puts = contents.iter().map(|content| put(&bad.remote, "a", content.clone()));
    for outcome in join_all(puts).await {
        outcome.expect("a put");
    }
    let found = get(&bad.remote, "a").await.expect("a get");
    assert!(contents.contains(&found), "{} bytes of several", found.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_a_backend_that_is_down() {
    let bad = Bad::start("down", &[]).await;
    put(&bad.remote, "a", "content").await.expect("a put");
    bad.store.turn_bad();
    for name in ["a", "never"] {
        let error = bad.remote.stat(&key(name)).await.expect_err("an error");
        assert_eq!(error.reason(), Reason::BackendUnavailable, "{error}");
        let error = get(&bad.remote, name).await.expect_err("an error");
        assert_eq!(error.reason(), Reason::BackendUnavailable, "{error}");
        says(&error, &["`down`"]);
    }
    let error = bad.remote.delete(&key("a"), None).await.expect_err("an error");
    assert_eq!(error.reason(), Reason::BackendUnavailable, "{error}");
    bad.store.turn_good();
    let begin = Instant::now();
    let found = loop {
        // The core's end of the connection waits for a while before it tries again.
        match get(&bad.remote, "a").await {
            Err(error) if error.is_transient() && begin.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => break other,
        }
    };
    assert_eq!(found.expect("a get"), "content");
    let absent = bad.remote.stat(&key("never")).await.expect_err("absent");
    assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_in_the_middle_of_a_write_and_of_a_read() {
    for how in ["kill", "exit"] {
        let how = format!("config.how={how}");
        let bad = Bad::start("dies", &[&how, "config.after=2000000"]).await;
        let content = Bytes::from(vec![7; 6 << 20]);
        bad.store.turn_bad();
        let error = upload(&bad.remote, "a", &content).await.expect_err("its worker dies");
        says(&error, &["`dies`", "ended"]);
        let absent = bad.remote.stat(&key("a")).await.expect_err("no half of it is shown");
        assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
        bad.store.turn_good();
        upload(&bad.remote, "a", &content).await.expect("an upload");
        assert_eq!(read(&bad.remote, "a", Default::default()).await.expect("a read"), content);
        bad.store.turn_bad();
        read(&bad.remote, "a", Default::default()).await.expect_err("its worker dies");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_other_storages_alone() {
    let bad = Bad::start("hangs", &["timeout=1"]).await;
    let good = OldStore::of_files(&python3());
    let beside = good.driver("driver");
    let registry = Registry::start_over(&format!(
        "[storage.main]\nendpoint = \"{}\"\n[storage.old]\nendpoint = \"{}\"\nprefixes = [\"old\"]\n",
        beside.endpoint(),
        bad.driver.endpoint(),
    ))
    .await;
    let client = registry.client();
    client.push_blob("old/app", "before").await.expect("a push while it is good");
    bad.store.turn_bad();
    let begin = Instant::now();
    client.push_blob("old/app", "while it hangs").await.expect_err("it hangs");
    let digest = client.push_blob("new/app", "meanwhile").await.expect("a push to the other storage");
    assert_eq!(client.get_blob("new/app", &digest).await.expect("a pull"), "meanwhile");
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    bad.store.turn_good();
    registry.await_repository("old/app", PATIENCE).await;
    client.push_blob("old/app", "after").await.expect("a push when it is good again");
}

/// What no key can name is not shown, and breaks no listing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let store = OldStore::of_files(&python3());
    let driver = store.driver("driver");
    let remote = driver.dialled().await;
    put(&remote, "x/a", "a").await.expect("a put");
    for name in [&b"\xff\xfe"[..], b"a b", "é".as_bytes(), b"a%2Fb", b"line\nbreak"] {
        let path = store.root().join("x").join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(path, "foreign").expect("a file");
    }
    let prefix = KeyPrefix::parse("x/").expect("a prefix");
    let query = ListQuery { prefix, recursive: true, start_after: String::new(), limit: 10 };
    let page = remote.list(&query).await.expect("a page");
    let names: Vec<_> = page.entries.iter().map(|entry| entry.name().to_owned()).collect();
    assert_eq!(names, ["x/a"]);
}

/// The backend is down when the driver starts, and comes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn has_a_backend_that_comes_up_late() {
    let store = OldStore::of_bad("raises", &python3(), &["config.raise=timeout"]);
    store.turn_bad();
    let mut driver = store.new_driver("driver", &[]);
    driver.spawn();
    let line = driver.await_line(UNUSABLE);
    assert!(line.contains("`raises`") && line.contains("timed out"), "{line}");
    store.turn_good();
    driver.await_line("this is what the old driver can do");
}
