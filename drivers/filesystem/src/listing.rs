//! Listings. Owns their order, that of the bytes of full keys, in which a folder sorts as its name and `/`; and their
//! bound: no more names are kept of a folder than the page has entries, however many it holds.

use std::collections::BTreeMap;
use std::io;

use longshore_driver_sdk::key::is_component;
use longshore_driver_sdk::sessions::dir::{Dir, is_foreign};
use longshore_driver_sdk::{DriverError, Entry, Key, ListQuery, Page, Result};
use rustix::fs::{FileType, Stat};

use crate::tree::{Tree, object};

/// One page. Blocks.
pub(crate) fn list(tree: &Tree, query: &ListQuery) -> Result<Page<Entry>> {
    let prefix = query.prefix.as_str();
    let mut listing = Listing { query, page: Page { entries: Vec::new(), more: false } };
    match tree.root.dir(prefix.trim_end_matches('/')) {
        Ok(folder) => listing.folder(&folder, prefix).map_err(failed)?,
        Err(error) if is_no_folder(&error) => tree.is_there()?,
        Err(error) => return Err(failed(error)),
    }
    Ok(listing.page)
}

fn failed(error: io::Error) -> DriverError {
    DriverError::io("list keys", error)
}

/// Nothing is there that could hold keys, or not any more.
fn is_no_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || is_foreign(error)
}

struct Listing<'a> {
    query: &'a ListQuery,
    page: Page<Entry>,
}

impl Listing<'_> {
    /// Adds what lies in a folder, until the page is full. `path` is empty or ends with `/`.
    fn folder(&mut self, folder: &Dir, path: &str) -> io::Result<()> {
        let mut last = String::new();
        loop {
            // One more than can be taken says whether there is more.
            let room = self.query.limit + 1 - self.page.entries.len();
            let batch = self.names_behind(folder, path, &last, room)?;
            let Some((name, _)) = batch.last_key_value() else { return Ok(()) };
            last.clone_from(name);
            let complete = batch.len() < room;
            for (name, kind) in batch {
                self.name(folder, path, &name, kind)?;
                if self.page.more {
                    return Ok(());
                }
            }
            if complete {
                return Ok(());
            }
        }
    }

    /// The first names of a folder that sort behind `last` and may lead to keys of this page; folders end with `/`.
    fn names_behind(
        &self,
        folder: &Dir,
        path: &str,
        last: &str,
        most: usize,
    ) -> io::Result<BTreeMap<String, FileType>> {
        let mut first = BTreeMap::new();
        for entry in folder.names()? {
            let mut entry = entry?;
            if !is_component(&entry.name) {
                continue;
            }
            if entry.kind == FileType::Unknown {
                match folder.stat(&entry.name) {
                    Ok(stat) => entry.kind = FileType::from_raw_mode(stat.st_mode),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            match entry.kind {
                FileType::RegularFile => {}
                FileType::Directory => entry.name.push('/'),
                _ => continue,
            }
            if entry.name.as_str() > last && self.is_wanted(path, &entry.name) {
                first.insert(entry.name, entry.kind);
                if first.len() > most {
                    first.pop_last();
                }
            }
        }
        Ok(first)
    }

    fn is_wanted(&self, path: &str, name: &str) -> bool {
        let full = format!("{path}{name}");
        let hidden =
            full.strip_prefix(".driver").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let after = self.query.start_after.as_str();
        // A recursive listing may take up inside a folder that sorts before the place where it left off.
        let inside = self.query.recursive && name.ends_with('/') && after.starts_with(&full);
        !hidden && (full.as_str() > after || inside)
    }

    fn name(&mut self, folder: &Dir, path: &str, name: &str, kind: FileType) -> io::Result<()> {
        let full = format!("{path}{name}");
        if kind != FileType::Directory {
            let Ok(key) = Key::parse(&full) else { return Ok(()) };
            let Some(stat) = regular(folder.stat(name))? else { return Ok(()) };
            self.add(Entry::Object(object(key, &stat, None)));
            return Ok(());
        }
        let inner = match folder.dir(name.trim_end_matches('/')) {
            Err(error) if is_no_folder(&error) => return Ok(()),
            other => other?,
        };
        if self.query.recursive {
            self.folder(&inner, &full)?;
        } else if holds_a_key(&inner, &full)? {
            self.add(Entry::CommonPrefix(full));
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        if self.page.entries.len() < self.query.limit {
            self.page.entries.push(entry);
        } else {
            self.page.more = true;
        }
    }
}

/// `None`: gone since its folder was read, or no plain file any more.
fn regular(stat: io::Result<Stat>) -> io::Result<Option<Stat>> {
    match stat {
        Ok(stat) => Ok((FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether any key lies in a folder: empty ones are left by crashes, and are no common prefix of anything.
fn holds_a_key(folder: &Dir, path: &str) -> io::Result<bool> {
    for entry in folder.names()? {
        let entry = entry?;
        let full = format!("{path}{}", entry.name);
        if Key::parse(&full).is_err() {
            continue;
        }
        // Where the kind is unknown, opening it as a folder tells.
        if matches!(entry.kind, FileType::RegularFile | FileType::Unknown)
            && regular(folder.stat(&entry.name))?.is_some()
        {
            return Ok(true);
        }
        if matches!(entry.kind, FileType::Directory | FileType::Unknown) {
            match folder.dir(&entry.name) {
                Ok(inner) if holds_a_key(&inner, &format!("{full}/"))? => return Ok(true),
                Err(error) if !is_no_folder(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(false)
}
