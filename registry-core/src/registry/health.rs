//! How the stores are, looked at from time to time and not when somebody asks: a question costs no call of a driver, so
//! no number of questions is a load for it.

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
pub(super) struct Health(RwLock<Option<&'static str>>);

impl Health {
    fn problem(&self) -> Option<&'static str> {
        self.0.read().map_or(Some("UNKNOWN"), |problem| *problem)
    }

    /// Whether this is news.
    fn set(&self, problem: Option<&'static str>) -> bool {
        self.0.write().is_ok_and(|mut before| std::mem::replace(&mut *before, problem) != problem)
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
        let (problem, said) = match store.driver().probe().await {
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
