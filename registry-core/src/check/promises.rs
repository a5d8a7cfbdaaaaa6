//! What a driver declares, tried: a declaration that does not hold loses data.

use bytes::Bytes;
use futures_util::future::join_all;
use longshore_driver_sdk::{Condition, DriverError, Object, Optional as _, Reason, Result};

use super::place::Place;

/// So many at once: a look and then a write would let more than one through.
const RIVALS: usize = 8;
/// A race may be lost by chance: a store that lets two through does so in one of these.
const RACES: usize = 5;

/// One capability.
#[derive(Debug, Clone)]
pub struct Promise {
    pub name: &'static str,
    pub held: Held,
    /// What Longshore does on this store for that reason.
    pub consequence: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    NotDeclared,
    /// Declared, and seen to be so.
    Seen,
    /// Declared, and can't be seen from here.
    Declared,
    /// Declared, and not so.
    Broken,
}

impl Held {
    fn seen(declared: bool, seen: bool) -> Self {
        match (declared, seen) {
            (false, _) => Self::NotDeclared,
            (true, true) => Self::Seen,
            (true, false) => Self::Broken,
        }
    }
}

/// Tries each promise that is made.
pub(super) async fn try_each(place: &Place<'_>) -> Result<Vec<Promise>> {
    let declared = place.driver.description().capabilities;
    let (absent, matching) = (declared.put_if_absent, declared.put_if_match);
    let delete = declared.delete_if_match;
    let promise = |name, held: Held, kept, otherwise| {
        let consequence = if held == Held::NotDeclared { otherwise } else { kept };
        Promise { name, held, consequence }
    };
    Ok(vec![
        promise(
            "put_if_absent",
            Held::seen(absent, absent && creates_once(place).await?),
            "of two pushes that must be the first, the store lets one through",
            "two pushes that must be the first, in the same instant, may both succeed",
        ),
        promise(
            "put_if_match",
            Held::seen(matching, matching && replaces_once(place).await?),
            "a conditional push of a tag is decided by the store",
            "a tag that is pushed by two in the same instant, on a condition, may be overwritten",
        ),
        promise(
            "delete_if_match",
            Held::seen(delete, delete && deletes_once(place).await?),
            "a tag that is moved while it is deleted stays",
            if matching {
                "a deleted tag leaves an empty record, so that one that is moved meanwhile stays"
            } else {
                "a tag that is moved in the very instant of its delete may go with it"
            },
        ),
        promise(
            "list_is_current",
            Held::seen(declared.list_is_current, !declared.list_is_current || lists_currently(place).await?),
            "blobs and tags are found by listing them",
            "the newest link of a blob has a fixed name, and tags may show late in listings",
        ),
        promise(
            "uploads_shared",
            if declared.uploads_shared { Held::Declared } else { Held::NotDeclared },
            "an upload goes on at any core and any instance of the driver",
            "an upload goes on only at the instance of the driver where it began",
        ),
        promise(
            "range_read",
            Held::seen(declared.range_read, !declared.range_read || reads_ranges(place).await?),
            "a pull that broke off goes on where it was",
            "a range is read from the object's beginning: slow, but right",
        ),
    ])
}

async fn put(place: &Place<'_>, name: &str, text: &'static str, condition: Condition) -> Result<Object> {
    place.driver.put(&place.key(name)?, Bytes::from_static(text.as_bytes()), condition).await
}

async fn etag_of_new(place: &Place<'_>, name: &str, text: &'static str) -> Result<String> {
    let object = put(place, name, text, Condition::Always).await?;
    object.etag.ok_or_else(|| {
        let message = format!("the put of {} gave no etag (contract clause O2)", object.key);
        DriverError::new(Reason::DriverBug, message)
    })
}

/// Whether it was let through.
fn took<T>(outcome: Result<T>) -> Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.reason(), Reason::KeyExists | Reason::PreconditionFailed) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many were let through.
fn winners<T>(outcomes: Vec<Result<T>>) -> Result<usize> {
    outcomes.into_iter().map(took).try_fold(0, |sum, took| Ok(sum + usize::from(took?)))
}

async fn creates_once(place: &Place<'_>) -> Result<bool> {
    for race in 0..RACES {
        let name = format!("created-{race}");
        let rivals = (0..RIVALS).map(|_| put(place, &name, "once", Condition::IfAbsent));
        let won = winners(join_all(rivals).await)?;
        if won != 1 || took(put(place, &name, "again", Condition::IfAbsent).await)? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn replaces_once(place: &Place<'_>) -> Result<bool> {
    const TEXTS: [&str; RIVALS] = ["1", "22", "333", "4444", "55555", "666666", "7777777", "88888888"];
    for race in 0..RACES {
        let name = format!("replaced-{race}");
        let old = etag_of_new(place, &name, "old one").await?;
        let rivals = TEXTS.iter().map(|text| put(place, &name, text, Condition::IfMatch(old.clone())));
        let won = winners(join_all(rivals).await)?;
        let stale = took(put(place, &name, "stale", Condition::IfMatch(old.clone())).await)?;
        let absent = took(put(place, "missing", "absent", Condition::IfMatch(old)).await)?;
        if won != 1 || stale || absent {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn deletes_once(place: &Place<'_>) -> Result<bool> {
    let key = place.key("deleted")?;
    let old = etag_of_new(place, "deleted", "old one").await?;
    let new = etag_of_new(place, "deleted", "newer").await?;
    let stale = took(place.driver.delete(&key, Some(&old)).await)?;
    let stays = place.driver.stat(&key).await.optional()?.is_some();
    Ok(!stale && stays && took(place.driver.delete(&key, Some(&new)).await)?)
}

async fn lists_currently(place: &Place<'_>) -> Result<bool> {
    let object = put(place, "listed", "text", Condition::Always).await?;
    let is_listed = |objects: Vec<Object>| objects.iter().any(|found| found.key == object.key);
    let shows = is_listed(place.objects().await?);
    place.driver.delete(&object.key, None).await?;
    Ok(shows && !is_listed(place.objects().await?))
}

async fn reads_ranges(place: &Place<'_>) -> Result<bool> {
    use futures_util::TryStreamExt as _;
    let object = put(place, "range", "0123456789", Condition::Always).await?;
    let range = longshore_driver_sdk::ReadRange { offset: 3, length: Some(4), if_match: None };
    let pieces: Vec<Bytes> = place.driver.read(&object.key, range).await?.bytes.try_collect().await?;
    Ok(pieces.concat() == b"3456")
}
