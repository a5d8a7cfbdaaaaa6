//! Writes. Owns the order of their steps: the bytes are durable under a temporary name before the key's lock is taken;
//! under the lock stand only the check and the rename; every directory from the file up to the root is synced before the
//! write is acknowledged.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_driver_sdk::sessions::dir::{Dir, is_foreign};
use longshore_driver_sdk::{Condition, DriverError, Key, Object, Reason, Result, UploadId};
use rustix::fs::OFlags;

use crate::tree::{Standing, Tree, in_the_way, split};

/// A folder may be removed as empty between its making and the rename into it; each time somebody else got on.
const TRIES: u32 = 1000;
/// What a crash left in `.driver/tmp/` for so long nobody is writing any more.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// A key's folder with all above it; the root comes first.
struct Folders(Vec<Dir>);

impl Folders {
    fn last<'a>(&'a self, tree: &'a Tree) -> &'a Dir {
        self.0.last().unwrap_or(&tree.root)
    }

    /// From the leaf up. Clean directories cost next to nothing.
    fn sync(&self, tree: &Tree) -> io::Result<()> {
        if tree.stable { self.0.iter().rev().chain([&tree.root]).try_for_each(Dir::sync) } else { Ok(()) }
    }
}

/// Where the bytes of a file being moved to its key are now.
struct Source<'a> {
    dir: &'a Dir,
    name: &'a str,
}

impl Tree {
    /// Writes an object, atomically.
    pub(crate) fn put(&self, key: &Key, content: &[u8], condition: &Condition) -> Result<Object> {
        if matches!(condition, Condition::IfAbsent) {
            // Spares the writing when the answer is known; the answer that counts is given under the lock.
            self.must_be_free(key)?;
        }
        let temp = Temp::write(self, key, content)?;
        let source = Source { dir: &temp.dir, name: &temp.name };
        let folders = {
            let _locked = self.lock(&[key])?;
            self.check(key, condition)?;
            self.rename_into_place(&source, key, !matches!(condition, Condition::IfAbsent))?
        };
        folders.sync(self).map_err(|error| unsynced(key, error))?;
        self.describe(key, &temp.file)
    }

    /// Makes a file that is durable under another name the object, never over an existing one.
    pub(crate) fn publish(&self, dir: &Dir, name: &str, key: &Key) -> Result<()> {
        let folders = {
            let _locked = self.lock(&[key])?;
            self.rename_into_place(&Source { dir, name }, key, false)?
        };
        let synced = folders.sync(self).and_then(|()| if self.stable { dir.sync() } else { Ok(()) });
        synced.map_err(|error| unsynced(key, error))
    }

