//! One read of a record for all who ask for it at the same time. A request joins only a read that has not begun yet, so
//! what it gets is never older than its own beginning: a GET that follows an acknowledged PUT sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_sdk::{Driver, DriverError, Key, Object};
use tokio::sync::{OnceCell, Semaphore};

type Outcome = Result<(Object, Bytes), DriverError>;

/// How long a read that could begin waits for the one before it: without end, a driver that hangs would be waited for
/// twice.
const PATIENCE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct SharedReads {
    /// Keys that are being read now.
    keys: Mutex<HashMap<Key, Reads>>,
}

/// The reads of one key.
#[derive(Debug)]
struct Reads {
    /// The read that has not begun, if somebody waits for one.
    next: Option<Arc<OnceCell<Outcome>>>,
    /// Held by the one that is under way.
    turn: Arc<Semaphore>,
    /// Requests under way; the last one takes the entry away.
    requests: usize,
}

impl SharedReads {
    /// Reads a record, by a call that begins after this one did.
    pub(super) async fn get(&self, driver: &dyn Driver, key: &Key) -> Outcome {
        let Some((read, turn)) = self.join(key) else { return driver.get(key).await };
        let _leave = Leave { reads: self, key };
        let outcome = read.get_or_init(|| async {
            let _turn = tokio::time::timeout(PATIENCE, turn.acquire()).await;
            self.begin(key, &read);
            driver.get(key).await
        });
        outcome.await.clone()
    }

    fn join(&self, key: &Key) -> Option<(Arc<OnceCell<Outcome>>, Arc<Semaphore>)> {
        let mut keys = self.keys.lock().ok()?;
        if !keys.contains_key(key) {
            let reads = Reads { next: None, turn: Arc::new(Semaphore::new(1)), requests: 0 };
            keys.insert(key.clone(), reads);
        }
        let reads = keys.get_mut(key)?;
        reads.requests += 1;
        Some((reads.next.get_or_insert_default().clone(), reads.turn.clone()))
    }

    /// From now on nobody joins this read.
    fn begin(&self, key: &Key, read: &Arc<OnceCell<Outcome>>) {
        let Ok(mut keys) = self.keys.lock() else { return };
        if let Some(reads) = keys.get_mut(key)
            && reads.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, read))
        {
            reads.next = None;
        }
    }

    fn leave(&self, key: &Key) {
        let Ok(mut keys) = self.keys.lock() else { return };
        let Some(reads) = keys.get_mut(key) else { return };
        reads.requests -= 1;
        if reads.requests == 0 {
            keys.remove(key);
        }
    }
}

/// Also when the client goes away.
struct Leave<'a> {
    reads: &'a SharedReads,
    key: &'a Key,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.reads.leave(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_driver_sdk::Condition;
    use longshore_driver_sdk::memory::MemoryDriver;

    async fn put(driver: &MemoryDriver, key: &Key, content: &str) {
        driver.put(key, Bytes::from(content.to_owned()), Condition::Always).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_read_never_tells_less_than_what_was_written_before_it_was_asked_for() {
        let driver = Arc::new(MemoryDriver::default());
        let reads = Arc::new(SharedReads::default());
        let key = Key::parse("tag").unwrap();
        put(&driver, &key, "0").await;
        let written = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let readers: Vec<_> = (0..16)
            .map(|_| {
                let (driver, reads, key, written) =
                    (driver.clone(), reads.clone(), key.clone(), written.clone());
                tokio::spawn(async move {
                    for _ in 0..2000 {
                        let before = written.load(std::sync::atomic::Ordering::SeqCst);
                        let (_, content) = reads.get(&*driver, &key).await.unwrap();
                        let read: u64 = std::str::from_utf8(&content).unwrap().parse().unwrap();
                        assert!(read >= before, "read {read}, {before} was written before");
                    }
                })
            })
            .collect();
        for number in 1..=2000_u64 {
            put(&driver, &key, &number.to_string()).await;
            written.store(number, std::sync::atomic::Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        for reader in readers {
            reader.await.unwrap();
        }
        assert!(reads.keys.lock().unwrap().is_empty(), "nothing is kept of reads that ended");
    }

    #[tokio::test]
    async fn a_leader_that_goes_away_leaves_the_others_their_answer() {
        let driver = MemoryDriver::default();
        let reads = SharedReads::default();
        let key = Key::parse("tag").unwrap();
        put(&driver, &key, "x").await;
        let (first, turn) = reads.join(&key).unwrap();
        let held = turn.acquire().await.unwrap();
        let mut leader = Box::pin(reads.get(&driver, &key));
        assert!(futures_util::poll!(&mut leader).is_pending());
        let mut follower = Box::pin(reads.get(&driver, &key));
        assert!(futures_util::poll!(&mut follower).is_pending());
        drop(leader);
        drop(held);
        assert_eq!(follower.await.unwrap().1, "x");
        assert!(first.initialized(), "one read for all");
        reads.leave(&key);
        assert!(reads.keys.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_missing_key_is_missing_for_all() {
        let (driver, reads) = (MemoryDriver::default(), SharedReads::default());
        let key = Key::parse("tag").unwrap();
        let (one, two) = tokio::join!(reads.get(&driver, &key), reads.get(&driver, &key));
        for outcome in [one, two] {
            assert_eq!(outcome.unwrap_err().reason(), longshore_driver_sdk::Reason::KeyNotFound);
        }
    }
}
