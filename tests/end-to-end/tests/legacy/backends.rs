//! Unmodified drivers whose backend is a real server, looked at from both sides: what is written through the socket lies there,
//! what lies there is read and listed, however many pages a server makes of it, and a server that is away makes nothing absent.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_driver_sdk::client::RemoteDriver;
use longshore_driver_sdk::{Driver as _, KeyPrefix, ListQuery, ReadRange, Reason};
use longshore_end_to_end::Random;
use longshore_end_to_end::old_store::{OldStore, Python, s3_settings, swift_settings};
use longshore_end_to_end::servers::{Flavour, Implementation, S3Server, SwiftServer};
use reqwest::Method;

use crate::{PATIENCE, get, key, put, python3, read, upload};

/// What stands before a key of the core's, as `storage_path` did.
const ROOT: &str = "registry/";
/// More than the parts of 10 MiB that the driver s3 makes of an object by itself.
const LARGE: usize = 24 << 20;
/// S3 gives at most 1,000 names at a time.
const NAMES_OF_S3: usize = 1_105;
/// Swift gives 10,000, and with those the old driver was content.
const NAMES_OF_SWIFT: usize = 10_005;
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_and_lists_what_there_is_under_python_3() {
    s3_keeps_and_lists_what_there_is(&python3()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_and_lists_what_there_is_under_python_2() {
    let test = "s3_keeps_and_lists_what_there_is_under_python_2";
    let Some(python) = Python::Two.of_test(test) else { return };
    s3_keeps_and_lists_what_there_is(&python).await;
}

async fn s3_keeps_and_lists_what_there_is(python: &Path) {
    let mut server = S3Server::start(Implementation::Rgw).await;
    let store = OldStore::of_server("s3", python, &s3_settings(&server));
    let driver = store.driver("driver");
    let remote = driver.dialled().await;
    for (name, content) in writes(&remote, "s3").await {
        let lies = server.get(&format!("{ROOT}{name}")).await.expect("the server has it");
        assert_eq!(lies, content, "{name}");
    }
    assert!(remote.delete(&key("a/small"), None).await.expect("a delete"));
    assert_eq!(server.keys(&format!("{ROOT}a/")).await, [format!("{ROOT}a/large")]);

    let names = names(NAMES_OF_S3);
    at_once(&names, async |name| server.put(&format!("{ROOT}{name}"), name.to_owned()).await).await;
    lists(&remote, &names).await;

    server.stop();
    is_away(&remote).await;
    server.start_again().await;
    is_back(&remote, names.first().expect("a name")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swift_lists_more_names_than_one_answer_has() {
    let mut server = SwiftServer::start(Flavour::SwiftTempauth).await;
    let store = OldStore::of_server("swift", &python3(), &swift_settings(&server));
    let driver = store.driver("driver");
    let remote = driver.dialled().await;
    for (name, content) in writes(&remote, "swift").await {
        let lies = server.get(&format!("{ROOT}{name}")).await.expect("the server has it");
        assert_eq!(lies, content, "{name}");
    }

    let names = names(NAMES_OF_SWIFT);
    at_once(&names, async |name| put_patiently(&server, name).await).await;
    lists(&remote, &names).await;

    server.stop();
    is_away(&remote).await;
    server.start_again().await;
    is_back(&remote, names.first().expect("a name")).await;
}

/// A Swift of one process on a busy machine does not take every one of thousands.
async fn put_patiently(server: &SwiftServer, name: &str) {
    let (begin, target) = (Instant::now(), format!("/{}/{ROOT}{name}", server.container()));
    loop {
        let status = server.send(Method::PUT, &target, Bytes::from(name.to_owned())).await.status();
        if status.is_success() {
            return;
        }
        assert!(status.is_server_error() && begin.elapsed() < PATIENCE, "PUT {target}: {status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Of one folder.
fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("names/{number:05}")).collect()
}

async fn at_once(names: &BTreeSet<String>, put: impl AsyncFn(&str)) {
    let put = &put;
    stream::iter(names).for_each_concurrent(AT_ONCE, |name| put(name)).await;
}

/// Gives what is to be there now.
async fn writes(remote: &RemoteDriver, name: &str) -> [(&'static str, Bytes); 2] {
    assert!(remote.description().capabilities.range_read, "{name} reads from the beginning");
    let mut random = Random::announced(name);
    let (small, large) = (Bytes::from(random.bytes(10_000)), Bytes::from(random.bytes(LARGE)));
    put(remote, "a/small", "of before").await.expect("a put");
    put(remote, "a/small", small.clone()).await.expect("a put over it");
    upload(remote, "a/large", &large).await.expect("an upload");
    assert_eq!(get(remote, "a/small").await.expect("a get"), small);
    for (offset, length) in [(0, LARGE), (LARGE - 1, 1), (9_999_999, 5_000_001)] {
        let range = ReadRange { offset: offset as u64, length: Some(length as u64), if_match: None };
        let found = read(remote, "a/large", range).await.expect("a read");
        assert_eq!(found, large.slice(offset..offset + length), "{offset} {length}");
    }
    let absent = remote.stat(&key("a/never")).await.expect_err("absent");
    assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
    [("a/small", small), ("a/large", large)]
}

/// Every one, once, in order.
async fn lists(remote: &RemoteDriver, names: &BTreeSet<String>) {
    let (mut found, mut start_after) = (Vec::new(), String::new());
    loop {
        let prefix = KeyPrefix::parse("names/").expect("a prefix");
        let query = ListQuery { prefix, recursive: true, start_after, limit: 1000 };
        let page = remote.list(&query).await.expect("a page");
        found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
        if !page.more {
            break;
        }
        start_after = found.last().expect("a page that is not the last has a name").clone();
    }
    assert_eq!(found.len(), names.len());
    assert!(found.iter().eq(names), "they are others, or in another order");
}

/// Neither what is there nor what is not is called absent.
async fn is_away(remote: &RemoteDriver) {
    let prefix = KeyPrefix::parse("names/").expect("a prefix");
    let query = ListQuery { prefix, recursive: true, start_after: String::new(), limit: 1000 };
    let (there, never) = (key("a/large"), key("a/never"));
    let (stat, stat_of_nothing, got, got_of_nothing, listed) = tokio::join!(
        remote.stat(&there),
        remote.stat(&never),
        get(remote, "a/large"),
        get(remote, "a/never"),
        remote.list(&query),
    );
    let errors = [stat.err(), stat_of_nothing.err(), got.err(), got_of_nothing.err(), listed.err()];
    for error in errors {
        let error = error.expect("an error");
        assert!(error.is_transient(), "{error}");
    }
}

async fn is_back(remote: &RemoteDriver, name: &str) {
    let begin = Instant::now();
    loop {
        // The core's end of the connection waits for a while before it tries again.
        match get(remote, name).await {
            Err(error) if error.is_transient() && begin.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => break assert_eq!(other.expect("a get"), name),
        }
    }
    let absent = remote.stat(&key("a/never")).await.expect_err("absent");
    assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
}
