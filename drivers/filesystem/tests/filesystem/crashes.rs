//! What crashes leave on disk, made by hand, and what the driver makes of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longshore_driver_sdk::sessions::dir::Dir;
use longshore_driver_sdk::sessions::journal::{Journal, Line, Phase};
use longshore_driver_sdk::{Driver, Reason, UploadQuery, UploadState};

use crate::support::*;

fn session(store: &Store) -> PathBuf {
    store.root.join(".driver/uploads").join(id(1).as_str())
}

/// A session with four durable bytes that was about to commit.
async fn about_to_commit() -> Store {
    let store = store().await;
    let (_, mut stream) = create(&store.driver, 1, 1, "a/b").await.unwrap();
    write(&mut stream, "abcd").await;
    stream.mark(bytes("four"), true).await.unwrap();
    assert!(store.driver.drain(Duration::from_secs(5)).await.is_ok());
    drop(stream);
    drop(resume(&store.driver, 1, 1).await.unwrap());
    settled(&store).await;
    append(&store, &Line::new(Phase::Committing, "a/b", &fence(1), 4, b"digest"));
    store
}

/// Waits until the driver has let go of the session.
async fn settled(store: &Store) {
    let lock = fs::File::open(session(store).join("lock")).unwrap();
    for _ in 0..500 {
        if lock.try_lock().is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the session is still locked");
}

fn append(store: &Store, line: &Line) {
    let dir = Dir::open_root(&session(store)).unwrap();
    let (mut journal, _) = Journal::open(&dir, true).unwrap().unwrap();
    journal.append(line).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_rename_the_session_is_open_and_can_commit() {
    let store = about_to_commit().await;
    let driver = reopen(&store.root).await;
    let upload = driver.get_upload(&id(1)).await.unwrap();
    assert_eq!((upload.state, upload.durable, upload.bookmark), (UploadState::Open, 4, bytes("digest")));
    assert_eq!(reason(driver.stat(&key("a/b")).await), Reason::KeyNotFound);
    let (_, mut stream) = resume(&driver, 1, 2).await.unwrap();
    stream.commit(4, bytes("digest")).await.unwrap();
    assert_eq!(read_all(&driver, &key("a/b")).await.unwrap(), b"abcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_rename_the_session_is_committed() {
    let store = about_to_commit().await;
    fs::create_dir_all(store.root.join("a")).unwrap();
    fs::rename(session(&store).join("data"), store.root.join("a/b")).unwrap();
    let driver = reopen(&store.root).await;
    let upload = driver.get_upload(&id(1)).await.unwrap();
    assert_eq!((upload.state, upload.durable, upload.bookmark), (UploadState::Committed, 4, bytes("digest")));
    assert_eq!(upload.object.unwrap().size, 4);
    let (_, mut stream) = resume(&driver, 1, 2).await.unwrap();
    assert_eq!(reason(stream.write(bytes("x")).await), Reason::UploadCommitted);
    stream.commit(4, bytes("digest")).await.unwrap();
    assert!(driver.end_upload(&id(1), &fence(2)).await.unwrap());
    assert_eq!(read_all(&driver, &key("a/b")).await.unwrap(), b"abcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_link_and_unlink_the_session_is_committed_and_nobody_can_write_to_the_object() {
    let store = about_to_commit().await;
    fs::create_dir_all(store.root.join("a")).unwrap();
    fs::hard_link(session(&store).join("data"), store.root.join("a/b")).unwrap();
    let driver = reopen(&store.root).await;
    assert_eq!(driver.get_upload(&id(1)).await.unwrap().state, UploadState::Committed);
    let (upload, mut stream) = resume(&driver, 1, 2).await.unwrap();
    assert_eq!(upload.state, UploadState::Committed);
    assert_eq!(reason(stream.write(bytes("x")).await), Reason::UploadCommitted);
    assert!(!session(&store).join("data").exists());
    assert_eq!(read_all(&driver, &key("a/b")).await.unwrap(), b"abcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_line_is_as_if_it_was_never_written() {
    let store = about_to_commit().await;
    let path = session(&store).join("journal");
    let text = fs::read(&path).unwrap();
    for cut in [1, 10, 50] {
        fs::write(&path, &text[..text.len() - cut]).unwrap();
        let driver = reopen(&store.root).await;
        let upload = driver.get_upload(&id(1)).await.unwrap();
        assert_eq!((upload.state, upload.durable, upload.bookmark), (UploadState::Open, 4, bytes("four")));
    }
    let driver = reopen(&store.root).await;
    let (_, mut stream) = resume(&driver, 1, 2).await.unwrap();
    write(&mut stream, "e").await;
    stream.mark(bytes("five"), true).await.unwrap();
    assert_eq!(reopen(&store.root).await.get_upload(&id(1)).await.unwrap().bookmark, bytes("five"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_session_and_junk_hide_no_other() {
    let store = store().await;
    for n in 1..=3 {
        drop(create(&store.driver, n, 1, &format!("k/{n}")).await.unwrap());
    }
    fs::write(session(&store).join("journal"), "not a journal\n").unwrap();
    fs::create_dir(store.root.join(".driver/uploads/junk")).unwrap();
    fs::write(store.root.join(".driver/uploads/00000000000000000000000000000009"), "a file").unwrap();
    let query = UploadQuery { start_after: String::new(), limit: 10, idle_since: None };
    let page = store.driver.list_uploads(&query).await.unwrap();
    assert_eq!(page.entries.iter().map(|u| u.id.clone()).collect::<Vec<_>>(), [id(2), id(3)]);
    assert_eq!(reason(store.driver.get_upload(&id(1)).await), Reason::ChecksumMismatch);
    assert_eq!(reason(resume(&store.driver, 1, 2).await), Reason::ChecksumMismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_bytes_that_are_missing_are_never_made_up() {
    let store = about_to_commit().await;
    fs::write(session(&store).join("data"), "ab").unwrap();
    let driver = reopen(&store.root).await;
    assert_eq!(reason(resume(&driver, 1, 2).await), Reason::ShortObject);
    assert!(driver.end_upload(&id(1), &fence(2)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_the_driver() {
    let store = store().await;
    let (_, mut stream) = create(&store.driver, 1, 1, "a").await.unwrap();
    write(&mut stream, "abcd").await;
    stream.mark(bytes("four"), true).await.unwrap();
    drop(stream);
    let driver = reopen(&store.root).await;
    let (upload, mut stream) = resume(&driver, 1, 2).await.unwrap();
    assert_eq!((upload.durable, upload.bookmark), (4, bytes("four")));
    stream.commit(4, bytes("e")).await.unwrap();
    assert_eq!(read_all(&driver, &key("a")).await.unwrap(), b"abcd");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_instance_holds_is_a_conflict_until_it_lets_go() {
    let store = store().await;
    let (_, stream) = create(&store.driver, 1, 1, "a").await.unwrap();
    let other = Arc::new(reopen(&store.root).await);
    let error = resume(&*other, 1, 2).await.map(drop).unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), (Reason::Conflict, true));
    let waiting = tokio::spawn({
        let other = Arc::clone(&other);
        async move { resume(&*other, 1, 2).await.map(|(upload, _)| upload.fence) }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    assert_eq!(waiting.await.unwrap().unwrap(), fence(2));
    assert_eq!(reason(resume(&store.driver, 1, 1).await), Reason::Fenced);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_idle_open_sessions_expire() {
    use longshore_driver_sdk::sessions::{Finished, Publish, Sessions, Spool};
    use longshore_driver_sdk::{DriverError, Key, Object, OpenMode, OpenUpload, Result, Uploads};

    struct Discard;
    impl Publish for Discard {
        fn publish(&self, finished: &Finished<'_>, key: &Key) -> Result<Object> {
            finished.dir.unlink(finished.name).map_err(|error| DriverError::io("unlink", error))?;
            Ok(Object { key: key.clone(), size: finished.size, etag: None, modified: None })
        }
        fn published(&self, _: &Key) -> Result<Option<Object>> {
            Ok(None)
        }
    }

    let temp = tempfile::tempdir().unwrap();
    let spool = Spool::new(Dir::open_root(temp.path()).unwrap(), Discard, true);
    let day = Duration::from_secs(24 * 3600);
    let sessions = Sessions::new(spool, day);
    let open = |n| {
        let mode = OpenMode::Create { key: key("a"), size_hint: None, bookmark: bytes("") };
        sessions.open(OpenUpload { id: id(n), fence: fence(1), mode })
    };
    let (_, live) = open(1).await.unwrap();
    drop(open(2).await.unwrap());
    let (_, mut committed) = open(3).await.unwrap();
    committed.commit(0, bytes("")).await.unwrap();
    drop(committed);
    fs::create_dir_all(temp.path().join(".driver/uploads/.gone-x")).unwrap();
    fs::create_dir_all(temp.path().join(".driver/uploads/.new-x")).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sessions.expire(SystemTime::now()).await.unwrap(), 0);
    assert!(!temp.path().join(".driver/uploads/.gone-x").exists());
    assert!(temp.path().join(".driver/uploads/.new-x").exists(), "it may be in the making");
    assert_eq!(sessions.expire(SystemTime::now() + 2 * day).await.unwrap(), 1);
    assert!(!temp.path().join(".driver/uploads/.new-x").exists());
    assert_eq!(reason(sessions.get(&id(2)).await), Reason::UploadUnknown);
    assert_eq!(sessions.get(&id(1)).await.unwrap().state, UploadState::Open);
    assert_eq!(sessions.get(&id(3)).await.unwrap().state, UploadState::Committed);
    drop(live);
}
