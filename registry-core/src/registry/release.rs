//! Letting go of an object: the link, then its holder; unless another holder has its link, the object is condemned before
//! the holder goes (docs/adr/0001). Deletes and collectors do the same steps in the same order.

use jiff::Timestamp;
use longshore_driver_sdk::Optional as _;

use super::lease::{Lease, ObjectId};
use super::records::{CondemnedRecord, HolderRecord};
use super::{Repository, Result, layout};
use crate::oci::{Digest, RepositoryName};

impl Repository {
    pub(super) async fn unlink(&self, digest: &Digest, lease: &Lease) -> Result<()> {
        self.store.delete(&layout::link(&self.name, digest, lease)?).await?;
        if !self.is_linked_elsewhere(digest, lease).await? {
            self.condemn(digest, &lease.object).await?;
        }
        self.store.delete(&layout::holder(digest, lease)?).await?;
        Ok(())
    }

    /// Of two releases at once at least one sees the other's link gone, and condemns before it drops its holder.
    async fn is_linked_elsewhere(&self, digest: &Digest, lease: &Lease) -> Result<bool> {
        for other in self.holders(digest).await? {
            if other.object == lease.object
                && other.nonce != lease.nonce
                && self.has_link(digest, &other).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a holder's link is there: the holder names its repository.
    async fn has_link(&self, digest: &Digest, lease: &Lease) -> Result<bool> {
        let record: Option<HolderRecord> = self.store.get_record(&layout::holder(digest, lease)?).await?;
        let Some(name) = record.and_then(|record| record.repository.parse::<RepositoryName>().ok()) else {
            return Ok(false);
        };
        Ok(self.store.driver().stat(&layout::link(&name, digest, lease)?).await.optional()?.is_some())
    }

    pub(super) async fn holders(&self, digest: &Digest) -> Result<Vec<Lease>> {
        let objects = self.store.list_all(&layout::holders(digest)?).await?;
        Ok(objects.iter().filter_map(|object| object.key.name().parse().ok()).collect())
    }

    /// The mark is written once: the time in it is when the wait of W began.
    pub(super) async fn condemn(&self, digest: &Digest, object: &ObjectId) -> Result<()> {
        let key = layout::condemned(digest, object)?;
        if self.store.driver().stat(&key).await.optional()?.is_none() {
            self.store.put_record(&key, &CondemnedRecord { since: Timestamp::now() }).await?;
        }
        Ok(())
    }
}
