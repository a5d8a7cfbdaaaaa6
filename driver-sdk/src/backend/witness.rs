//! The store's id as a witness: a store that was emptied or swapped under the driver has none, or another. To be asked before
//! anything is believed to be absent (rule R5).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{DriverError, Reason, Result};
use crate::key::Key;

/// Absence is believed for so long after the store's id was seen.
const WITNESSED: Duration = Duration::from_secs(1);

/// The store's id, as it was last seen.
#[derive(Default)]
pub struct Witness(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    id: Option<Bytes>,
    at: Option<Instant>,
}

impl Witness {
    /// Whether this is still the store that it was. `place` is for people; `read` reads the store's id.
    ///
    /// # Errors
    /// [`Reason::BackendUnavailable`] if it is not, and those of `read`.
    pub async fn check(&self, place: &str, read: impl Future<Output = Result<Option<Bytes>>>) -> Result<()> {
        let known = {
            let seen = self.seen();
            if seen.at.is_some_and(|at| at.elapsed() < WITNESSED) {
                return Ok(());
            }
            seen.id.clone()
        };
        let found = read.await?;
        if known.is_some() && known != found {
            let message = format!(
                "{place} is not the store that it was: its {} is {}; bring the old one back, or restart the driver",
                Key::store_id(),
                if found.is_some() { "another" } else { "gone" }
            );
            return Err(DriverError::new(Reason::BackendUnavailable, message));
        }
        *self.seen() = Seen { id: found, at: Some(Instant::now()) };
        Ok(())
    }

    // No code panics while it holds this lock, so a poisoned one guards sound data.
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_whose_id_went_or_changed_is_another() {
        let seen_before = |id: Option<&'static [u8]>| {
            let witness = Witness::default();
            *witness.seen() = Seen { id: id.map(Bytes::from_static), at: None };
            witness
        };
        for (before, now, is_same) in [
            (None, None, true),
            (None, Some(&b"a"[..]), true),
            (Some(&b"a"[..]), Some(&b"a"[..]), true),
            (Some(b"a"), Some(b"b"), false),
            (Some(b"a"), None, false),
        ] {
            let checked =
                seen_before(before).check("c/", async { Ok(now.map(Bytes::copy_from_slice)) }).await;
            assert_eq!(checked.is_ok(), is_same, "{before:?} {now:?}");
        }
    }

    #[tokio::test]
    async fn it_is_not_read_again_at_once() {
        let witness = Witness::default();
        witness.check("c/", async { Ok(None) }).await.unwrap();
        witness.check("c/", async { Err(DriverError::new(Reason::DriverBug, "read")) }).await.unwrap();
    }
}
