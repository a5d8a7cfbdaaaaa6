//! How an upload's file becomes an object: by a rename.

use std::sync::Arc;

use longshore_driver_sdk::sessions::{Finished, Publish};
use longshore_driver_sdk::{Key, Object, Optional, Result};

use crate::tree::Tree;

/// The tree, as upload sessions see it.
pub(crate) struct PublishByRename(pub(crate) Arc<Tree>);

impl Publish for PublishByRename {
    fn publish(&self, finished: &Finished<'_>, key: &Key) -> Result<Object> {
        self.0.publish(finished.dir, finished.name, key)?;
        self.0.describe(key, finished.file)
    }

    fn published(&self, key: &Key) -> Result<Option<Object>> {
        self.0.stat(key).optional()
    }
}
