//! Listings against a model: a sorted set of keys.

use std::collections::BTreeSet;

use bytes::Bytes;
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{Condition, Driver, KeyPrefix, ListQuery};
use proptest::prelude::*;

use crate::support::*;

fn model(keys: &BTreeSet<String>, prefix: &str, recursive: bool) -> BTreeSet<String> {
    let names = keys.iter().filter_map(|key| {
        let rest = key.strip_prefix(prefix)?;
        match rest.split_once('/') {
            Some((folder, _)) if !recursive => Some(format!("{prefix}{folder}/")),
            _ => Some(key.clone()),
        }
    });
    names.collect()
}

async fn pages(driver: &dyn Driver, prefix: &str, recursive: bool, limit: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let start_after = found.last().cloned().unwrap_or_default();
        let prefix = KeyPrefix::parse(prefix).unwrap();
        let page = driver.list(&ListQuery { prefix, recursive, start_after, limit }).await.unwrap();
        assert!(page.entries.len() <= limit);
        assert!(page.entries.len() == limit || !page.more, "a page that is not the last is full");
        found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
        if !page.more {
            return found;
        }
    }
}

async fn put_all(driver: &dyn Driver, keys: &BTreeSet<String>) {
    for text in keys {
        driver.put(&key(text), Bytes::from(text.clone()), Condition::Always).await.unwrap();
    }
}

/// Removes what would have to be an object and a folder at once.
fn without_conflicts(keys: &BTreeSet<String>) -> BTreeSet<String> {
    let folder = |key: &String| keys.iter().any(|other| other.starts_with(&format!("{key}/")));
    keys.iter().filter(|key| !folder(key)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn siblings_that_share_a_prefix_sort_by_their_bytes() {
    let keys: BTreeSet<String> =
        ["a-b", "a.b", "a/b", "a/b2/c", "ab", "a0", "a+", "A", "b/c/d/e", "b/c-d", "z"]
            .map(str::to_owned)
            .into();
    let store = store().await;
    put_all(&store.driver, &keys).await;
    for recursive in [true, false] {
        for prefix in ["", "a/", "b/", "b/c/", "a/b/", "nothing/", ".driver/"] {
            for limit in [1, 2, 3, 100] {
                let found = pages(&store.driver, prefix, recursive, limit).await;
                let expected: Vec<_> = model(&keys, prefix, recursive).into_iter().collect();
                assert_eq!(found, expected, "{prefix:?} recursive {recursive} limit {limit}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_folders_and_strangers_are_not_listed() {
    let store = store().await;
    put_all(&store.driver, &["a/b".to_owned()].into()).await;
    std::fs::create_dir_all(store.root.join("empty/deeper")).unwrap();
    std::fs::create_dir_all(store.root.join("sp ace")).unwrap();
    std::fs::write(store.root.join("sp ace/x"), "").unwrap();
    std::fs::write(store.root.join("ümlaut"), "").unwrap();
    for recursive in [true, false] {
        let found = pages(&store.driver, "", recursive, 1).await;
        assert_eq!(found, [if recursive { "a/b" } else { "a/" }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_after_a_thousand_empty_folders_is_found() {
    let store = store().await;
    put_all(&store.driver, &["z/b".to_owned()].into()).await;
    for n in 0..1000 {
        std::fs::create_dir_all(store.root.join(format!("e{n}/f"))).unwrap();
    }
    assert_eq!(pages(&store.driver, "", true, 2).await, ["z/b"]);
    assert_eq!(pages(&store.driver, "", false, 2).await, ["z/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_last_leaves_nothing_in_a_listing() {
    let store = store().await;
    put_all(&store.driver, &["a/b/c".to_owned()].into()).await;
    assert!(store.driver.delete(&key("a/b/c"), None).await.unwrap());
    assert!(pages(&store.driver, "", false, 10).await.is_empty());
    assert!(!store.root.join("a").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_page_size_gives_the_sorted_keys(
        keys in proptest::collection::btree_set("[ab.-]{0,1}[ab]{1,2}(/[ab.-]?[a0]{1,2}){0,3}", 1..40),
        limit in 1..12_usize,
        recursive: bool,
        start_after in "[ab.-]{0,2}(/[ab.-]{0,2}){0,2}",
    ) {
        let keys = without_conflicts(&keys);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let temp = tempfile::tempdir().unwrap();
            let mut config = config(&temp.path().join("root"), longshore_driver_filesystem::Init::IfAbsent);
            config.durability = longshore_driver_filesystem::config::Durability::Os;
            let files = longshore_driver_filesystem::FilesystemDriver::open(config).await.unwrap();
            let memory = MemoryDriver::default();
            for driver in [&files as &dyn Driver, &memory] {
                put_all(driver, &keys).await;
                for prefix in ["", "a/", "b/", "a/a/"] {
                    let expected = model(&keys, prefix, recursive);
                    let found = pages(driver, prefix, recursive, limit).await;
                    assert_eq!(found, expected.iter().cloned().collect::<Vec<_>>());
                    let query = ListQuery {
                        prefix: KeyPrefix::parse(prefix).unwrap(), recursive, start_after: start_after.clone(), limit,
                    };
                    let page = driver.list(&query).await.unwrap();
                    let behind: Vec<_> = expected.iter().filter(|name| **name > start_after).cloned().collect();
                    let names: Vec<_> = page.entries.iter().map(|entry| entry.name().to_owned()).collect();
                    assert_eq!(names, behind.iter().take(limit).cloned().collect::<Vec<_>>());
                    assert_eq!(page.more, behind.len() > limit);
                }
            }
        });
    }
}
