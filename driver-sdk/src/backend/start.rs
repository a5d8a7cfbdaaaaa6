//! What a driver finds out of its server at the start, however long that takes: a server that is down may come up later.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::error::{DriverError, Reason, Result};

/// How often a server is looked at that can't be used yet.
const AGAIN: Duration = Duration::from_secs(1);

/// What was found out, or why it was not yet.
pub struct Start<T> {
    found: OnceLock<T>,
    obstacle: Mutex<Option<DriverError>>,
}

impl<T> Default for Start<T> {
    fn default() -> Self {
        Self { found: OnceLock::new(), obstacle: Mutex::default() }
    }
}

impl<T> Start<T> {
    /// `None`: not yet.
    pub fn found(&self) -> Option<&T> {
        self.found.get()
    }

    /// Takes what an examination found, and says whether there is an end of it; after an obstacle it is time for the next
    /// one. An obstacle is logged once, until it is another. `place` is for the log.
    pub async fn settle(&self, place: &str, outcome: Result<T>) -> bool {
        match outcome {
            Ok(found) => {
                self.obstacle().take();
                let _ = self.found.set(found);
                true
            }
            Err(error) => {
                self.note(place, error);
                tokio::time::sleep(AGAIN).await;
                false
            }
        }
    }

    /// What was found out, or why it was not.
    ///
    /// # Errors
    /// The obstacle; [`Reason::Starting`], with `starting` for people, where there is none.
    pub fn ready(&self, starting: &str) -> Result<&T> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let obstacle = self.obstacle().clone();
        Err(obstacle.unwrap_or_else(|| DriverError::new(Reason::Starting, starting)))
    }

    fn note(&self, place: &str, error: DriverError) {
        let mut obstacle = self.obstacle();
        if obstacle.as_ref().is_none_or(|before| before.message() != error.message()) {
            tracing::warn!(place, %error, "the store can't be used yet");
        }
        *obstacle = Some(error);
    }

    // No code panics while it holds this lock, so a poisoned one guards sound data.
    fn obstacle(&self) -> std::sync::MutexGuard<'_, Option<DriverError>> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_obstacle_is_told_until_it_is_gone() {
        let start = Start::default();
        assert_eq!(start.ready("wait").unwrap_err().reason(), Reason::Starting);
        let down = || Err(DriverError::new(Reason::BackendUnavailable, "down"));
        assert!(!start.settle("here", down()).await);
        assert_eq!(start.ready("wait").unwrap_err().reason(), Reason::BackendUnavailable);
        assert!(start.settle("here", Ok(7)).await);
        assert_eq!((start.found(), start.ready("wait").unwrap()), (Some(&7), &7));
    }
}
