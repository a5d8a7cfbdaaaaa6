//! The directory that everything lies in. Owns its layout, the lock around every change, what is durable when, and what
//! a failed look-up means.
//!
//! `objects/KEY` is an object: 32 bytes of etag, then the content. `uploads/ID/` is a session, `meta/` holds the store's
//! id and the lock, `tmp/` what is being written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use longshore_driver_proto::v1;
use longshore_driver_sdk::endpoint::Endpoint;
use rustix::fs::FlockOperation;

use crate::faults::Fault;
use crate::keys;
use crate::refusal::{BACKEND_UNAVAILABLE, KEY_CONFLICT, KEY_NOT_FOUND, Refusal, Result};

/// In front of an object's content: its etag.
pub(crate) const HEADER: u64 = 32;
/// How long a change that was made in two steps stays half done, where a fault makes it so.
pub(crate) const GAP: Duration = Duration::from_millis(30);

pub(crate) struct Store {
    pub(crate) fault: Fault,
    root: PathBuf,
    /// Where this instance listens.
    endpoint: String,
    /// For the fault that remembers what was not there.
    absent: Mutex<HashMap<String, Instant>>,
}

/// An object that is open: whatever happens to its key, this is its content.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) object: v1::Object,
}

impl Store {
    /// Makes the directory at the first start, and undoes what a fault lost at a kill.
    pub(crate) fn open(root: &Path, fault: Fault) -> io::Result<Self> {
        for part in ["objects", "uploads", "meta", "tmp"] {
            fs::create_dir_all(root.join(part))?;
        }
        let lock = fs::OpenOptions::new().create(true).append(true).open(root.join("meta/lock"))?;
        lock.sync_all()?;
        let store = Self { fault, root: root.to_owned(), endpoint: String::new(), absent: Mutex::default() };
        crate::losses::undo(&store.volatile())?;
        Ok(store)
    }

    /// The same, as the store of the instance that listens there.
    pub(crate) fn at(self, endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.to_string(), ..self }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Where faults note what a kill takes away.
    pub(crate) fn volatile(&self) -> PathBuf {
        self.root.join("meta/volatile")
    }

    pub(crate) fn object_path(&self, key: &str) -> PathBuf {
        if key == keys::STORE_ID {
            return self.root.join("meta/store-id");
        }
        keys::path(self.fault, &self.objects(), key)
    }

    /// A name in `tmp/` that nobody else has.
    pub(crate) fn temporary(&self) -> Result<PathBuf> {
        Ok(self.root.join("tmp").join(random()?))
    }

    /// Keeps every other change out, of this process and of others.
    pub(crate) fn lock(&self) -> Result<File> {
        self.flock(FlockOperation::LockExclusive)
    }

    /// Keeps changes out.
    pub(crate) fn lock_shared(&self) -> Result<File> {
        self.flock(FlockOperation::LockShared)
    }

    fn flock(&self, how: FlockOperation) -> Result<File> {
        let lock =
            File::open(self.root.join("meta/lock")).map_err(|error| self.failed("the lock", &error))?;
        rustix::fs::flock(&lock, how).map_err(|error| self.failed("the lock", &error.into()))?;
        Ok(lock)
    }

    /// The backend is there: what it lacks is absent (R5).
    pub(crate) fn is_there(&self) -> bool {
        self.root.join("meta/lock").is_file()
    }

    fn gone(&self) -> Refusal {
        Refusal::new(BACKEND_UNAVAILABLE, format!("{} is not there", self.root.display()))
    }

    pub(crate) fn reachable(&self) -> Result<()> {
        if self.is_there() { Ok(()) } else { Err(self.gone()) }
    }

    /// A failure that is no statement of absence.
    pub(crate) fn failed(&self, what: &str, error: &io::Error) -> Refusal {
        if self.is_there() { Refusal::io(what, error) } else { self.gone() }
    }

    /// What a failed look-up of a key says.
    pub(crate) fn missing(&self, key: &str, error: &io::Error) -> Refusal {
        use io::ErrorKind as Kind;
        if self.fault == Fault::ErrorAsAbsence {
            return Refusal::new(KEY_NOT_FOUND, format!("no object at {key}"));
        }
        match error.kind() {
            _ if !self.is_there() => self.gone(),
            Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory => {
                Refusal::new(KEY_NOT_FOUND, format!("no object at {key}"))
            }
            _ => Refusal::io(key, error),
        }
    }

