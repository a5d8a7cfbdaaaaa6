//! What a container tells, as the contract shows it.

use async_trait::async_trait;
use longshore_driver_sdk::backend::{Listing, Names};
use longshore_driver_sdk::{Key, Object, Result};

use crate::container::{Container, Found};

pub(crate) fn object(key: &Key, found: Found) -> Object {
    Object { key: key.clone(), size: found.size, etag: found.etag, modified: found.modified }
}

#[async_trait]
impl Names for Container {
    type Found = Found;

    async fn names(
        &self,
        prefix: &str,
        one_level: bool,
        start_after: &str,
        most: usize,
    ) -> Result<Listing<Found>> {
        self.list(prefix, one_level, start_after, most).await
    }

    fn object(key: &Key, found: Found) -> Object {
        object(key, found)
    }
}
