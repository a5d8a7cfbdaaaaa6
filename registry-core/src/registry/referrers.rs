//! Referrers: manifests that name a subject (spec end-12).

use futures_util::{StreamExt, TryStreamExt};

use super::{Repository, Result, layout};
use crate::oci::{Descriptor, Digest, Manifest};

const READS_AT_ONCE: usize = 8;

impl Repository {
    /// The descriptors of all that refer to `subject`, in the order of their digests.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let entries = self.store.list_all(&layout::referrers(&self.name, subject)?).await?;
        let reads = entries
            .into_iter()
            .map(|entry| async move { self.store.get_record::<Descriptor>(&entry.key).await });
        let found: Vec<_> = futures_util::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    pub(super) async fn write_referrer(
        &self,
        subject: &Digest,
        manifest: &Manifest,
        digest: &Digest,
    ) -> Result<()> {
        let descriptor = Descriptor {
            media_type: manifest.media_type.clone(),
            digest: digest.clone(),
            size: manifest.bytes.len() as u64,
            artifact_type: manifest.artifact_type.clone(),
            annotations: manifest.annotations.clone(),
        };
        self.store.put_record(&layout::referrer(&self.name, subject, digest)?, &descriptor).await?;
        Ok(())
    }
}
