//! How much of an upload went on to the store: what tells a slow store from one that hangs (contract clause U22).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes that went on to the store, those of a repeated attempt once more. Clones share the count. A driver whose
/// store is on this host never needs it: what waits for a disk is done in time.
#[derive(Debug, Clone, Default)]
pub struct Moved(Arc<AtomicU64>);

impl Moved {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
