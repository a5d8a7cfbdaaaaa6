//! What the parts of the driver share: the store, who this process is, and which streams are live.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::faults::Fault;
use crate::signing::Signer;
use crate::store::Store;

/// Asks a live stream to make its last mark durable.
pub(crate) type Settle = oneshot::Sender<()>;

pub(crate) struct Driver {
    pub(crate) store: Arc<Store>,
    /// New at every start (H4).
    pub(crate) instance: String,
    pub(crate) signer: Signer,
    /// For the fault that serves one read at a time.
    pub(crate) turns: Arc<Semaphore>,
    draining: AtomicBool,
    live: Mutex<HashMap<u64, mpsc::Sender<Settle>>>,
    next: AtomicU64,
}

impl Driver {
    pub(crate) fn new(store: Arc<Store>, instance: String, signer: Signer) -> Self {
        Self {
            store,
            instance,
            signer,
            turns: Arc::new(Semaphore::new(1)),
            draining: AtomicBool::new(false),
            live: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// A stream that is live from here on.
    pub(crate) fn enter(&self, knock: mpsc::Sender<Settle>) -> u64 {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        self.live().insert(place, knock);
        place
    }

    pub(crate) fn leave(&self, place: u64) {
        self.live().remove(&place);
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Settle>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// D4: no new sessions from here on, and the live ones durable. How many there were.
    pub(crate) async fn drain(&self, grace: Duration) -> u32 {
        self.draining.store(true, Ordering::Relaxed);
        let live: Vec<_> = self.live().values().cloned().collect();
        let open = u32::try_from(live.len()).unwrap_or(u32::MAX);
        if self.store.fault == Fault::DrainForgetsMarks {
            return open;
        }
        let settle = live.into_iter().map(|knock| async move {
            let (reply, done) = oneshot::channel();
            if knock.send(reply).await.is_ok() {
                // A stream that ended meanwhile has nothing left to settle.
                let _ = done.await;
            }
        });
        let all = futures_util::future::join_all(settle);
        // After the grace the durable marks stand as they are.
        let _ = tokio::time::timeout(grace, all).await;
        open
    }
}
