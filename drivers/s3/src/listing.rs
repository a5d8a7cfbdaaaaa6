//! Pages as the contract has them (section L), from the server's. The server's order is that of the bytes, too; what it
//! shows besides valid keys is passed over.

use longshore_driver_sdk::key::DRIVER_PREFIX;
use longshore_driver_sdk::{Entry, Key, ListQuery, Object, Page, Result};

use crate::bucket::{BATCH, Bucket, Found, Listed};

/// Sorts behind every key below a folder: keys are ASCII, and this is no character of theirs.
const LAST: char = '\u{7f}';

pub(crate) fn object(key: &Key, found: Found) -> Object {
    Object { key: key.clone(), size: found.size, etag: found.etag, modified: found.modified }
}

/// The least text behind which lies all that a query asks for.
fn behind(name: &str) -> String {
    // Everything below a common prefix was shown by it.
    if name.ends_with('/') { format!("{name}{LAST}") } else { name.to_owned() }
}

pub(crate) async fn page(bucket: &Bucket, query: &ListQuery) -> Result<Page<Entry>> {
    let prefix = query.prefix.as_str();
    let mut page = Page { entries: Vec::new(), more: false };
    let mut after = if query.start_after.as_str() <= prefix {
        String::new()
    } else if query.recursive {
        query.start_after.clone()
    } else {
        behind(&query.start_after)
    };
    loop {
        // One more than is wanted, to know whether there is more.
        let most = (query.limit + 1 - page.entries.len()).min(BATCH);
        let listing = bucket.list(prefix, !query.recursive, &after, most).await?;
        let Some(last) = listing.entries.last().map(|entry| entry.name.clone()) else { return Ok(page) };
        after = if is_reserved(&last) { format!("{DRIVER_PREFIX}/{LAST}") } else { behind(&last) };
        for listed in listing.entries {
            let Some(entry) = entry(query, listed) else { continue };
            if page.entries.len() == query.limit {
                page.more = true;
                return Ok(page);
            }
            page.entries.push(entry);
        }
        if !listing.more {
            return Ok(page);
        }
    }
}

pub(crate) fn is_reserved(name: &str) -> bool {
    name.strip_prefix(DRIVER_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn entry(query: &ListQuery, listed: Listed) -> Option<Entry> {
    let Listed { name, found } = listed;
    if is_reserved(&name) || name.as_str() <= query.start_after.as_str() {
        return None;
    }
    match found {
        Some(found) => Some(Entry::Object(object(&Key::parse(&name).ok()?, found))),
        None => Key::parse(name.strip_suffix('/')?).ok().map(|_| Entry::CommonPrefix(name)),
    }
}
