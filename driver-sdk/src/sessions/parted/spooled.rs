//! A file of the spool. It has no name, so closing it gives back what it has on the disk, and that takes seconds where the
//! disk has much to write or to discard. No thread of the runtime does it: a driver whose threads all wait for the disk says
//! nothing to the core any more, which then takes it for one that hangs.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{LazyLock, mpsc};

/// To the thread that closes files, one after the other. `None`: there could be none.
static CLOSER: LazyLock<Option<mpsc::Sender<File>>> = LazyLock::new(|| {
    let (closer, files) = mpsc::channel::<File>();
    let thread = std::thread::Builder::new().name("spool-closer".to_owned());
    thread.spawn(move || files.into_iter().for_each(drop)).ok().map(|_| closer)
});

/// A file without a name, which is closed elsewhere.
#[derive(Debug)]
pub struct Spooled(Option<File>);

impl Spooled {
    /// A new one on the file system of a directory.
    ///
    /// # Errors
    /// When the directory takes none.
    pub fn new_in(directory: &Path) -> Result<Self> {
        tempfile::tempfile_in(directory).map(Self::from)
    }

    /// # Errors
    /// When it has fewer bytes, or can't be read.
    pub fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        self.file()?.read_exact_at(bytes, at)
    }

    /// # Errors
    /// When it takes no more.
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file()?.write_all_at(bytes, at)
    }

    fn file(&self) -> Result<&File> {
        self.0.as_ref().ok_or_else(|| Error::other("the file was closed"))
    }
}

impl From<File> for Spooled {
    fn from(file: File) -> Self {
        Self(Some(file))
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let (Some(file), Some(closer)) = (self.0.take(), &*CLOSER) {
            // What is not taken comes back in the error, and is closed here.
            let _ = closer.send(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn it_is_closed_soon() {
        let file = tempfile::tempfile().unwrap();
        let inode = file.metadata().unwrap().ino();
        let descriptor = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let is_open = || std::fs::metadata(&descriptor).is_ok_and(|found| found.ino() == inode);
        let spooled = Spooled::from(file);
        spooled.write_all_at(b"abc", 0).unwrap();
        assert!(is_open());
        drop(spooled);
        let begin = Instant::now();
        while is_open() {
            assert!(begin.elapsed() < Duration::from_secs(10), "nobody closes it");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
