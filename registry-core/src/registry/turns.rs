//! Turn-taking by digest within one core: whoever has the turn does the last steps of a push, the others wait. A turn
//! saves copies; safety does not rest on it, so one that does not come in time is done without.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::oci::Digest;

const PATIENCE: Duration = Duration::from_secs(10);
/// Forgotten turns are cleared away whenever the table has grown by this much.
const CLEAR_EVERY: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Digest, Weak<Turn<()>>>>);

impl Turns {
    /// Held until dropped; `None` when the wait was too long.
    pub(super) async fn take(&self, digest: &Digest) -> Option<OwnedMutexGuard<()>> {
        let turn = self.turn(digest)?;
        tokio::time::timeout(PATIENCE, turn.lock_owned()).await.ok()
    }

    fn turn(&self, digest: &Digest) -> Option<Arc<Turn<()>>> {
        let mut turns = self.0.lock().ok()?;
        if turns.len() % CLEAR_EVERY == CLEAR_EVERY - 1 {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        if let Some(turn) = turns.get(digest).and_then(Weak::upgrade) {
            return Some(turn);
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(digest.clone(), Arc::downgrade(&turn));
        Some(turn)
    }
}
