//! Whether a digest is in a repository, as a blob or as a manifest.

use super::{RegistryError, Repository, Result};
use crate::oci::Digest;

/// What a digest is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Available {
    Blob { size: u64 },
    Manifest { size: u64, media_type: String },
}

impl Repository {
    /// `None`: it is not here. With `lease` a blob that is here is leased, as by HEAD: the manifest that needs it may
    /// follow.
    pub async fn availability(&self, digest: &Digest, lease: bool) -> Result<Option<Available>> {
        let blob = if lease { self.lease_blob(digest).await } else { self.blob_size(digest).await };
        match blob {
            Ok(size) => return Ok(Some(Available::Blob { size })),
            Err(RegistryError::BlobUnknown(_)) => {}
            Err(error) => return Err(error),
        }
        let manifest = self.manifest_record(digest).await?;
        Ok(manifest.map(|(head, _)| Available::Manifest { size: head.size, media_type: head.media_type }))
    }
}
