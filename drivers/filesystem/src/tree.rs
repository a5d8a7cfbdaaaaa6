//! Keys as paths below the root. Owns how a key's file is reached, and what a failed look-up means for the key.

use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_driver_sdk::sessions::dir::{Dir, is_foreign};
use longshore_driver_sdk::{DriverError, Key, Object, Reason, Result};
use rustix::fs::{FileType, OFlags, Stat};

use crate::etag;
use crate::locks::{Locked, Locks};

/// The root directory, held open from the start.
pub(crate) struct Tree {
    pub(crate) root: Dir,
    pub(crate) locks: Locks,
    /// Whether what is acknowledged must outlive a power cut.
    pub(crate) stable: bool,
}

/// What stands at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Nothing,
    Object,
    Folder,
}

/// A key's folder and the last component.
pub(crate) fn split(key: &Key) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

impl Tree {
    /// Keeps other writers of these keys out, of this process and of others.
    pub(crate) fn lock(&self, keys: &[&Key]) -> Result<Locked<'_>> {
        self.is_there()?;
        self.locks.lock(&self.root, keys)
    }

    /// Opens an object's file for reading.
    pub(crate) fn open(&self, key: &Key) -> Result<File> {
        self.root.file(key.as_str(), OFlags::RDONLY).map_err(|error| self.lookup_failed(key, error))
    }

    /// An object and its etag, from its open file.
    pub(crate) fn describe(&self, key: &Key, file: &File) -> Result<Object> {
        let failed = |error| DriverError::io(format!("look at the object at key {key}"), error);
        let stat = rustix::fs::fstat(file).map_err(|error| failed(error.into()))?;
        Ok(object(key.clone(), &stat, Some(etag::of(file, &stat).map_err(failed)?)))
    }

    pub(crate) fn stat(&self, key: &Key) -> Result<Object> {
        self.describe(key, &self.open(key)?)
    }

    /// What stands at `name` in a folder. What is neither file nor directory is in the way of every use of the key.
    pub(crate) fn standing(&self, folder: &Dir, key: &Key) -> Result<Standing> {
        match folder.stat(key.name()) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(Standing::Object),
                FileType::Directory => Ok(Standing::Folder),
                _ => Err(in_the_way(key)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.is_there().map(|()| Standing::Nothing)
            }
            Err(error) => Err(DriverError::io(format!("look at key {key}"), error)),
        }
    }

    /// What a failed look-up of a key says. Only the system's word that the path leads nowhere states absence, and only
    /// while the root is there (contract rule R5).
    pub(crate) fn lookup_failed(&self, key: &Key, error: io::Error) -> DriverError {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory => match self.is_there() {
                Ok(()) => DriverError::key_not_found(key),
                Err(gone) => gone,
            },
            _ if is_foreign(&error) => in_the_way(key),
            _ => self
                .is_there()
                .err()
                .unwrap_or_else(|| DriverError::io(format!("open the object at key {key}"), error)),
        }
    }

    /// Fails when the root itself is away, or its disk dead: then what a look-up does not find says nothing.
    pub(crate) fn is_there(&self) -> Result<()> {
        self.root.must_be_there()
    }
}

pub(crate) fn in_the_way(key: &Key) -> DriverError {
    let message = format!(
        "at key {key} there is no plain file (a link, a pipe or a device, perhaps); remove it by hand"
    );
    DriverError::new(Reason::KeyConflict, message)
}

pub(crate) fn object(key: Key, stat: &Stat, etag: Option<String>) -> Object {
    Object { key, size: u64::try_from(stat.st_size).unwrap_or_default(), etag, modified: modified(stat) }
}

fn modified(stat: &Stat) -> Option<SystemTime> {
    let seconds = u64::try_from(stat.st_mtime).ok()?;
    let nanos = u32::try_from(stat.st_mtime_nsec).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}
