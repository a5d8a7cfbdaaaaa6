//! How much of an upload went on to the store: what tells a slow store from one that hangs (contract clause U22).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often is looked whether it grows, of the time that it may stand still.
const LOOKS: u32 = 10;

/// Counts bytes that went on to the store or came back, those of a repeated attempt once more. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Moved(Arc<AtomicU64>);

impl Moved {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends when nothing went on for so long.
    pub async fn stands_still(&self, patience: Duration) {
        let (mut total, mut looks) = (self.total(), 0);
        while looks < LOOKS {
            tokio::time::sleep(patience / LOOKS).await;
            let now = self.total();
            looks = if now == total { looks + 1 } else { 0 };
            total = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_moves_now_and_then_does_not_stand_still() {
        let (moved, begin) = (Moved::default(), tokio::time::Instant::now());
        let others = moved.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                others.add(1);
            }
        });
        moved.stands_still(Duration::from_secs(30)).await;
        let seconds = begin.elapsed().as_secs();
        assert!((130..=134).contains(&seconds), "{seconds}");
    }
}