    /// Opens an object's file.
    pub(crate) fn find(&self, key: &str) -> Result<Opened> {
        if self.fault == Fault::AbsenceCached && self.was_absent(key) {
            return Err(Refusal::new(KEY_NOT_FOUND, format!("no object at {key}, a moment ago")));
        }
        let path = self.object_path(key);
        let file = File::open(&path).map_err(|error| self.missing(key, &error))?;
        let data = file.metadata().map_err(|error| self.failed(key, &error))?;
        if !data.is_file() {
            return Err(self.missing(key, &io::ErrorKind::IsADirectory.into()));
        }
        let mut etag = [0; HEADER as usize];
        file.read_exact_at(&mut etag, 0).map_err(|error| self.failed(key, &error))?;
        let object = v1::Object {
            key: key.to_owned(),
            size: data.len().saturating_sub(HEADER),
            etag: String::from_utf8_lossy(&etag).into_owned(),
            modified: data.modified().ok().map(Into::into),
        };
        Ok(Opened { file, object })
    }

    /// Whether the key had no object when it was last looked up, within a second.
    fn was_absent(&self, key: &str) -> bool {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.object_path(key).exists() {
            absent.entry(key.to_owned()).or_insert_with(Instant::now);
        }
        absent.get(key).is_some_and(|since| since.elapsed() < Duration::from_secs(1))
    }

    /// The object that is there, if one is; the caller holds the lock.
    pub(crate) fn present(&self, key: &str) -> Result<Option<v1::Object>> {
        match self.find(key) {
            Ok(found) => Ok(Some(found.object)),
            Err(refusal) if refusal.reason == KEY_NOT_FOUND => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// A file in `tmp/` with this content, which is durable.
    pub(crate) fn written(&self, header: &[u8], content: &[u8]) -> Result<PathBuf> {
        let path = self.temporary()?;
        let write = || -> io::Result<()> {
            let mut file = File::create_new(&path)?;
            file.write_all(header)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(|error| self.failed("a new file", &error))?;
        Ok(path)
    }

    /// The folders above a path below the root, each durable.
    pub(crate) fn make_parents(&self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        if parent.is_dir() {
            return Ok(());
        }
        self.reachable()?;
        let top = self.objects();
        let mut missing: Vec<&Path> =
            parent.ancestors().take_while(|folder| *folder != top && !folder.is_dir()).collect();
        while let Some(folder) = missing.pop() {
            fs::create_dir(folder).map_err(|error| self.in_the_way(folder, &error))?;
            self.sync_parent(folder)?;
        }
        Ok(())
    }

    /// K5: an object where a folder must be, or the other way round.
    pub(crate) fn in_the_way(&self, path: &Path, error: &io::Error) -> Refusal {
        use io::ErrorKind as Kind;
        let name = path.display().to_string();
        match error.kind() {
            Kind::NotADirectory | Kind::IsADirectory | Kind::AlreadyExists | Kind::DirectoryNotEmpty => {
                Refusal::new(KEY_CONFLICT, format!("{name}: an object and a folder at once"))
            }
            _ => self.failed(&name, error),
        }
    }

    /// Makes names durable (O9).
    pub(crate) fn sync_parent(&self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.failed("a folder", &error))
    }

    /// Moves a file of `tmp/` to its place; the caller holds the lock.
    pub(crate) fn place(&self, from: &Path, to: &Path) -> Result<()> {
        self.make_parents(to)?;
        fs::rename(from, to).map_err(|error| self.in_the_way(to, &error))?;
        self.sync_parent(to)
    }

    /// Removes folders that have become empty; the caller holds the lock.
    pub(crate) fn prune(&self, path: &Path) {
        let top = self.objects();
        if self.fault == Fault::ListEmptyFolders {
            return;
        }
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != top) {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }

    /// Space that is free.
    pub(crate) fn bytes_free(&self) -> Result<u64> {
        let state =
            rustix::fs::statvfs(&self.root).map_err(|error| self.failed("the root", &error.into()))?;
        Ok(state.f_bavail * state.f_frsize)
    }
}

/// An etag or a temporary name: 32 hexadecimal digits that never came before (O3).
pub(crate) fn random() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::new(crate::refusal::IO_ERROR, format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn now() -> Option<prost_types::Timestamp> {
    Some(SystemTime::now().into())
}
