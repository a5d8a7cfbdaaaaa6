//! What runs leave in a store, and how it is cleared away: objects below the kit's own folders, and upload sessions for
//! such objects. Nothing else is touched, and nothing of a run that may still be under way.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::entry::Is;

use crate::bed::ROOT;
use crate::connection::Connection;
use crate::verdict::{Failure, Verdict};

/// A run that began longer ago is over.
const OLD: Duration = Duration::from_secs(3600);
/// A call takes up to 1000 keys (contract clause O7); a slow backend gets through so many in time.
const BATCH: usize = 100;

/// A name for a run that begins now: 8 hexadecimal digits of the second, which tell later runs its age, and 8 of chance.
///
/// # Errors
/// When the system has no random bits.
pub fn new_run() -> Verdict<String> {
    let mut bits = [0_u8; 4];
    getrandom::fill(&mut bits)
        .map_err(|error| Failure::new("nothing", "random bits of the system", error))?;
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(format!("{second:08x}{:08x}", u32::from_le_bytes(bits)))
}

/// Clears away what this run made. What can't be cleared away does not keep the rest.
///
/// # Errors
/// When something can't be listed, ended or deleted.
pub async fn own(connection: &Connection, run: &str) -> Verdict {
    // Ids are of 32 digits: this is before the first that begins with the run's.
    let mut outcome =
        end_uploads(connection, format!("{run}{}", "0".repeat(15)), |upload| is_of(upload, run)).await;
    for place in places() {
        outcome = outcome.and(delete_below(connection, &format!("{place}{run}/")).await);
    }
    outcome
}

/// Clears away what earlier runs left that were killed.
///
/// # Errors
/// When something can't be listed, ended or deleted.
pub async fn leftovers(connection: &Connection) -> Verdict {
    let now = SystemTime::now();
    let left = |upload: &v1::Upload| {
        let run = upload.upload_id.get(..16).unwrap_or_default();
        let ours = places().iter().any(|place| upload.key.starts_with(&format!("{place}{run}/")));
        ours && is_over(run, now)
    };
    let mut outcome = end_uploads(connection, String::new(), left).await;
    for place in places() {
        for run in runs(connection, &place).await?.iter().filter(|run| is_over(run, now)) {
            outcome = outcome.and(delete_below(connection, &format!("{place}{run}/")).await);
        }
    }
    outcome
}

/// The folders in which each run has its own. The second is that of the check that `.driverless/` is not reserved.
pub(crate) fn places() -> [String; 2] {
    [format!("{ROOT}/"), format!(".driverless/{ROOT}/")]
}

/// Whatever its key: 16 digits of a run are too many to be somebody else's by chance.
fn is_of(upload: &v1::Upload, run: &str) -> bool {
    upload.upload_id.starts_with(run)
}

/// Whether this is the name of a run that began so long ago that it must be over.
fn is_over(run: &str, now: SystemTime) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if run.len() != 16 || !run.bytes().all(digit) {
        return false;
    }
    let second = u64::from_str_radix(&run[..8], 16).unwrap_or(u64::MAX);
    let age =
        UNIX_EPOCH.checked_add(Duration::from_secs(second)).and_then(|begin| now.duration_since(begin).ok());
    age.is_some_and(|age| age > OLD)
}

/// The names one level below a place.
async fn runs(connection: &Connection, place: &str) -> Verdict<BTreeSet<String>> {
    let (mut names, mut after) = (BTreeSet::new(), String::new());
    loop {
        let request =
            v1::ListRequest { prefix: place.to_owned(), start_after: after.clone(), ..Default::default() };
        let page = connection.list(request).await;
        let page = page.map_err(|said| Failure::new(format!("List of {place}"), "a page", said).of("L2"))?;
        let shown: Vec<_> = page.entries.into_iter().filter_map(name).collect();
        let below = shown.iter().filter_map(|name| name.strip_prefix(place)?.split('/').next());
        names.extend(below.map(str::to_owned));
        let Some(last) = shown.into_iter().next_back().filter(|_| page.more) else { return Ok(names) };
        after = further(&format!("List of {place}"), &after, last, "L3")?;
    }
}

