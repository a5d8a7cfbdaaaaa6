//! Where a check writes: below a name that no other run has.

use std::time::{Duration, SystemTime};

use longshore_driver_sdk::{
    Driver, Entry, Fence, Key, KeyPrefix, ListQuery, Object, Optional as _, Result, UploadId,
};

use crate::registry::layout;

/// What a run left that was killed; a younger one may be under way.
const OLD: Duration = Duration::from_secs(3600);
const PAGE: usize = 100;

pub(super) struct Place<'a> {
    pub(super) driver: &'a dyn Driver,
    run: UploadId,
    /// The one upload session that a check has.
    pub(super) upload: UploadId,
}

impl<'a> Place<'a> {
    pub(super) fn new(driver: &'a dyn Driver) -> Result<Self> {
        Ok(Self { driver, run: UploadId::random()?, upload: UploadId::random()? })
    }

    pub(super) fn key(&self, name: &str) -> Result<Key> {
        Ok(Key::parse(&format!("{}{}/{name}", layout::CHECK, self.run))?)
    }

    pub(super) fn fence(&self) -> Fence {
        Fence { counter: 1, owner: format!("check-{}", self.run) }
    }

    /// Every object of this run, as a listing shows them.
    pub(super) async fn objects(&self) -> Result<Vec<Object>> {
        self.objects_below(&format!("{}{}/", layout::CHECK, self.run)).await
    }

    async fn objects_below(&self, prefix: &str) -> Result<Vec<Object>> {
        let prefix = KeyPrefix::parse(prefix)?;
        let query = ListQuery { prefix, recursive: true, start_after: String::new(), limit: PAGE };
        let entries = self.driver.list(&query).await?.entries;
        let objects = entries.into_iter().filter_map(|entry| match entry {
            Entry::Object(object) => Some(object),
            Entry::CommonPrefix(_) => None,
        });
        Ok(objects.collect())
    }

    /// What can't be cleared is told and left: it does no harm, and the next check tries again.
    pub(super) async fn clear(&self) {
        if let Err(error) = self.driver.end_upload(&self.upload, &self.fence()).await.optional() {
            tracing::warn!(%error, upload = %self.upload, "the check's upload stays until it expires");
        }
        match self.objects().await {
            Ok(objects) => self.delete(&objects).await,
            Err(error) => tracing::warn!(%error, "cannot list what the check wrote"),
        }
    }

    pub(super) async fn clear_what_is_old(&self) {
        let now = SystemTime::now();
        let is_old = |object: &Object| {
            object.modified.is_some_and(|modified| now.duration_since(modified).is_ok_and(|age| age > OLD))
        };
        // What is wrong with listings, the check itself will say.
        let objects = self.objects_below(layout::CHECK).await.unwrap_or_default();
        let old: Vec<_> = objects.into_iter().filter(is_old).collect();
        self.delete(&old).await;
    }

    async fn delete(&self, objects: &[Object]) {
        for object in objects {
            if let Err(error) = self.driver.delete(&object.key, None).await {
                tracing::warn!(%error, key = %object.key, "cannot delete what a check wrote");
            }
        }
    }
}
