//! How the stores are, looked at from time to time and not when somebody asks: a question costs no call of a driver, so
//! no number of questions is a load for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use longshore_driver_sdk::{ProbeState, Reason};

use super::Registry;
use super::store::Store;
use crate::storage::advice::next_step;

/// From the answer of a probe to the next one. A probe that is not answered ends by its own deadline.
const EVERY: Duration = Duration::from_secs(1);

/// What the last probe of a store said: why it can't be used, as a reason of the driver contract.
#[derive(Debug, Default)]
pub(super) struct Health {
    problem: RwLock<Option<&'static str>>,
    /// Below the watermark.
    low: AtomicBool,
}

/// The space of a store, and the watermark of its uploads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) free: Option<u64>,
    pub(super) min_free: u64,
}

impl Room {
    /// Once low, it stays so until an eighth more is free: else uploads would flap with every delete.
    pub(super) fn is_low(self, was_low: bool) -> bool {
        let mark = if was_low { self.min_free.saturating_add(self.min_free / 8) } else { self.min_free };
        self.free.is_some_and(|free| free < mark)
    }
}

impl Health {
    fn problem(&self) -> Option<&'static str> {
        self.problem.read().map_or(Some("UNKNOWN"), |problem| *problem)
    }

    /// Whether this is news.
    fn set(&self, problem: Option<&'static str>) -> bool {
        self.problem.write().is_ok_and(|mut before| std::mem::replace(&mut *before, problem) != problem)
    }

    pub(super) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// What it is now, if that is news.
    pub(super) fn set_low(&self, now: impl Fn(bool) -> bool) -> Option<bool> {
        let was = self.is_low();
        let low = now(was);
        self.low.store(low, Ordering::Relaxed);
        (low != was).then_some(low)
    }
}

impl Registry {
    /// Each store by name, and what is wrong with it.
    pub fn health(&self) -> Vec<(&str, Option<&'static str>)> {
        self.storages().all().into_iter().map(|store| (store.name(), store.health().problem())).collect()
    }

    /// Looks at every store for ever; one that does not answer delays no other.
    pub async fn watch_health(&self) {
        let watches = self.storages().all().into_iter().cloned().map(watch);
        futures_util::future::join_all(watches).await;
    }
}

async fn watch(store: Arc<Store>) {
    loop {
        let probe = store.driver().probe().await;
        if let Ok(probe) = &probe {
            store.note_free(probe.bytes_free);
        }
        let (problem, said) = match probe {
            Ok(probe) => match probe.state {
                ProbeState::Ready | ProbeState::Degraded => (None, probe.reason),
                ProbeState::Starting => (Some(Reason::Starting), probe.reason),
                ProbeState::ReadOnly => (Some(Reason::ReadOnly), probe.reason),
            },
            Err(error) => (Some(error.reason()), error.message().to_owned()),
        };
        if store.health().set(problem.map(Reason::as_str)) {
            match problem {
                Some(reason) => tracing::warn!(
                    storage = store.name(),
                    reason = reason.as_str(),
                    error = said,
                    next = next_step(reason),
                    "the storage is not ready"
                ),
                None => tracing::info!(storage = store.name(), "the storage is ready again"),
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_low_below_the_mark_and_until_an_eighth_more_is_free() {
        let is_low = |free, was| Room { free: Some(free), min_free: 800 }.is_low(was);
        assert!(!is_low(800, false) && is_low(799, false));
        assert!(is_low(899, true) && !is_low(900, true));
        assert!(!Room { free: None, min_free: 800 }.is_low(true), "nobody knows");
        assert!(!Room { free: Some(0), min_free: 0 }.is_low(false), "no watermark");
    }
}
