//! Locks around the check and the rename of a write. Owns `.driver/locks/`: 256 files that keys share by their hash, so
//! that conditions hold also between processes on one root.

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longshore_driver_sdk::sessions::dir::Dir;
use longshore_driver_sdk::{DriverError, Key, Reason, Result};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// How long another process may hold a lock: it holds one for a look-up and a rename.
const PATIENCE: Duration = Duration::from_secs(2);

/// All locks of a driver instance. The mutexes are for its own threads, the files in them for other processes.
pub(crate) struct Locks(Vec<Mutex<Option<File>>>);

/// One lock, or two, held.
pub(crate) struct Locked<'a> {
    _files: Vec<Unlock<'a>>,
}

struct Unlock<'a>(MutexGuard<'a, Option<File>>);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        if let Some(file) = &*self.0
            && rustix::fs::flock(file, FlockOperation::Unlock).is_err()
        {
            // Closing it lets go as well.
            *self.0 = None;
        }
    }
}

impl Locks {
    pub(crate) fn new() -> Self {
        Self((0..256).map(|_| Mutex::new(None)).collect())
    }

    /// Locks the stripes of all keys, in one order. Blocks: for blocking threads only.
    pub(crate) fn lock(&self, root: &Dir, keys: &[&Key]) -> Result<Locked<'_>> {
        let mut stripes: Vec<u8> = keys.iter().map(|key| stripe(key)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let files = stripes.into_iter().map(|stripe| self.lock_one(root, stripe)).collect::<Result<_>>()?;
        Ok(Locked { _files: files })
    }

    fn lock_one(&self, root: &Dir, stripe: u8) -> Result<Unlock<'_>> {
        let failed = |error| DriverError::io(format!("take lock .driver/locks/{stripe:02x}"), error);
        // There is a mutex for every value of a byte; nothing panics with one held.
        let mut slot = self.0[usize::from(stripe)].lock().unwrap_or_else(PoisonError::into_inner);
        let file = match slot.take() {
            Some(file) => file,
            None => open(root, stripe).map_err(failed)?,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::WOULDBLOCK) => {
                    let message = format!(
                        "another process has held .driver/locks/{stripe:02x} for {PATIENCE:?}; try again"
                    );
                    return Err(DriverError::new(Reason::Conflict, message));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
        *slot = Some(file);
        Ok(Unlock(slot))
    }
}

fn open(root: &Dir, stripe: u8) -> io::Result<File> {
    root.make_dir(".driver")?.make_dir("locks")?.file(&format!("{stripe:02x}"), OFlags::RDWR | OFlags::CREATE)
}

fn stripe(key: &Key) -> u8 {
    Sha256::digest(key.as_str())[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_another_instance_out_until_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open_root(temp.path()).unwrap();
        let (ours, theirs) = (Locks::new(), Locks::new());
        let (a, b) = (Key::parse("a").unwrap(), Key::parse("b").unwrap());
        let held = ours.lock(&root, &[&a, &b, &a]).unwrap();
        assert_eq!(theirs.lock(&root, &[&b]).map(drop).unwrap_err().reason(), Reason::Conflict);
        drop(held);
        theirs.lock(&root, &[&b, &a]).unwrap();
    }
}
