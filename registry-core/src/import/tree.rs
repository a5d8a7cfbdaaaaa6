//! A directory tree that somebody else wrote: read below its root alone, and through no symbolic link. Every look goes
//! from the root down, one name at a time (`openat` with `O_NOFOLLOW`), so nothing in the tree can lead out of it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

/// What is wrong with something in the tree.
#[derive(Debug, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it is not there")]
    Absent,
    #[error("it is a symbolic link; these are not followed")]
    Link,
    #[error("it is no directory, or a symbolic link, and these are not followed")]
    NoDirectory,
    #[error("it is no regular file")]
    NoFile,
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    #[error("it names {0:?}, not the digest that it lies under")]
    OtherDigest(String),
    #[error("it names no digest, but {0:?}")]
    NoDigest(String),
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Link,
    Other,
}

/// One name in a directory. One that is no UTF-8 has replacement characters in it, which no grammar takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: Arc<OwnedFd>,
    path: PathBuf,
}

impl Tree {
    /// The root itself is the operator's word: it may be reached through links.
    pub(super) fn open(path: &Path) -> Result<Self, Flaw> {
        let root = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Ok(Self { root: Arc::new(root.map_err(flaw)?), path: path.to_owned() })
    }

    /// A directory of this tree as a tree.
    pub(super) fn below(&self, path: &str) -> Result<Self, Flaw> {
        let root = Arc::new(self.descend(path, OFlags::DIRECTORY)?);
        Ok(Self { root, path: self.path.join(path) })
    }

    /// As an operator would type it.
    pub(super) fn shown(&self, path: &str) -> String {
        self.path.join(path).display().to_string().escape_debug().to_string()
    }

    /// In the order of the names.
    pub(super) fn list(&self, path: &str) -> Result<Vec<Entry>, Flaw> {
        let directory = self.descend(path, OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory).map_err(flaw)? {
            let entry = entry.map_err(flaw)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let file_type = match entry.file_type() {
                // Some file systems do not tell it in a listing.
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
                    FileType::from_raw_mode(stat.map_err(flaw)?.st_mode)
                }
                known => known,
            };
            let kind = match file_type {
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            };
            entries.push(Entry { name: name.to_string_lossy().into_owned(), kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// A file and its size.
    pub(super) fn file(&self, path: &str) -> Result<(File, u64), Flaw> {
        // Without NONBLOCK a FIFO would keep us waiting for its other end.
        let file = self.descend(path, OFlags::NONBLOCK)?;
        let stat = fstat(&file).map_err(flaw)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Flaw::NoFile);
        }
        Ok((File::from(file), u64::try_from(stat.st_size).unwrap_or_default()))
    }

    pub(super) fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, Flaw> {
        let (file, _) = self.file(path)?;
        let mut content = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut content).map_err(Flaw::Unreadable)?;
        if content.len() > limit { Err(Flaw::TooLarge(limit)) } else { Ok(content) }
    }

    fn descend(&self, path: &str, last: OFlags) -> Result<OwnedFd, Flaw> {
        let always = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        let mut at = self.root.try_clone().map_err(Flaw::Unreadable)?;
        if names.peek().is_none() {
            // A clone shares its place in a listing with the original.
            return openat(&at, ".", always | OFlags::DIRECTORY, Mode::empty()).map_err(flaw);
        }
        while let Some(name) = names.next() {
            let flags = if names.peek().is_some() { OFlags::DIRECTORY } else { last };
            at = openat(&at, name, always | flags, Mode::empty()).map_err(flaw)?;
        }
        Ok(at)
    }
}

fn flaw(error: Errno) -> Flaw {
    match error {
        Errno::NOENT => Flaw::Absent,
        Errno::LOOP => Flaw::Link,
        Errno::NOTDIR => Flaw::NoDirectory,
        // A socket can't be opened, a FIFO's other end may be missing.
        Errno::NXIO => Flaw::NoFile,
        error => Flaw::Unreadable(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_not_followed_wherever_they_stand() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        symlink(outside.path(), inside.path().join("directory")).unwrap();
        symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
        let tree = Tree::open(inside.path()).unwrap();
        assert!(matches!(tree.read("file", 10), Err(Flaw::Link)));
        assert!(matches!(tree.read("directory/secret", 10), Err(Flaw::NoDirectory | Flaw::Link)));
        assert!(matches!(tree.list("directory"), Err(Flaw::NoDirectory | Flaw::Link)));
        assert_eq!(tree.list("").unwrap().len(), 2);
        assert_eq!(tree.list("").unwrap().len(), 2, "a listing begins at the beginning");
    }

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(directory.path().join("large"), "12345").unwrap();
        rustix::fs::mkfifoat(CWD, directory.path().join("fifo"), Mode::RUSR).unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        assert!(matches!(tree.read("fifo", 10), Err(Flaw::NoFile)));
        assert!(matches!(tree.read("d", 10), Err(Flaw::NoFile)));
        assert!(matches!(tree.read("large", 4), Err(Flaw::TooLarge(4))));
        assert_eq!(tree.read("large", 5).unwrap(), b"12345");
        assert!(matches!(tree.read("nothing", 5), Err(Flaw::Absent)));
    }
}
