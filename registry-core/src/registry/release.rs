//! Letting go of an object: the link, then its holder; before the last holder goes, the object is condemned. Deletes and
//! collectors do the same steps in the same order (DESIGN section 5).

use jiff::Timestamp;
use longshore_driver_sdk::Optional as _;

use super::lease::{Lease, ObjectId};
use super::records::CondemnedRecord;
use super::{Repository, Result, layout};
use crate::oci::Digest;

impl Repository {
    pub(super) async fn unlink(&self, digest: &Digest, lease: &Lease) -> Result<()> {
        self.store.delete(&layout::link(&self.name, digest, lease)?).await?;
        self.release_holder(digest, lease).await
    }

    async fn release_holder(&self, digest: &Digest, lease: &Lease) -> Result<()> {
        let others = self.other_holders(digest, lease).await?;
        if !others {
            self.condemn(digest, &lease.object).await?;
        }
        self.store.delete(&layout::holder(digest, lease)?).await?;
        // Two that went at once each saw the other: whoever finds none left condemns.
        if others && !self.other_holders(digest, lease).await? {
            self.condemn(digest, &lease.object).await?;
        }
        Ok(())
    }

    async fn other_holders(&self, digest: &Digest, lease: &Lease) -> Result<bool> {
        let found = self.holders(digest).await?;
        Ok(found.iter().any(|other| other.object == lease.object && other.nonce != lease.nonce))
    }

    pub(super) async fn holders(&self, digest: &Digest) -> Result<Vec<Lease>> {
        let objects = self.store.list_all(&layout::holders(digest)?).await?;
        Ok(objects.iter().filter_map(|object| object.key.name().parse().ok()).collect())
    }

    /// The mark is written once: the time in it is when the wait of W began.
    async fn condemn(&self, digest: &Digest, object: &ObjectId) -> Result<()> {
        let key = layout::condemned(digest, object)?;
        if self.store.driver().stat(&key).await.optional()?.is_none() {
            self.store.put_record(&key, &CondemnedRecord { since: Timestamp::now() }).await?;
        }
        Ok(())
    }
}
