//! Small objects, reads, deletes and renames.

use bytes::Bytes;
use longshore_driver_sdk::{
    Condition, Detail, Driver, DriverError, Durability, Key, Limits, ProbeState, ReadRange, Reason,
};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_what_was_put() {
    let store = store().await;
    for length in [0, 1, 65_536, 65_537, 4 * 1024 * 1024 + 64 * 1024] {
        let content = noise(length);
        let put = store.driver.put(&key("a/b"), content.clone(), Condition::Always).await.unwrap();
        let (object, found) = store.driver.get(&key("a/b")).await.unwrap();
        assert!(found == content, "{length} bytes");
        assert_eq!(put, object);
        assert_eq!(store.driver.stat(&key("a/b")).await.unwrap(), object);
        assert_eq!(
            (object.size, object.etag.is_some(), object.modified.is_some()),
            (length as u64, true, true)
        );
    }
    let most = Limits::default().max_inline as usize;
    let more = store.driver.put(&key("a/b"), noise(most + 1), Condition::Always).await;
    assert_eq!(reason(more), Reason::TooLarge);
    assert_eq!(reason(store.driver.get(&key("a/c")).await), Reason::KeyNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_too_large_for_a_message_is_read_as_a_stream() {
    let store = store().await;
    let content = noise(Limits::default().max_inline as usize + 1);
    std::fs::write(store.root.join("big"), &content).unwrap();
    assert_eq!(reason(store.driver.get(&key("big")).await), Reason::TooLarge);
    assert!(read_all(&store.driver, &key("big")).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_exactly_the_bytes_asked_for() {
    let store = store().await;
    let content = noise(700_001);
    store.driver.put(&key("a"), content.clone(), Condition::Always).await.unwrap();
    for offset in [0, 1, 262_143, 262_144, 700_000, 700_001] {
        for length in [None, Some(0), Some(1), Some(262_145), Some(u64::MAX)] {
            let range = ReadRange { offset, length, if_match: None };
            let start = usize::try_from(offset).unwrap();
            let end =
                length.map_or(content.len() as u64, |length| (offset.saturating_add(length)).min(700_001));
            let expected = &content[start..usize::try_from(end).unwrap()];
            assert!(
                read_range(&store.driver, &key("a"), range).await.unwrap() == expected,
                "{offset} {length:?}"
            );
        }
    }
    let behind = ReadRange { offset: 700_002, ..ReadRange::default() };
    let error = store.driver.read(&key("a"), behind).await.unwrap_err();
    assert_eq!((error.reason(), error.detail()), (Reason::OffsetPastEnd, &Detail::Size(700_001)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_under_way_survives_replacement_and_deletion() {
    use futures_util::StreamExt;
    let store = store().await;
    let content = noise(2_000_000);
    let object = store.driver.put(&key("a"), content.clone(), Condition::Always).await.unwrap();
    let mut reading = store.driver.read(&key("a"), ReadRange::default()).await.unwrap();
    let mut found = reading.bytes.next().await.unwrap().unwrap().to_vec();
    store.driver.put(&key("a"), bytes("other"), Condition::Always).await.unwrap();
    store.driver.delete(&key("a"), None).await.unwrap();
    while let Some(piece) = reading.bytes.next().await {
        found.extend_from_slice(&piece.unwrap());
    }
    assert!(found == content);
    store.driver.put(&key("a"), noise(1_999_999), Condition::Always).await.unwrap();
    let resumed = ReadRange { offset: 5, length: None, if_match: object.etag };
    assert_eq!(reason(store.driver.read(&key("a"), resumed).await), Reason::PreconditionFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_hold() {
    let store = store().await;
    let driver = &store.driver;
    let if_match = |etag: &str| Condition::IfMatch(etag.to_owned());
    assert_eq!(reason(driver.put(&key("a"), bytes("1"), if_match("x")).await), Reason::PreconditionFailed);
    let first = driver.put(&key("a"), bytes("1"), Condition::IfAbsent).await.unwrap().etag.unwrap();
    assert_eq!(reason(driver.put(&key("a"), bytes("2"), Condition::IfAbsent).await), Reason::KeyExists);
    let second = driver.put(&key("a"), bytes("2"), if_match(&first)).await.unwrap().etag.unwrap();
    assert_eq!(reason(driver.put(&key("a"), bytes("3"), if_match(&first)).await), Reason::PreconditionFailed);
    assert_eq!(reason(driver.delete(&key("a"), Some(&first)).await), Reason::PreconditionFailed);
    assert!(driver.delete(&key("a"), Some(&second)).await.unwrap());
    assert!(!driver.delete(&key("a"), Some(&second)).await.unwrap());
    assert!(!driver.delete(&key("never/was"), None).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_not_be_object_and_folder_at_once() {
    let store = store().await;
    let driver = &store.driver;
    driver.put(&key("a/b"), bytes("x"), Condition::Always).await.unwrap();
    assert_eq!(reason(driver.put(&key("a"), bytes("x"), Condition::Always).await), Reason::KeyConflict);
    assert_eq!(reason(driver.put(&key("a"), bytes("x"), Condition::IfAbsent).await), Reason::KeyConflict);
    assert_eq!(reason(driver.put(&key("a/b/c"), bytes("x"), Condition::Always).await), Reason::KeyConflict);
    assert_eq!(reason(driver.stat(&key("a")).await), Reason::KeyNotFound);
    assert_eq!(reason(driver.stat(&key("a/b/c")).await), Reason::KeyNotFound);
    assert!(!driver.delete(&key("a"), None).await.unwrap());
    assert!(!driver.delete(&key("a/b/c"), None).await.unwrap());
    let (_, mut stream) = create(driver, 1, 1, "a/b/c").await.unwrap();
    assert_eq!(reason(stream.commit(0, Bytes::new()).await), Reason::KeyConflict);
    assert_eq!(read_all(driver, &key("a/b")).await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_never_goes_over_an_object() {
    let store = store().await;
    let driver = &store.driver;
    driver.put(&key("a/b"), bytes("a/b"), Condition::Always).await.unwrap();
    driver.put(&key("c"), bytes("c"), Condition::Always).await.unwrap();
    assert_eq!(reason(driver.rename(&key("a/b"), &key("c")).await), Reason::KeyExists);
    let moved = driver.rename(&key("a/b"), &key("d/e/f")).await.unwrap();
    assert_eq!(driver.stat(&key("d/e/f")).await.unwrap(), moved);
    assert_eq!(reason(driver.rename(&key("a/b"), &key("g")).await), Reason::KeyNotFound);
    assert!(!store.root.join("a").exists());
    assert_eq!(read_all(driver, &key("d/e/f")).await.unwrap(), b"a/b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_to_its_own_key_is_refused_and_keeps_the_object() {
    let store = store().await;
    let driver = &store.driver;
    driver.put(&key("a/b"), bytes("x"), Condition::Always).await.unwrap();
    assert_eq!(reason(driver.rename(&key("a/b"), &key("a/b")).await), Reason::KeyExists);
    assert_eq!(driver.get(&key("a/b")).await.unwrap().1, "x");
    assert_eq!(reason(driver.rename(&key("a/c"), &key("a/c")).await), Reason::KeyNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_id_is_an_object_that_stays() {
    let store = store().await;
    let (_, id) = store.driver.get(&Key::store_id()).await.unwrap();
    assert_eq!(id.len(), 32);
    let again = store.driver.put(&Key::store_id(), bytes("other"), Condition::IfAbsent).await;
    assert_eq!(reason(again), Reason::KeyExists);
    assert_eq!(reason(store.driver.delete(&Key::store_id(), None).await), Reason::InvalidKey);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_the_free_space() {
    let store = store().await;
    let probe = store.driver.probe().await.unwrap();
    assert_eq!(probe.state, ProbeState::Ready);
    assert!(probe.bytes_free.unwrap() > 0);
    assert_eq!(store.driver.description().capabilities.durability, Durability::Stable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_was_removed_states_no_absence() {
    let store = store().await;
    std::fs::remove_dir_all(&store.root).unwrap();
    let reasons = [
        reason(store.driver.stat(&key("a")).await),
        reason(store.driver.delete(&key("a/b"), None).await),
        reason(store.driver.put(&key("a"), bytes("x"), Condition::Always).await),
        reason(store.driver.get_upload(&id(1)).await),
        reason(store.driver.probe().await),
    ];
    assert_eq!(reasons, [Reason::BackendUnavailable; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_temporary_file_stays_behind() {
    let store = store().await;
    store.driver.put(&key("a"), bytes("1"), Condition::Always).await.unwrap();
    let failed: Result<_, DriverError> = store.driver.put(&key("a/b"), bytes("2"), Condition::Always).await;
    assert_eq!(reason(failed), Reason::KeyConflict);
    assert_eq!(std::fs::read_dir(store.root.join(".driver/tmp")).unwrap().count(), 0);
}
