//! Which upload sessions this core was the last to write to, as far as it knows, and under which fence. It goes on with one
//! of them as the writer that it was (contract clause U4), and saves asking what the session is, and the record of a new
//! writer. A hint: a session that it does not know is asked for, and one that somebody else took over is told by the driver.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_driver_sdk::{Fence, UploadId};

use crate::oci::RepositoryName;

/// Some hundred bytes each.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct OwnUploads(Mutex<HashMap<UploadId, Own>>);

#[derive(Debug)]
struct Own {
    repository: RepositoryName,
    fence: Fence,
}

impl OwnUploads {
    /// Only for a session of this repository: to open another's would tell its writer to go.
    pub(super) fn fence(&self, repository: &RepositoryName, id: &UploadId) -> Option<Fence> {
        self.all().get(id).filter(|own| own.repository == *repository).map(|own| own.fence.clone())
    }

    pub(super) fn note(&self, repository: &RepositoryName, id: &UploadId, fence: Fence) {
        let mut all = self.all();
        if all.len() >= MOST
            && !all.contains_key(id)
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
        all.insert(id.clone(), Own { repository: repository.clone(), fence });
    }

    pub(super) fn forget(&self, id: &UploadId) {
        self.all().remove(id);
    }

    /// No code panics while it holds the lock, so a poisoned one guards sound data.
    fn all(&self) -> MutexGuard<'_, HashMap<UploadId, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_known_until_it_is_forgotten_and_the_table_does_not_grow_without_end() {
        let own = OwnUploads::default();
        let [here, there] = ["here", "there"].map(|name| name.parse::<RepositoryName>().unwrap());
        let fence = |counter| Fence { counter, owner: "core".to_owned() };
        let ids: Vec<_> = (0..=MOST).map(|_| UploadId::random().unwrap()).collect();
        for id in &ids {
            own.note(&here, id, fence(1));
        }
        let last = ids.last().unwrap();
        assert_eq!(own.all().len(), MOST);
        assert_eq!(own.fence(&here, last), Some(fence(1)));
        own.note(&here, last, fence(2));
        assert_eq!(own.all().len(), MOST);
        assert_eq!(own.fence(&here, last), Some(fence(2)));
        assert_eq!(own.fence(&there, last), None);
        own.forget(last);
        assert_eq!(own.fence(&here, last), None);
    }
}
