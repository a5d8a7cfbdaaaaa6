//! How an upload's file becomes an object: the old driver writes it.

use std::path::PathBuf;
use std::sync::Arc;

use longshore_driver_sdk::sessions::{Finished, Publish};
use longshore_driver_sdk::{Key, Object, Result};
use tokio::runtime::Handle;

use crate::objects::Objects;

pub(crate) struct PublishByOldDriver {
    pub(crate) objects: Arc<Objects>,
    pub(crate) runtime: Handle,
    /// The root of the sessions.
    pub(crate) spool: PathBuf,
}

impl Publish for PublishByOldDriver {
    fn publish(&self, finished: &Finished<'_>, key: &Key) -> Result<Object> {
        let file = self.spool.join(".driver/uploads").join(finished.id.as_str()).join(finished.name);
        self.runtime.block_on(self.objects.commit(key, finished, &file))
    }

    fn published(&self, key: &Key) -> Result<Option<Object>> {
        self.runtime.block_on(self.objects.published(key))
    }
}
