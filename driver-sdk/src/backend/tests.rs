//! The helpers against what the contract says of them, listings against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::key::KeyPrefix;

fn key(text: &str) -> Key {
    Key::parse_with_store_id(text).unwrap()
}

fn object(text: &str, size: u64) -> Object {
    Object { key: key(text), size, etag: Some("e".to_owned()), modified: None }
}

fn query(prefix: &str, recursive: bool, start_after: &str, limit: usize) -> ListQuery {
    ListQuery {
        prefix: KeyPrefix::parse(prefix).unwrap(),
        recursive,
        start_after: start_after.to_owned(),
        limit,
    }
}

/// The names of a page, and the flag behind them.
fn page(keys: &BTreeSet<&str>, query: &ListQuery) -> (Vec<String>, bool) {
    let objects: BTreeMap<Key, Object> = keys.iter().map(|text| (key(text), object(text, 1))).collect();
    let page = list(query, |from| Ok(objects.values().find(|object| object.key.as_str() >= from).cloned()));
    let page = page.unwrap();
    (page.entries.iter().map(|entry| entry.name().to_owned()).collect(), page.more)
}

/// The same, by brute force.
fn model(keys: &BTreeSet<&str>, query: &ListQuery) -> (Vec<String>, bool) {
    let prefix = query.prefix.as_str();
    let name = |rest: &str| match rest.split_once('/').filter(|_| !query.recursive) {
        Some((folder, _)) => format!("{prefix}{folder}/"),
        None => format!("{prefix}{rest}"),
    };
    let visible = keys.iter().filter(|key| !key.starts_with(".driver/"));
    let names: BTreeSet<String> = visible.filter_map(|key| key.strip_prefix(prefix)).map(name).collect();
    let mut names: Vec<_> = names.into_iter().filter(|name| *name > query.start_after).collect();
    let more = names.len() > query.limit;
    names.truncate(query.limit);
    (names, more)
}

const KEYS: [&str; 14] = [
    ".driver/store-id",
    ".driverless/x",
    "a",
    "a-b",
    "a.b",
    "a/b",
    "a/b/c",
    "a/b/d/e",
    "a/c",
    "a0",
    "ab",
    "b/a/z",
    "b/a0",
    "z",
];

proptest! {
    #[test]
    fn listings_are_as_the_naive_model_has_them(
        chosen in prop::collection::vec(any::<bool>(), KEYS.len()),
        prefix in prop::sample::select(vec!["", "a/", "a/b/", "b/", "b/a/", ".driver/", "nothing/"]),
        recursive in any::<bool>(),
        after in prop::sample::select(vec!["", "a", "a/", "a/b", "a/b/", "a/b/c", "a0", "a~", "b/a/", "b/a/z", "zz", ".d"]),
        limit in 1_usize..6,
    ) {
        let keys = KEYS.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(key, _)| *key).collect();
        let query = query(prefix, recursive, after, limit);
        prop_assert_eq!(page(&keys, &query), model(&keys, &query));
    }
}

#[test]
fn a_common_prefix_costs_two_look_ups_however_much_lies_below_it() {
    let objects: BTreeMap<Key, Object> =
        (0..1000).map(|n| format!("a/{n}")).map(|text| (key(&text), object(&text, 1))).collect();
    let mut asked = 0;
    let page = list(&query("", false, "", 10), |from| {
        asked += 1;
        Ok(objects.values().find(|object| object.key.as_str() >= from).cloned())
    });
    assert_eq!(page.unwrap().entries, [Entry::CommonPrefix("a/".to_owned())]);
    assert_eq!(asked, 2);
}

#[test]
fn a_look_up_that_goes_backwards_is_a_bug_and_no_endless_page() {
    let error = list(&query("", true, "", 10), |_| Ok(Some(object("a", 1)))).unwrap_err();
    assert_eq!(error.reason(), Reason::DriverBug);
}

#[test]
fn conditions_are_those_of_the_contract() {
    let (at, there) = (key("a"), object("a", 1));
    let outcome = |existing: Option<&Object>, condition: Condition| {
        check_condition(&at, existing, &condition).err().map(|error| error.reason())
    };
    let etag = |text: &str| Condition::IfMatch(text.to_owned());
    for existing in [None, Some(&there)] {
        assert_eq!(outcome(existing, Condition::Always), None);
    }
    assert_eq!(outcome(None, Condition::IfAbsent), None);
    assert_eq!(outcome(Some(&there), Condition::IfAbsent), Some(Reason::KeyExists));
    assert_eq!(outcome(Some(&there), etag("e")), None);
    assert_eq!(outcome(Some(&there), etag("f")), Some(Reason::PreconditionFailed));
    assert_eq!(outcome(None, etag("e")), Some(Reason::PreconditionFailed));
    let delete = |existing: Option<&Object>, etag: Option<&str>| {
        check_delete(&at, existing, etag).err().map(|error| error.reason())
    };
    assert_eq!(delete(None, Some("e")), None, "it is gone already");
    assert_eq!((delete(Some(&there), None), delete(Some(&there), Some("e"))), (None, None));
    assert_eq!(delete(Some(&there), Some("f")), Some(Reason::PreconditionFailed));
    let untold = Object { etag: None, ..there };
    assert_eq!(outcome(Some(&untold), etag("")), Some(Reason::PreconditionFailed), "no etag matches nothing");
}

