//! One at a time for each key, within this process: where the server enforces no condition, a look and the write after it
//! are not torn apart by another call of the same driver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const FIRST_PURGE: usize = 64;

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
        // A semaphore that nobody closes always gives a permit.
        Turn { _permit: self.queue(name).acquire_owned().await.ok() }
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
        let queue = Arc::new(Semaphore::new(1));
        queues.of.insert(name.to_owned(), Arc::downgrade(&queue));
        queue
    }
}
