//! List (contract section L). Owns the walk over the tree, which keeps one page in memory whatever lies there, and the
//! order of the names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::entry::Is;

use crate::faults::Fault;
use crate::keys;
use crate::refusal::{KEY_NOT_FOUND, REQUEST_NOT_UNDERSTOOD, Refusal, Result};
use crate::store::{HEADER, Store};

pub(crate) const MAX_PAGE: u32 = 1000;

/// The smallest names behind `start_after`, and one more.
struct Page<'a> {
    query: &'a v1::ListRequest,
    names: BTreeMap<String, Option<v1::Object>>,
    most: usize,
    fault: Fault,
}

impl Store {
    pub(crate) fn list(&self, query: &v1::ListRequest) -> Result<v1::ListResponse> {
        keys::check_prefix(self.fault, &query.prefix)?;
        let limit = self.limit_of(query.limit, MAX_PAGE)?;
        let mut query = query.clone();
        if self.fault == Fault::ListNeverRecursive {
            query.recursive = false;
        }
        if self.fault == Fault::ListStartMustExist && !query.start_after.is_empty() {
            let start = self.object_path(query.start_after.trim_end_matches('/'));
            if !start.exists() {
                query.start_after.clear();
            }
        }
        let mut page = Page { query: &query, names: BTreeMap::new(), most: limit + 1, fault: self.fault };
        let _lock = self.lock_shared()?;
        let top = keys::path(self.fault, &self.objects(), query.prefix.trim_end_matches('/'));
        let top = if query.prefix.is_empty() { self.objects() } else { top };
        self.walk(&top, &query.prefix, &mut page)?;
        if self.fault == Fault::ListSiblings {
            self.walk_siblings(&query.prefix, &mut page)?;
        }
        if self.fault == Fault::ListOwnKeys && query.prefix.is_empty() {
            page.offer(keys::STORE_ID.to_owned(), || None);
        }
        if self.fault == Fault::ListAbsentFolder && page.names.is_empty() && query.start_after.is_empty() {
            return Err(Refusal::new(KEY_NOT_FOUND, "nothing lies there"));
        }
        Ok(self.finish(page, limit))
    }

    /// L3: at most what is asked for, and at most what was agreed.
    pub(crate) fn limit_of(&self, asked: u32, max: u32) -> Result<usize> {
        if self.fault == Fault::LimitHugeRefused && asked > max {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "the limit is above the largest page"));
        }
        if self.fault == Fault::ListLimitIgnored {
            return Ok(max as usize);
        }
        if self.fault == Fault::LimitZeroIsOne && asked == 0 {
            return Ok(1);
        }
        let limit = if asked == 0 { max } else { asked.min(max) };
        Ok(limit as usize)
    }

    fn walk(&self, folder: &Path, name: &str, page: &mut Page<'_>) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.no_folder(&error),
        };
        for entry in entries {
            let entry = entry.map_err(|error| self.failed("a folder", &error))?;
            let Ok(file_name) = entry.file_name().into_string() else { continue };
            if !keys::is_component(Fault::None, &file_name) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let full = format!("{name}{file_name}");
            if !kind.is_dir() {
                page.offer(full, || object(&entry));
            } else if page.query.recursive || self.fault == Fault::ListAlwaysRecursive {
                let below = format!("{full}/");
                if page.may_hold(&below) {
                    self.walk(&entry.path(), &below, page)?;
                }
            } else if self.fault == Fault::ListEmptyFolders || has_any(&entry.path()) {
                let slash = if self.fault == Fault::ListPrefixWithoutSlash { "" } else { "/" };
                page.offer(format!("{full}{slash}"), || None);
            }
        }
        Ok(())
    }

    /// The fault that takes a prefix for any text that names begin with.
    fn walk_siblings(&self, prefix: &str, page: &mut Page<'_>) -> Result<()> {
        let Some(folder) = prefix.strip_suffix('/') else { return Ok(()) };
        let path = self.object_path(folder);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let above = folder.rsplit_once('/').map_or(String::new(), |(above, _)| format!("{above}/"));
        let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
        for entry in entries.flatten() {
            let sibling = entry.file_name().to_string_lossy().into_owned();
            if sibling.starts_with(&*name.to_string_lossy()) && entry.path().is_file() {
                page.offer(format!("{above}{sibling}"), || object(&entry));
            }
        }
        Ok(())
    }

    /// A folder without keys is an empty page, if the backend is there to say so.
    fn no_folder(&self, error: &io::Error) -> Result<()> {
        match error.kind() {
            _ if self.fault == Fault::ErrorAsAbsence => Ok(()),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.reachable(),
            _ => Err(self.failed("a folder", error)),
        }
    }

    fn finish(&self, page: Page<'_>, limit: usize) -> v1::ListResponse {
        let mut more = page.names.len() > limit;
        let mut entries: Vec<_> = page.names.into_iter().take(limit).map(entry).collect();
        let is_whole = !more;
        match self.fault {
            Fault::ListUnsorted => entries.reverse(),
            Fault::ListFoldersFirst => {
                entries.sort_by_key(|entry| !matches!(entry.is, Some(Is::CommonPrefix(_))));
            }
            Fault::ListByComponent => {
                entries.sort_by_cached_key(|entry| name_of(entry).replace('/', "\0"));
            }
            Fault::ListMoreAlways => more = true,
            Fault::ListMoreNever => more = false,
            Fault::ListMoreWhenFull => more = entries.len() == limit,
            Fault::ListEmptyPage if more => entries.clear(),
            Fault::ListSkipsAtEdge if !is_whole && entries.len() > 1 => {
                entries.remove(0);
            }
            Fault::ListStale => entries.retain(|entry| !is_fresh(entry)),
            Fault::ListTwice => {
                entries = entries.into_iter().flat_map(|entry| [entry.clone(), entry]).collect();
            }
            Fault::ListRelativeKeys => {
                for entry in &mut entries {
                    if let Some(Is::Object(object)) = &mut entry.is {
                        object.key = object.key.rsplit('/').next().unwrap_or_default().to_owned();
                    }
                }
            }
            Fault::ListWithoutSizes => {
                for entry in &mut entries {
                    if let Some(Is::Object(object)) = &mut entry.is {
                        object.size = 0;
                    }
                }
            }
            _ => {}
        }
        v1::ListResponse { entries, more }
    }
}