    /// Deletes an object, and folders that are empty then.
    pub(crate) fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        let _locked = self.lock(&[key])?;
        let folder = match self.root.dir(split(key).0) {
            Ok(folder) => folder,
            Err(error) => {
                let error = self.lookup_failed(key, error);
                return if error.reason() == Reason::KeyNotFound { Ok(false) } else { Err(error) };
            }
        };
        if self.standing(&folder, key)? != Standing::Object {
            return Ok(false);
        }
        if let Some(etag) = if_match {
            self.must_match(key, etag)?;
        }
        folder.unlink(key.name()).map_err(|error| DriverError::io(format!("delete key {key}"), error))?;
        self.sync_removal(key, &folder)?;
        Ok(true)
    }

    /// Renames an object, never over an existing one.
    pub(crate) fn rename(&self, from: &Key, to: &Key) -> Result<Object> {
        let _locked = self.lock(&[from, to])?;
        let file = self.open(from)?;
        if from == to {
            // One file under one name, and no left-over of a crash to be tidied up.
            return Err(taken(to));
        }
        let folder = self.root.dir(split(from).0).map_err(|error| self.lookup_failed(from, error))?;
        let folders = self.rename_into_place(&Source { dir: &folder, name: from.name() }, to, false)?;
        folders.sync(self).map_err(|error| unsynced(to, error))?;
        self.sync_removal(from, &folder)?;
        self.describe(to, &file)
    }

    fn check(&self, key: &Key, condition: &Condition) -> Result<()> {
        match condition {
            Condition::Always => Ok(()),
            Condition::IfAbsent => self.must_be_free(key),
            Condition::IfMatch(etag) => self.must_match(key, etag),
        }
    }

    fn must_be_free(&self, key: &Key) -> Result<()> {
        match self.root.dir(split(key).0) {
            Ok(folder) if self.standing(&folder, key)? == Standing::Object => Err(taken(key)),
            // What else may be wrong with the path shows when the folder is made.
            _ => Ok(()),
        }
    }

    fn must_match(&self, key: &Key, etag: &str) -> Result<()> {
        let found = match self.stat(key) {
            Ok(object) => object.etag,
            Err(error) if error.reason() == Reason::KeyNotFound => None,
            Err(error) => return Err(error),
        };
        if found.as_deref() == Some(etag) {
            return Ok(());
        }
        let message = format!("the object at key {key} has etag {found:?}, not {etag:?}");
        Err(DriverError::new(Reason::PreconditionFailed, message))
    }

    fn rename_into_place(&self, source: &Source<'_>, key: &Key, replace: bool) -> Result<Folders> {
        for _ in 0..TRIES {
            let folders = match self.make_folders(key) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.is_there()?;
                    continue;
                }
                other => other.map_err(|error| conflict_or_io(key, error))?,
            };
            let folder = folders.last(self);
            match self.standing(folder, key)? {
                Standing::Folder => return Err(in_a_folders_place(key)),
                Standing::Object if !replace && !is_same_file(source, folder, key) => return Err(taken(key)),
                Standing::Object if !replace => {
                    // A crash between link and unlink: the file is in its place, its old name is left.
                    source.dir.unlink(source.name).map_err(|error| conflict_or_io(key, error))?;
                    return Ok(folders);
                }
                _ => {}
            }
            let renamed = if replace {
                source.dir.rename(source.name, folder, key.name())
            } else {
                source.dir.rename_new(source.name, folder, key.name())
            };
            match renamed {
                Ok(()) => return Ok(folders),
                // The folder was empty for a moment, and somebody's delete removed it.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && source.dir.stat(source.name).is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken(key)),
                Err(error) => return Err(conflict_or_io(key, error)),
            }
        }
        let message = format!(
            "the folder of key {key} was removed {TRIES} times while the object was put there; try again"
        );
        Err(DriverError::new(Reason::Conflict, message))
    }

    fn make_folders(&self, key: &Key) -> io::Result<Folders> {
        let mut folders: Vec<Dir> = Vec::new();
        for name in split(key).0.split('/').filter(|name| !name.is_empty()) {
            let next = folders.last().unwrap_or(&self.root).make_dir(name)?;
            folders.push(next);
        }
        Ok(Folders(folders))
    }

    /// Makes a removal durable, and removes the folders it left empty.
    fn sync_removal(&self, key: &Key, folder: &Dir) -> Result<()> {
        let sync = |dir: &Dir| if self.stable { dir.sync() } else { Ok(()) };
        let failed = |error| DriverError::io(format!("make the removal of key {key} durable"), error);
        sync(folder).map_err(failed)?;
        let mut path = split(key).0;
        while !path.is_empty() {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            // Not empty, or already gone: there is nothing more to tidy up. An empty folder harms nobody.
            let Ok(parent) = self.root.dir(above) else { break };
            if parent.remove_dir(name).is_err() {
                break;
            }
            path = above;
        }
        Ok(())
    }

    /// Removes files that crashes left in `.driver/tmp/` long ago.
    pub(crate) fn remove_stale_temps(&self, now: SystemTime) -> io::Result<()> {
        let tmp = match self.root.dir(".driver/tmp") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for name in tmp.names()? {
            let name = name?.name;
            let Ok(stat) = tmp.stat(&name) else { continue };
            let touched = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
            if now.duration_since(touched).is_ok_and(|age| age > STALE)
                && let Err(error) = tmp.unlink(&name)
            {
                tracing::warn!(%name, %error, "a stale file in .driver/tmp can't be removed");
            }
        }
        Ok(())
    }
}

/// A file under a temporary name, which goes when this is dropped, unless it was renamed meanwhile.
struct Temp {
    dir: Dir,
    name: String,
    file: File,
}

impl Temp {
    fn write(tree: &Tree, key: &Key, content: &[u8]) -> Result<Self> {
        let failed = |error| DriverError::io(format!("write the object at key {key}"), error);
        let name = UploadId::random()?.to_string();
        let dir = match tree.root.dir(".driver/tmp") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tree.is_there()?;
                tree.root.make_dir(".driver").and_then(|driver| driver.make_dir("tmp"))
            }
            other => other,
        };
        let dir = dir.map_err(failed)?;
        let file = dir.file(&name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL).map_err(failed)?;
        let mut temp = Self { dir, name, file };
        temp.file.write_all(content).map_err(failed)?;
        if tree.stable {
            // After a failure the pages count as clean: the file is thrown away, never synced again.
            temp.file.sync_all().map_err(failed)?;
        }
        Ok(temp)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // Renamed: there is nothing to remove. Else the next start tries again.
        let _ = self.dir.unlink(&self.name);
    }
}

fn is_same_file(source: &Source<'_>, folder: &Dir, key: &Key) -> bool {
    match (source.dir.stat(source.name), folder.stat(key.name())) {
        (Ok(ours), Ok(theirs)) => (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino),
        _ => false,
    }
}

fn taken(key: &Key) -> DriverError {
    DriverError::new(Reason::KeyExists, format!("there is an object at key {key} already"))
}

fn in_a_folders_place(key: &Key) -> DriverError {
    DriverError::new(Reason::KeyConflict, format!("key {key} is a folder of other keys"))
}

fn conflict_or_io(key: &Key, error: io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::NotADirectory => {
            DriverError::new(Reason::KeyConflict, format!("a folder of key {key} is an object"))
        }
        io::ErrorKind::IsADirectory => in_a_folders_place(key),
        _ if is_foreign(&error) => in_the_way(key),
        _ => DriverError::io(format!("put the object at key {key} in its place"), error),
    }
}

fn unsynced(key: &Key, error: io::Error) -> DriverError {
    DriverError::io(format!("make the object at key {key} durable"), error).with_unknown_outcome()
}
