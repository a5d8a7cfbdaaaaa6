//! One at a time for each key, within this process: where the server enforces no condition, a look and the write after it
//! are not torn apart by another call of the same driver. Those who only look may share a turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const FIRST_PURGE: usize = 64;
/// As many may share a turn.
const ALL: u32 = 1024;

/// Who waits for which key.
#[derive(Default)]
pub struct Turns(Mutex<Queues>);

#[derive(Default)]
struct Queues {
    of: HashMap<String, Weak<Semaphore>>,
    purge_at: usize,
}

/// Ours until it is dropped.
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits until nobody else has it.
    pub async fn take(&self, name: &str) -> Turn {
        self.acquire(name, ALL).await
    }

    /// Waits until nobody has it alone. Whoever waits for that goes first.
    pub async fn share(&self, name: &str) -> Turn {
        self.acquire(name, 1).await
    }

    async fn acquire(&self, name: &str, permits: u32) -> Turn {
        // A semaphore that nobody closes always gives a permit.
        Turn { _permit: self.queue(name).acquire_many_owned(permits).await.ok() }
    }

    fn queue(&self, name: &str) -> Arc<Semaphore> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.of.get(name).and_then(Weak::upgrade) {
            return queue;
        }
        if queues.of.len() >= queues.purge_at {
            queues.of.retain(|_, queue| queue.strong_count() > 0);
            queues.purge_at = (queues.of.len() * 2).max(FIRST_PURGE);
        }
        let queue = Arc::new(Semaphore::new(ALL as usize));
        queues.of.insert(name.to_owned(), Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn those_who_look_share_a_turn_and_who_writes_has_it_alone() {
        let turns = Turns::default();
        let (one, two) = (turns.share("a").await, turns.share("a").await);
        assert!(turns.take("a").now_or_never().is_none());
        assert!(turns.take("b").now_or_never().is_some());
        drop((one, two));
        let alone = turns.take("a").await;
        assert!(turns.share("a").now_or_never().is_none());
        drop(alone);
        assert!(turns.share("a").now_or_never().is_some());
    }
}
