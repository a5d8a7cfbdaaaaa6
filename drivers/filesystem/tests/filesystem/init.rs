//! When a store is made, and when that is refused.

use longshore_driver_filesystem::{FilesystemDriver, Init};
use longshore_driver_sdk::{Condition, Driver, Key, Reason};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_root_is_made_only_if_that_was_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("not/yet");
    let error = FilesystemDriver::open(config(&root, Init::Never)).await.unwrap_err();
    assert!(error.message().contains("longshore storage init"), "{error}");
    assert!(!root.exists());
    let driver = FilesystemDriver::open(config(&root, Init::IfAbsent)).await.unwrap();
    let (_, id) = driver.get(&Key::store_id()).await.unwrap();
    drop(driver);
    for init in [Init::Never, Init::IfAbsent, Init::IfEmpty] {
        let again = FilesystemDriver::open(config(&root, init)).await.unwrap();
        assert_eq!(again.get(&Key::store_id()).await.unwrap().1, id, "the id never changes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_root_may_be_an_unmounted_disk() {
    let temp = tempfile::tempdir().unwrap();
    let error = FilesystemDriver::open(config(temp.path(), Init::IfAbsent)).await.unwrap_err();
    for hint in ["not mounted", "init=if-empty", "longshore storage init ENDPOINT"] {
        assert!(error.message().contains(hint), "{hint:?} is missing in: {error}");
    }
    assert_eq!(
        std::fs::read_dir(temp.path()).unwrap().count(),
        0,
        "nothing may be written below a mount point"
    );
    std::fs::create_dir(temp.path().join("lost+found")).unwrap();
    let driver = FilesystemDriver::open(config(temp.path(), Init::IfEmpty)).await.unwrap();
    assert_eq!(driver.get(&Key::store_id()).await.unwrap().1.len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_without_a_store_opens_so_that_one_can_be_made() {
    let temp = tempfile::tempdir().unwrap();
    let driver = FilesystemDriver::open(config(temp.path(), Init::Never)).await.unwrap();
    assert_eq!(reason(driver.get(&Key::store_id()).await), Reason::KeyNotFound);
    driver.put(&Key::store_id(), bytes("id-1"), Condition::IfAbsent).await.unwrap();
    assert_eq!(driver.get(&Key::store_id()).await.unwrap().1, bytes("id-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_with_other_files_is_never_taken_for_empty() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("somebody's"), "x").unwrap();
    for init in [Init::IfAbsent, Init::IfEmpty] {
        let driver = FilesystemDriver::open(config(temp.path(), init)).await.unwrap();
        assert_eq!(reason(driver.get(&Key::store_id()).await), Reason::KeyNotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_temporary_files_go_at_the_start() {
    let store = store().await;
    let tmp = store.root.join(".driver/tmp");
    let old = std::fs::File::create(tmp.join("old")).unwrap();
    std::fs::File::create(tmp.join("young")).unwrap();
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600)).unwrap();
    drop(reopen(&store.root).await);
    assert!(!tmp.join("old").exists());
    assert!(tmp.join("young").exists());
}
