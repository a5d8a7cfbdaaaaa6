//! Mounting: taking a blob over from another repository of the same store, without its bytes (spec end-11).

use std::sync::Arc;

use super::lease::Lease;
use super::records::HolderRecord;
use super::{Registry, RegistryError, Repository, Result, layout};
use crate::oci::{Digest, RepositoryName};

/// Holders that are looked at for a repository to mount from. A base layer may have thousands.
const MAX_HOLDERS: usize = 32;

impl Repository {
    /// False: the blob can't be had there.
    pub async fn mount_blob(&self, digest: &Digest, from: &Repository) -> Result<bool> {
        if !Arc::ptr_eq(&self.store, &from.store) {
            return Ok(false);
        }
        let links = from.links(digest).await?;
        Ok(self.adopt_one_of(digest, from, links).await?.is_some())
    }

    /// The repositories that hold a blob, those of the newest holders first. A hint: a holder may have no link any more.
    async fn holding(&self, digest: &Digest) -> Result<Vec<RepositoryName>> {
        let holders = self.store.list_all(&layout::holders(digest)?).await?;
        let mut leases: Vec<Lease> =
            holders.iter().filter_map(|holder| holder.key.name().parse().ok()).collect();
        leases.sort_by(|a, b| b.nonce.cmp(&a.nonce));
        leases.truncate(MAX_HOLDERS);
        let mut names = Vec::new();
        for lease in leases {
            let key = layout::holder(digest, &lease)?;
            let record: Option<HolderRecord> = self.store.get_record(&key).await?;
            let name = record.and_then(|record| record.repository.parse().ok());
            names.extend(name.filter(|name| !names.contains(name)));
        }
        Ok(names)
    }
}

impl Registry {
    /// Mounts from whatever repository has the blob, of those that `may_read` lets through. False: none of those looked at.
    pub async fn mount_from_any(
        &self,
        to: &Repository,
        digest: &Digest,
        may_read: impl Fn(&RepositoryName) -> bool,
    ) -> Result<bool> {
        match to.lease_blob(digest).await {
            Ok(_) => return Ok(true),
            Err(RegistryError::BlobUnknown(_)) => {}
            Err(error) => return Err(error),
        }
        for name in to.holding(digest).await? {
            if may_read(&name) && to.mount_blob(digest, &self.repository(&name)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
