//! The defects of published drivers, as they were measured, and what is made of each.

use bytes::Bytes;
use longshore_driver_sdk::{Driver as _, KeyPrefix, ListQuery, ReadRange, Reason};
use longshore_end_to_end::loop_disk::LoopDisk;
use longshore_end_to_end::old_store::OldStore;

use crate::{Bad, get, key, put, read, says, upload};

fn range(offset: u64, length: u64) -> ReadRange {
    ReadRange { offset, length: Some(length), if_match: None }
}

/// `file`, `alioss`: an upload that was cut passes for a whole one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_cut_is_no_object() {
    let bad = Bad::start("swallows", &[]).await;
    bad.store.turn_bad();
    let content = Bytes::from(vec![7; 6 << 20]);
    let error = upload(&bad.remote, "a", &content).await.expect_err("it kept a part only");
    says(&error, &["`swallows`", "stream_write"]);
    let absent = bad.remote.stat(&key("a")).await.expect_err("a part is no object");
    assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
    bad.store.turn_good();
    upload(&bad.remote, "a", &content).await.expect("an upload");
}

/// `file`: an upload that did not fit on the disk passes for a whole one, and keeps the disk full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_onto_a_full_disk_is_no_object_and_takes_no_space() {
    let disk = LoopDisk::new(48 << 20);
    let path = format!("path={}", disk.path().join("old").display());
    let store = OldStore::of("file", &crate::python3(), &[&path]);
    let driver = store.driver("driver");
    let remote = driver.dialled().await;
    put(&remote, "a", "content").await.expect("a put");
    for _ in 0..3 {
        let large = Bytes::from(vec![7; 64 << 20]);
        let error = upload(&remote, "b", &large).await.expect_err("it does not fit");
        says(&error, &["`file`", "stream_write"]);
        let absent = remote.stat(&key("b")).await.expect_err("a part is no object");
        assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
    }
    let fits = Bytes::from(vec![8; 24 << 20]);
    upload(&remote, "c", &fits).await.expect("there is space again");
    assert_eq!(read(&remote, "c", ReadRange::default()).await.expect("a read"), fits);
    assert_eq!(get(&remote, "a").await.expect("a get"), "content");
}

/// `alioss`: a failed upload is no error, and no object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_lost_without_an_error_is_one() {
    let bad = Bad::start("loses", &[]).await;
    bad.store.turn_bad();
    let content = Bytes::from(vec![7; 6 << 20]);
    upload(&bad.remote, "a", &content).await.expect_err("it kept nothing");
    put(&bad.remote, "b", "content").await.expect_err("it kept nothing");
}

/// A byte that changed on its way is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_came_out_different_are_no_object() {
    let bad = Bad::start("alters", &["config.at=100000"]).await;
    bad.store.turn_bad();
    let content = Bytes::from(vec![7; 6 << 20]);
    let error = upload(&bad.remote, "a", &content).await.expect_err("a byte is another");
    assert_eq!(error.reason(), Reason::ChecksumMismatch, "{error}");
    says(&error, &["`alters`", "differs"]);
}

/// `swift`, `alioss`: size as text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_is_text_is_a_number() {
    let bad = Bad::start("size_text", &[]).await;
    bad.store.turn_bad();
    put(&bad.remote, "a", "content").await.expect("a put");
    assert_eq!(bad.remote.stat(&key("a")).await.expect("a stat").size, 7);
}

/// `alioss`, `oss`, `swift`: a range is ignored; `azureblob`, `dumb`: it crashes. Neither is declared then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_are_ignored_are_not_declared_and_reads_are_right() {
    for name in ["ignores_range", "overlong"] {
        let store = OldStore::of_bad(name, &crate::python3(), &[]);
        store.turn_bad();
        let driver = store.driver("driver");
        let remote = driver.dialled().await;
        assert!(!remote.description().capabilities.range_read, "{name}");
        let content: Bytes = (0..6_u32 << 20).map(|at| (at % 251) as u8).collect();
        upload(&remote, "a", &content).await.expect("an upload");
        assert_eq!(read(&remote, "a", ReadRange::default()).await.expect("a read"), content, "{name}");
    }
}

