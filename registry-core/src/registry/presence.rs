//! What an import asks before it does anything: whether a push of this has already come through to its end.

use longshore_driver_sdk::Optional as _;

use super::{Repository, Result, layout};
use crate::oci::{Digest, Tag};

impl Repository {
    /// Whether all that a push of this manifest leaves behind is there: one that was killed may have stored the manifest,
    /// and not yet its referrer's or the catalog's entry.
    pub async fn is_pushed(&self, digest: &Digest) -> Result<bool> {
        let Some((head, _)) = self.manifest_record(digest).await? else { return Ok(false) };
        let driver = self.store.driver();
        if let Some(subject) = head.subject {
            let referrer = layout::referrer(&self.name, &subject, digest)?;
            if driver.stat(&referrer).await.optional()?.is_none() {
                return Ok(false);
            }
        }
        Ok(driver.stat(&layout::catalog_entry(&self.name)?).await.optional()?.is_some())
    }

    /// What a tag points at.
    pub async fn tag_target(&self, tag: &Tag) -> Result<Option<Digest>> {
        Ok(self.read_tag(tag).await?.map(|record| record.digest))
    }
}
