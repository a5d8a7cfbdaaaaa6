//! Listings. Owns their order, that of the bytes of full keys, in which a folder sorts as its name and `/`.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use longshore_driver_sdk::backend::is_reserved;
use longshore_driver_sdk::{Entry, Key, ListQuery, Object, Page, Result};

use crate::objects::Objects;

/// Names that are asked for at once.
const BATCH: usize = 1000;

/// One page.
pub(crate) async fn page(objects: &Objects, query: &ListQuery) -> Result<Page<Entry>> {
    let page = Page { entries: Vec::new(), more: false };
    let facts = objects.facts()?;
    let mut walk = Walk { objects, query, page, empty_folders: facts.empty_folders };
    if query.recursive && facts.lists_below {
        walk.all().await?;
    } else {
        walk.folder(query.prefix.as_str().to_owned()).await?;
    }
    Ok(walk.page)
}

struct Walk<'a> {
    objects: &'a Objects,
    query: &'a ListQuery,
    page: Page<Entry>,
    empty_folders: bool,
}

impl Walk<'_> {
    /// Adds what lies below the prefix, where the old driver's store tells all of that at once.
    async fn all(&mut self) -> Result<()> {
        let path = self.query.prefix.as_str();
        let mut after = self.query.start_after.strip_prefix(path).unwrap_or_default().to_owned();
        loop {
            let names = self.objects.names_below(path, &after, self.room()).await?;
            for (name, size) in names.entries {
                self.object(&format!("{path}{name}"), size);
                if self.page.more {
                    return Ok(());
                }
            }
            match names.last.filter(|_| names.more) {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// One more than can be taken says whether there is more.
    fn room(&self) -> usize {
        (self.query.limit + 1 - self.page.entries.len()).min(BATCH)
    }

    /// Adds what lies in a folder, until the page is full. `path` is empty or ends with `/`.
    fn folder(&mut self, path: String) -> BoxFuture<'_, Result<()>> {
        async move {
            let mut from = self.first(&path);
            loop {
                let names = self.objects.names(&path, &from, self.room()).await?;
                for (name, size) in names.entries {
                    self.name(&path, &name, size).await?;
                    if self.page.more {
                        return Ok(());
                    }
                }
                // What is not shown now may have been all of these.
                match names.last.filter(|_| names.more) {
                    Some(last) => from = behind(&last),
                    None => return Ok(()),
                }
            }
        }
        .boxed()
    }

    /// No name of a folder that sorts before this leads to anything in the page.
    fn first(&self, path: &str) -> String {
        let Some(rest) = self.query.start_after.strip_prefix(path) else { return String::new() };
        match rest.split_once('/') {
            // A recursive listing may take up inside a folder.
            Some((folder, _)) if self.query.recursive => format!("{folder}/"),
            _ => rest.to_owned(),
        }
    }

    async fn name(&mut self, path: &str, name: &str, size: u64) -> Result<()> {
        let full = format!("{path}{name}");
        if !name.ends_with('/') {
            self.object(&full, size);
            return Ok(());
        }
        // What is no key is not shown; a folder that leads back to itself ends so, too: its path grows too long.
        if is_reserved(full.trim_end_matches('/')) || !may_be_in_key(&full) {
            return Ok(());
        }
        if self.query.recursive {
            if self.is_behind(&full) || self.query.start_after.starts_with(&full) {
                self.folder(full).await?;
            }
        } else if self.is_behind(&full)
            && (!self.empty_folders || holds_a_key(self.objects, full.clone()).await?)
        {
            self.add(Entry::CommonPrefix(full));
        }
        Ok(())
    }

    fn object(&mut self, path: &str, size: u64) {
        if let Ok(key) = Key::parse(path)
            && !is_reserved(path)
            && self.is_behind(path)
        {
            self.add(Entry::Object(Object { key, size, etag: None, modified: None }));
        }
    }

    fn is_behind(&self, path: &str) -> bool {
        path > self.query.start_after.as_str()
    }

    fn add(&mut self, entry: Entry) {
        if self.page.entries.len() < self.query.limit {
            self.page.entries.push(entry);
        } else {
            self.page.more = true;
        }
    }
}

fn behind(name: &str) -> String {
    format!("{name}\0")
}

fn may_be_in_key(path: &str) -> bool {
    Key::parse(path.trim_end_matches('/')).is_ok()
}

/// Whether any key lies in a folder: some backends keep empty ones, and they are no common prefix of anything.
fn holds_a_key(objects: &Objects, path: String) -> BoxFuture<'_, Result<bool>> {
    async move {
        let mut from = String::new();
        loop {
            let names = objects.names(&path, &from, BATCH).await?;
            for (name, _) in &names.entries {
                let full = format!("{path}{name}");
                if may_be_in_key(&full) && (!name.ends_with('/') || holds_a_key(objects, full).await?) {
                    return Ok(true);
                }
            }
            match names.last.filter(|_| names.more) {
                Some(last) => from = behind(&last),
                None => return Ok(false),
            }
        }
    }
    .boxed()
}
