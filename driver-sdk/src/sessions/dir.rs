//! A directory held by a descriptor. Owns how files below a root are reached: never through a symbolic link, never out
//! of the root, never waiting on a FIFO.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::backend::Place;
use crate::error::{DriverError, Reason, Result};

/// Below a root, a file that is never removed once it is there.
const WITNESS: &str = ".driver/store-id";

/// An open directory; every name is relative to it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// What is known of a root.
    root: Option<Arc<Root>>,
}

#[derive(Debug)]
struct Root {
    place: Place,
    witness_seen: AtomicBool,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirName {
    pub name: String,
    /// `Unknown` where the file system does not say.
    pub kind: FileType,
}

impl Dir {
    /// Opens a root. Its own path is the operator's and may lead through symbolic links.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open_root(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let found = rustix::fs::fstat(&fd)?;
        let root = Root {
            place: Place::new(path, found.st_dev, found.st_ino),
            witness_seen: AtomicBool::new(false),
        };
        Ok(Self { fd, root: Some(Arc::new(root)) })
    }

    /// A second descriptor of the same directory.
    ///
    /// # Errors
    /// Those of the system.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, root: self.root.clone() })
    }

    /// Opens a directory below this one; `path` may have several components, and be empty for this one itself.
    ///
    /// # Errors
    /// Those of the system; a symbolic link anywhere is `ELOOP`.
    pub fn dir(&self, path: &str) -> io::Result<Self> {
        if path.is_empty() {
            self.try_clone()
        } else {
            let fd = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::empty())?;
            Ok(Self { fd, root: None })
        }
    }

    /// Opens a regular file below this directory.
    ///
    /// # Errors
    /// Those of the system; what is neither a file nor a directory is [`is_foreign`].
    pub fn file(&self, path: &str, flags: OFlags) -> io::Result<File> {
        regular(self.open(path, flags, ResolveFlags::empty())?)
    }

    /// The same for reading, if the kernel can do it without waiting for the disk (Linux 5.12).
    ///
    /// # Errors
    /// As [`Dir::file`], and `WouldBlock` or `InvalidInput` when it can't.
    pub fn file_if_cached(&self, path: &str) -> io::Result<File> {
        regular(self.open(path, OFlags::RDONLY, ResolveFlags::CACHED)?)
    }

    fn open(&self, path: &str, flags: OFlags, more: ResolveFlags) -> io::Result<OwnedFd> {
        // Without O_NOFOLLOW: with O_DIRECTORY it would tell a link as ENOTDIR, as if a plain file were there.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.fd, path, flags, mode, resolve | more)?)
    }

    /// Opens the directory `name`, and makes it first where it is missing.
    ///
    /// # Errors
    /// Those of the system; `ENOTDIR` if something else has the name.
    pub fn make_dir(&self, name: &str) -> io::Result<Self> {
        match self.dir(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => self.dir(name),
                    Err(error) => Err(error.into()),
                }
            }
            other => other,
        }
    }

    /// Makes the directory `name`, which must not exist.
    ///
    /// # Errors
    /// Those of the system.
    pub fn make_new_dir(&self, name: &str) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755))?;
        self.dir(name)
    }

    /// What a name stands for, without following it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What this directory itself is.
    ///
    /// # Errors
    /// Those of the system.
    pub fn stat_self(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// Whether what is missing here can be believed to be missing. A directory that was removed under us answers
    /// `ENOENT` to everything, and so may one whose disk died; one that was renamed away is no longer the root that the
    /// operator knows. So a root must still be where it was opened, and its witness must open. Neither waits for a sync.
    pub fn is_there(&self) -> bool {
        let Ok(held) = self.stat_self() else { return false };
        held.st_nlink > 0
            && self.root.as_ref().is_none_or(|root| root.place.check().is_ok() && self.has_witness(root))
    }

    /// The same as an error to pass on.
    ///
    /// # Errors
    /// [`Reason::BackendUnavailable`] if it can't be believed.
    pub fn must_be_there(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let message = "the root directory is not where it was when the driver started, or its disk does not answer; \
                       bring it back";
        Err(DriverError::new(Reason::BackendUnavailable, message))
    }

    /// `stat` would be answered from the kernel's cache even when the disk is dead; `open` asks the file system. A store
    /// that was not initialised has no witness yet.
    fn has_witness(&self, root: &Root) -> bool {
        match self.file(WITNESS, OFlags::RDONLY) {
            Ok(_) => {
                root.witness_seen.store(true, Ordering::Relaxed);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                !root.witness_seen.load(Ordering::Relaxed)
            }
            Err(error) => is_foreign(&error),
        }
    }

    /// Space and flags of the file system.
    ///
    /// # Errors
    /// Those of the system.
    pub fn stat_fs(&self) -> io::Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(&self.fd)?)
    }

    /// Renames, over an existing file if there is one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn rename(&self, from: &str, to_dir: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &to_dir.fd, to)?)
    }

    /// Renames, never over anything. File systems that can't (NFS) get a link and an unlink: a crash between the two
    /// leaves two names of one file, which shows in its link count.
    ///
    /// # Errors
    /// Those of the system; `EEXIST` if the new name is taken.
    pub fn rename_new(&self, from: &str, to_dir: &Self, to: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.fd, from, &to_dir.fd, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(&self.fd, from, &to_dir.fd, to, AtFlags::empty())?;
                self.unlink(from)
            }
            other => Ok(other?),
        }
    }

    /// Renames a directory in this one, to a name that is free or an empty directory's.
    ///
    /// # Errors
    /// Those of the system; `EEXIST` or `ENOTEMPTY` if the new name is taken, both told as the former.
    pub fn rename_new_dir(&self, from: &str, to: &str) -> io::Result<()> {
        match rustix::fs::renameat(&self.fd, from, &self.fd, to) {
            Err(Errno::NOTEMPTY) => Err(Errno::EXIST.into()),
            other => Ok(other?),
        }
    }

    /// Removes a file's name.
    ///
    /// # Errors
    /// Those of the system.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of the system.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Makes the names in this directory durable.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// The names in this directory, unordered, without `.` and `..`, and without those that are no UTF-8.
    ///
    /// # Errors
    /// Those of the system, also while reading.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<DirName>>> {
        let entries = rustix::fs::Dir::read_from(&self.fd)?;
        Ok(entries.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = entry.file_name().to_str().ok()?;
                let kind = entry.file_type();
                (name != "." && name != "..").then(|| Ok(DirName { name: name.to_owned(), kind }))
            }
            Err(error) => Some(Err(error.into())),
        }))
    }
}