impl Page<'_> {
    fn offer(&mut self, name: String, object: impl FnOnce() -> Option<v1::Object>) {
        let start = &self.query.start_after;
        let is_behind = match self.fault {
            Fault::ListStartIncluded => name >= *start,
            // What lies below the common prefix is behind its name without the slash.
            Fault::ListPrefixAgain if start.ends_with('/') => *name >= **start,
            _ => name > *start,
        };
        if !(start.is_empty() || is_behind) || self.is_full_before(&name) {
            return;
        }
        let is_folder = name.ends_with('/') || self.fault == Fault::ListPrefixWithoutSlash;
        let Some(object) = object().map(|found| v1::Object { key: name.clone(), ..found }) else {
            // A file that went away meanwhile.
            if is_folder || name == keys::STORE_ID {
                self.keep(name, None);
            }
            return;
        };
        self.keep(name, Some(object));
    }

    fn keep(&mut self, name: String, object: Option<v1::Object>) {
        self.names.insert(name, object);
        if self.names.len() > self.most {
            self.names.pop_last();
        }
    }

    fn is_full_before(&self, name: &str) -> bool {
        self.names.len() == self.most && self.names.last_key_value().is_some_and(|(last, _)| **last < *name)
    }

    /// Whether a key below this folder may belong to the page.
    fn may_hold(&self, folder: &str) -> bool {
        let start = &self.query.start_after;
        (*folder > **start || start.starts_with(folder)) && !self.is_full_before(folder)
    }
}

fn object(entry: &fs::DirEntry) -> Option<v1::Object> {
    let data = entry.metadata().ok()?;
    Some(v1::Object {
        key: String::new(),
        size: data.len().saturating_sub(HEADER),
        etag: String::new(),
        modified: data.modified().ok().map(Into::into),
    })
}

fn entry((name, object): (String, Option<v1::Object>)) -> v1::Entry {
    v1::Entry { is: Some(object.map_or(Is::CommonPrefix(name), Is::Object)) }
}

fn name_of(entry: &v1::Entry) -> String {
    match &entry.is {
        Some(Is::Object(object)) => object.key.clone(),
        Some(Is::CommonPrefix(prefix)) => prefix.clone(),
        None => String::new(),
    }
}

/// Written a moment ago.
fn is_fresh(entry: &v1::Entry) -> bool {
    let Some(Is::Object(object)) = &entry.is else { return false };
    let written = object.modified.and_then(|time| SystemTime::try_from(time).ok());
    written.and_then(|time| time.elapsed().ok()).is_some_and(|age| age < Duration::from_millis(500))
}

/// Whether a key lies below a folder, however deep.
fn has_any(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => has_any(&entry.path()),
        Ok(_) => keys::is_component(Fault::None, &entry.file_name().to_string_lossy()),
        Err(_) => false,
    })
}