async fn bytes_of(reading: Result<Reading>) -> Result<Vec<Bytes>> {
    reading?.bytes.try_collect().await
}

fn content(length: usize) -> Bytes {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_read_gives_the_bytes_asked_for_in_whole_pieces() {
    let content = content(3 * PIECE + 5);
    let size = content.len() as u64;
    let edge = PIECE as u64;
    let edges = [0, 1, edge - 1, edge, edge + 1, size - 1, size];
    for offset in edges {
        for length in [None, Some(0), Some(1), Some(edge), Some(edge + 1), Some(u64::MAX)] {
            let wanted = ReadRange { offset, length, if_match: None };
            let pieces = bytes_of(read_bytes(object("a", size), &content, &wanted)).await.unwrap();
            let end = offset.saturating_add(length.unwrap_or(u64::MAX)).min(size);
            assert_eq!(pieces.concat(), content[offset as usize..end as usize], "{wanted:?}");
            let whole = pieces.iter().rev().skip(1).all(|piece| piece.len() == PIECE);
            assert!(whole && pieces.iter().all(|piece| !piece.is_empty()), "{wanted:?}");
        }
    }
}

#[tokio::test]
async fn a_backend_that_gives_little_at_a_time_fills_pieces_all_the_same() {
    let content = content(PIECE + 100);
    let source = content.clone();
    let at = move |offset: u64, length: usize| {
        let start = offset as usize;
        Ok(source.slice(start..(start + length.min(77)).min(source.len())))
    };
    let pieces = bytes_of(read(object("a", content.len() as u64), &ReadRange::default(), at)).await.unwrap();
    assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, 100]);
    assert_eq!(pieces.concat(), content);
}

#[tokio::test]
async fn bytes_that_are_missing_end_a_read_with_an_error() {
    let reading = read(object("a", 10), &ReadRange::default(), |_, _| Ok(Bytes::new()));
    assert_eq!(bytes_of(reading).await.unwrap_err().reason(), Reason::ShortObject);
}

#[test]
fn a_range_is_refused_behind_the_end_and_of_another_content() {
    let beyond = ReadRange { offset: 11, ..ReadRange::default() };
    let error = range(&object("a", 10), &beyond).unwrap_err();
    assert_eq!((error.reason(), error.detail()), (Reason::OffsetPastEnd, &Detail::Size(10)));
    let stale = ReadRange { if_match: Some("old".to_owned()), ..ReadRange::default() };
    assert_eq!(range(&object("a", 10), &stale).unwrap_err().reason(), Reason::PreconditionFailed);
    assert_eq!(range(&object("a", 10), &ReadRange { offset: 10, ..ReadRange::default() }).unwrap(), 10..10);
}

#[tokio::test]
async fn what_is_larger_than_a_message_is_not_gathered() {
    let content = content(PIECE + 1);
    let size = content.len() as u64;
    let reading = || read_bytes(object("a", size), &content, &ReadRange::default()).unwrap();
    assert_eq!(whole(reading(), u32::try_from(size).unwrap()).await.unwrap().1, content);
    assert_eq!(
        whole(reading(), u32::try_from(size - 1).unwrap()).await.unwrap_err().reason(),
        Reason::TooLarge
    );
}

#[test]
fn a_place_is_lost_while_its_path_leads_elsewhere() {
    let temp = tempfile::tempdir().unwrap();
    let (path, away) = (temp.path().join("store"), temp.path().join("away"));
    assert!(Place::of(&path).is_err());
    std::fs::write(&path, "x").unwrap();
    let place = Place::of(&path).unwrap();
    place.check().unwrap();
    std::fs::rename(&path, &away).unwrap();
    assert_eq!(place.check().unwrap_err().reason(), Reason::BackendUnavailable);
    std::fs::write(&path, "x").unwrap();
    assert_eq!(place.check().unwrap_err().reason(), Reason::BackendUnavailable, "another file has its name");
    std::fs::rename(&away, &path).unwrap();
    place.check().unwrap();
}