fn regular(file: OwnedFd) -> io::Result<File> {
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(File::from(file)),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "not a regular file")),
    }
}

/// Whether a failure to open means that something stands there which is neither a file nor a directory: a symbolic
/// link, a FIFO, a socket, a device.
pub fn is_foreign(error: &io::Error) -> bool {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) => matches!(errno, Errno::LOOP | Errno::NXIO),
        None => error.kind() == io::ErrorKind::Unsupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_followed_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("way-out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("link")).unwrap();
        let root = Dir::open_root(inside.path()).unwrap();
        for path in ["way-out/secret", "link"] {
            assert!(is_foreign(&root.file(path, OFlags::RDONLY).unwrap_err()), "{path}");
        }
        assert!(root.file("../secret", OFlags::RDONLY).is_err());
        assert!(is_foreign(&root.make_dir("way-out").map(drop).unwrap_err()));
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        rustix::fs::mknodat(&root.fd, "fifo", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(is_foreign(&root.file("fifo", OFlags::RDONLY).unwrap_err()));
        assert!(is_foreign(&root.file("fifo", OFlags::WRONLY).unwrap_err()));
    }

    #[test]
    fn a_rename_to_a_taken_name_fails() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        std::fs::write(temp.path().join("a"), "a").unwrap();
        std::fs::write(temp.path().join("b"), "b").unwrap();
        assert_eq!(root.rename_new("a", &root, "b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(temp.path().join("b")).unwrap(), b"b");
        root.rename_new("a", &root, "c").unwrap();
    }

    #[test]
    fn a_directory_that_was_removed_is_not_there() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("root");
        std::fs::create_dir(&path).unwrap();
        let root = Dir::open_root(&path).unwrap();
        assert!(root.is_there());
        std::fs::remove_dir(&path).unwrap();
        assert!(!root.is_there());
    }

    #[test]
    fn a_root_that_was_renamed_away_is_not_there_until_it_is_back() {
        let temp = tempfile::tempdir().unwrap();
        let (path, away) = (temp.path().join("root"), temp.path().join("away"));
        std::fs::create_dir_all(path.join("inner")).unwrap();
        let root = Dir::open_root(&path).unwrap();
        let (again, inner) = (root.dir("").unwrap(), root.dir("inner").unwrap());
        std::fs::rename(&path, &away).unwrap();
        assert!(!root.is_there() && !again.is_there());
        assert!(inner.is_there(), "only a root has a place of its own");
        std::fs::create_dir(&path).unwrap();
        assert!(!root.is_there(), "another directory has its name");
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        assert!(root.is_there() && again.is_there());
    }

    #[test]
    fn a_root_whose_witness_is_gone_is_not_there() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        assert!(root.is_there(), "a store that was never initialised has none");
        let witness = temp.path().join(WITNESS);
        std::fs::create_dir(temp.path().join(".driver")).unwrap();
        std::fs::write(&witness, "id").unwrap();
        assert!(root.is_there());
        std::fs::remove_file(&witness).unwrap();
        assert!(!root.is_there());
    }
}
