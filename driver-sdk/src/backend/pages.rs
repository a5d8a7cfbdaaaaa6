//! Pages as the contract has them (section L), from a server's that has prefixes and delimiters of its own. The server's
//! order is that of the bytes, too; what it shows besides valid keys is passed over.

use async_trait::async_trait;

use crate::driver::{Entry, ListQuery, Object, Page};
use crate::error::Result;
use crate::key::{DRIVER_PREFIX, Key};

/// Sorts behind every key below a folder: keys are ASCII, and this is no character of theirs.
const LAST: char = '\u{7f}';
/// Names in one request.
const BATCH: usize = 1000;

/// One page of names, in the order of their bytes.
#[derive(Debug)]
pub struct Listing<F> {
    pub entries: Vec<Listed<F>>,
    pub more: bool,
}

impl<F> Default for Listing<F> {
    fn default() -> Self {
        Self { entries: Vec::new(), more: false }
    }
}

/// A name in a listing, and what the server told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<F> {
    /// A common prefix ends with a slash.
    pub name: String,
    /// `None`: a common prefix.
    pub found: Option<F>,
}

/// A server that lists.
#[async_trait]
pub trait Names: Sync {
    type Found: Send;

    /// Names below a prefix that sort behind a text; one level of them, or all. No more than the server gives at once.
    async fn names(
        &self,
        prefix: &str,
        one_level: bool,
        start_after: &str,
        most: usize,
    ) -> Result<Listing<Self::Found>>;

    /// What was found, as the contract shows it.
    fn object(key: &Key, found: Self::Found) -> Object;
}

/// The least text behind which lies all that a query asks for.
fn behind(name: &str) -> String {
    // Everything below a common prefix was shown by it.
    if name.ends_with('/') { format!("{name}{LAST}") } else { name.to_owned() }
}

/// The page that a query asks for.
///
/// # Errors
/// Those of the server.
pub async fn page<N: Names>(store: &N, query: &ListQuery) -> Result<Page<Entry>> {
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
        let listing = store.names(prefix, !query.recursive, &after, most).await?;
        let Some(last) = listing.entries.last().map(|entry| entry.name.clone()) else { return Ok(page) };
        after = if is_reserved(&last) { format!("{DRIVER_PREFIX}/{LAST}") } else { behind(&last) };
        for listed in listing.entries {
            let Some(entry) = entry::<N>(query, listed) else { continue };
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

/// Whether a name is the driver's own (contract clause K3).
pub fn is_reserved(name: &str) -> bool {
    name.strip_prefix(DRIVER_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn entry<N: Names>(query: &ListQuery, listed: Listed<N::Found>) -> Option<Entry> {
    let Listed { name, found } = listed;
    if is_reserved(&name) || name.as_str() <= query.start_after.as_str() {
        return None;
    }
    match found {
        Some(found) => Some(Entry::Object(N::object(&Key::parse(&name).ok()?, found))),
        None => Key::parse(name.strip_suffix('/')?).ok().map(|_| Entry::CommonPrefix(name)),
    }
}