/// What an entry stands for.
pub(crate) fn name(entry: v1::Entry) -> Option<String> {
    match entry.is? {
        Is::Object(object) => Some(object.key),
        Is::CommonPrefix(prefix) => Some(prefix),
    }
}

/// Where the next page begins: a driver whose pages stand still would keep the kit for ever.
fn further(sent: &str, after: &str, last: String, clause: &'static str) -> Verdict<String> {
    if last.as_str() > after {
        return Ok(last);
    }
    Err(Failure::new(sent, format!("entries behind {after:?}"), format!("{last:?}")).of(clause))
}

/// Deletes everything below a prefix.
async fn delete_below(connection: &Connection, prefix: &str) -> Verdict {
    let mut before = String::new();
    loop {
        let request = v1::ListRequest {
            prefix: prefix.to_owned(),
            recursive: true,
            limit: BATCH as u32,
            ..Default::default()
        };
        let page = connection.list(request).await;
        let page = page.map_err(|said| Failure::new(format!("List of {prefix}"), "a page", said).of("L2"))?;
        let whole = !page.more && page.entries.len() <= BATCH;
        let keys = page.entries.into_iter().filter_map(|entry| match entry.is {
            Some(Is::Object(object)) => Some(object.key),
            _ => None,
        });
        let items: Vec<_> = keys
            .filter(|key| key.starts_with(prefix))
            .take(BATCH)
            .map(|key| v1::delete_request::Item { key, if_match: None })
            .collect();
        let Some(first) = items.first().map(|item| item.key.clone()) else { return Ok(()) };
        let sent = format!("Delete of {} keys below {prefix}", items.len());
        if first == before {
            return Err(Failure::new(&sent, "that they are gone", format!("{first} is still there")).of("O7"));
        }
        before = first;
        let answer = connection.delete(v1::DeleteRequest { items }).await;
        let answer = answer.map_err(|said| Failure::new(&sent, "outcomes", said).of("O7"))?;
        if let Some(failed) = answer.outcomes.iter().find(|outcome| outcome.code != 0) {
            return Err(Failure::new(&sent, "each to succeed", format!("{failed:?}")).of("O7"));
        }
        if whole {
            return Ok(());
        }
    }
}

/// Ends the upload sessions that are meant, of those behind `after`.
async fn end_uploads(
    connection: &Connection,
    mut after: String,
    meant: impl Fn(&v1::Upload) -> bool,
) -> Verdict {
    loop {
        let request = v1::ListUploadsRequest { start_after: after.clone(), ..Default::default() };
        let page = connection.list_uploads(request).await;
        let page = page.map_err(|said| Failure::new("ListUploads", "a page", said).of("U18"))?;
        for upload in page.uploads.iter().filter(|upload| meant(upload)) {
            let fence = v1::Fence { counter: u64::MAX, owner: "~".to_owned() };
            let ended = connection.end(&upload.upload_id, fence).await;
            let sent = || format!("EndUpload of {}", upload.upload_id);
            ended.map_err(|said| Failure::new(sent(), "OK", said).of("U16"))?;
        }
        let last = page.uploads.into_iter().next_back().map(|upload| upload.upload_id);
        let Some(last) = last.filter(|_| page.more) else { return Ok(()) };
        after = further("ListUploads", &after, last, "U18")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_over_an_hour_after_its_begin_and_not_before() {
        let run = new_run().unwrap();
        let now = SystemTime::now();
        assert_eq!(run.len(), 16, "{run}");
        assert!(!is_over(&run, now));
        assert!(!is_over(&run, now + OLD - Duration::from_secs(60)));
        assert!(is_over(&run, now + OLD + Duration::from_secs(60)));
    }

    #[test]
    fn what_is_no_name_of_a_run_is_nobodys_leftover() {
        let far = SystemTime::now() + 100 * OLD;
        for name in [
            "",
            "0",
            "0000000000000000x",
            "00000000000000",
            "A000000000000000",
            "photographs-1999",
            "\u{e9}2345678901234",
        ] {
            assert!(!is_over(name, far), "{name:?}");
        }
        // It begins in the future: somebody's clock is wrong, and it may be ours.
        assert!(!is_over("ffffffff00000000", SystemTime::now()));
    }
}