/// The driver `file` has ranges, and they are used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_work_are_declared() {
    let good = Bad::start("slow", &["config.delay=0"]).await;
    assert!(good.remote.description().capabilities.range_read);
    let content: Bytes = (0..6_u32 << 20).map(|at| (at % 251) as u8).collect();
    upload(&good.remote, "a", &content).await.expect("an upload");
    for (offset, length) in [(0, 1), (5_000_000, 1_000_000), ((6 << 20) - 1, 1), (6 << 20, 10)] {
        let end = (offset + length).min(content.len() as u64);
        let found = read(&good.remote, "a", range(offset, length)).await.expect("a read");
        assert_eq!(found, content.slice(offset as usize..end as usize));
    }
}

/// `alioss`, `azureblob`, `qiniu`, `dumb`: removing `tag_1` removes `tag_10`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_would_take_another_object_along_is_refused() {
    let store = OldStore::of_bad("by_prefix", &crate::python3(), &[]);
    store.turn_bad();
    let driver = store.driver("driver");
    let remote = driver.dialled().await;
    put(&remote, "t/tag_1", "1").await.expect("a put");
    put(&remote, "t/tag_10", "10").await.expect("a put");
    let error = remote.delete(&key("t/tag_1"), None).await.expect_err("it is not safe");
    assert_eq!(error.reason(), Reason::NotSupported, "{error}");
    let line = driver.await_line("a key can't be deleted");
    assert!(line.contains("`by_prefix`") && line.contains("t/tag_10"), "{line}");
    assert_eq!(get(&remote, "t/tag_1").await.expect("a get"), "1");
    assert!(remote.delete(&key("t/tag_10"), None).await.expect("nothing has it as a prefix"));
    assert!(remote.delete(&key("t/tag_1"), None).await.expect("nothing any more"));
}

/// `file`: the remove of a folder takes all that is in it; so does the `get_size` of one pass for an object's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_no_object() {
    let good = Bad::start("slow", &["config.delay=0"]).await;
    put(&good.remote, "a/b/c", "content").await.expect("a put");
    let absent = good.remote.stat(&key("a/b")).await.expect_err("a folder");
    assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
    assert!(!good.remote.delete(&key("a/b"), None).await.expect("a delete of a folder"));
    assert_eq!(get(&good.remote, "a/b/c").await.expect("a get"), "content");
}

/// `elliptics`: a folder exists as an object with the content DIRECTORY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_says_to_be_an_object_is_none() {
    let bad = Bad::start("directories", &["listing=current"]).await;
    bad.store.turn_bad();
    put(&bad.remote, "a/b/c", "content").await.expect("a put");
    let absent = get(&bad.remote, "a/b").await.expect_err("a folder");
    assert_eq!(absent.reason(), Reason::KeyNotFound, "{absent}");
    assert!(!bad.remote.delete(&key("a/b"), None).await.expect("a delete of a folder"));
    let prefix = KeyPrefix::parse("a/").expect("a prefix");
    let query = ListQuery { prefix, recursive: true, start_after: String::new(), limit: 10 };
    let page = bad.remote.list(&query).await.expect("a page");
    let names: Vec<_> = page.entries.iter().map(|entry| entry.name().to_owned()).collect();
    assert_eq!(names, ["a/b/c"]);
}

/// `elliptics`: an empty object is kept as the text EMPTY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_object_that_is_not_kept_empty_is_refused() {
    let bad = Bad::start("empty_marker", &[]).await;
    bad.store.turn_bad();
    let error = put(&bad.remote, "a", "").await.expect_err("it is not empty");
    assert_eq!(error.reason(), Reason::ChecksumMismatch, "{error}");
    says(&error, &["`empty_marker`"]);
}

/// `swift` without rights and others: a remove that removes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remove_that_removes_nothing_is_an_error() {
    let bad = Bad::start("removes_nothing", &[]).await;
    put(&bad.remote, "a", "content").await.expect("a put");
    bad.store.turn_bad();
    let error = bad.remote.delete(&key("a"), None).await.expect_err("it is still there");
    assert_eq!(error.reason(), Reason::DriverBug, "{error}");
    let line = bad.driver.await_line("a key can't be deleted");
    assert!(line.contains("`removes_nothing`, remove: a is still there"), "{line}");
}
