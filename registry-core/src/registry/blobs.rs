//! Blobs of a repository: reading them through links, leasing them, mounting and deleting them.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_driver_sdk::{ByteStream, Object, Optional as _, ReadRange};

use super::began::Began;
use super::lease::{Lease, ObjectId};
use super::records::{HolderRecord, LatestRecord, LinkRecord};
use super::{RegistryError, Repository, Result, layout};
use crate::oci::{ByteRange, Digest, RangeHeader};
use crate::storage::advice::next_step;

/// Links that are looked at by their names, where a listing may lag.
const LOOKS_AT_ONCE: usize = 8;

/// A blob on its way out.
pub struct BlobReading {
    pub size: u64,
    /// What of it was asked for; `None`: all.
    pub range: Option<ByteRange>,
    pub bytes: ByteStream,
}

/// What a range asked for that the blob can't give.
#[derive(Debug)]
pub enum ReadOutcome {
    Reading(BlobReading),
    /// 416, with the size.
    Unsatisfiable(u64),
}

impl std::fmt::Debug for BlobReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReading")
            .field("size", &self.size)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// The size of a blob.
    ///
    /// # Errors
    /// `BlobUnknown` when no link of this repository leads to an object that is there.
    pub async fn blob_size(&self, digest: &Digest) -> Result<u64> {
        Ok(self.find_blob(digest).await?.size)
    }

    /// As [`Repository::blob_size`], for somebody who may push: a link of which half the grace period is gone is renewed,
    /// so that what was found is still there when the manifest follows. A link that can't be renewed is no promise, so the
    /// blob is unknown, and pushed again (docs/adr/0004).
    pub async fn lease_blob(&self, digest: &Digest) -> Result<u64> {
        let links = self.links(digest).await?;
        let young = links.first().is_some_and(|lease| lease.age() <= self.shared.rules.grace / 2);
        let size = if young {
            self.first_object(digest, links).await?.map(|object| object.size)
        } else {
            self.adopt_one_of(digest, self, links).await?
        };
        size.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))
    }

    /// Opens a blob, or a range of it.
    pub async fn read_blob(&self, digest: &Digest, range: Option<RangeHeader>) -> Result<ReadOutcome> {
        match range {
            Some(_) => self.read_found(digest, &self.find_blob(digest).await?, range).await,
            None => self.read_whole(digest).await,
        }
    }

    async fn read_whole(&self, digest: &Digest) -> Result<ReadOutcome> {
        for lease in self.links(digest).await? {
            let key = layout::object(&lease.object)?;
            if let Some(reading) = self.store.driver().read(&key, ReadRange::default()).await.optional()? {
                let bytes = self.watched(digest, reading.bytes);
                let reading = BlobReading { size: reading.object.size, range: None, bytes };
                return Ok(ReadOutcome::Reading(reading));
            }
            self.report_dangling(digest, &lease);
        }
        Err(RegistryError::BlobUnknown(digest.clone()))
    }

    /// As [`Repository::read_blob`], of what was found a moment ago.
    pub async fn read_found(
        &self,
        digest: &Digest,
        object: &Object,
        header: Option<RangeHeader>,
    ) -> Result<ReadOutcome> {
        let range = header.map(|header| header.of(object.size));
        if range == Some(None) {
            return Ok(ReadOutcome::Unsatisfiable(object.size));
        }
        let range = range.flatten();
        let wanted = range.map_or_else(ReadRange::default, |range| ReadRange {
            offset: range.first,
            length: Some(range.length()),
            if_match: None,
        });
        let reading = self.store.driver().read(&object.key, wanted).await.optional()?;
        let reading = reading.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))?;
        let bytes = self.watched(digest, reading.bytes);
        Ok(ReadOutcome::Reading(BlobReading { size: object.size, range, bytes }))
    }

    /// The client sees a response that breaks off, and no more; why stands in the log.
    fn watched(&self, digest: &Digest, bytes: ByteStream) -> ByteStream {
        let (storage, repository, digest) = (self.store.name().to_owned(), self.name.clone(), digest.clone());
        Box::pin(bytes.inspect_err(move |error| {
            let next = next_step(error.reason());
            tracing::error!(storage, %repository, %digest, %error, next, "a response was cut off");
        }))
    }

    /// The object of a blob, if a link of this repository leads to it.
    ///
    /// # Errors
    /// As [`Repository::blob_size`].
    pub async fn find_blob(&self, digest: &Digest) -> Result<Object> {
        let links = self.links(digest).await?;
        self.first_object(digest, links).await?.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))
    }

    async fn first_object(&self, digest: &Digest, links: Vec<Lease>) -> Result<Option<Object>> {
        for lease in links {
            if let Some(object) =
                self.store.driver().stat(&layout::object(&lease.object)?).await.optional()?
            {
                return Ok(Some(object));
            }
            self.report_dangling(digest, &lease);
        }
        Ok(None)
    }

    fn report_dangling(&self, digest: &Digest, lease: &Lease) {
        tracing::error!(repository = %self.name, %digest, object = %lease.object, "a link leads to an object that is gone");
    }

    /// The links of a digest, the newest first.
    pub(super) async fn links(&self, digest: &Digest) -> Result<Vec<Lease>> {
        let objects = self.store.list_all(&layout::links(&self.name, digest)?).await?;
        let mut leases: Vec<Lease> =
            objects.iter().filter_map(|object| object.key.name().parse().ok()).collect();
        if !self.lists_are_current() {
            leases.extend(self.latest_link(digest).await?);
        }
        leases.sort_by(|a, b| b.nonce.cmp(&a.nonce));
        leases.dedup();
        if self.lists_are_current() { Ok(leases) } else { self.that_are_there(digest, leases).await }
    }

    /// A listing that lags shows links that were deleted a moment ago, and `latest` may name one, written by a push that a
    /// delete crossed. Their names do not lag.
    async fn that_are_there(&self, digest: &Digest, leases: Vec<Lease>) -> Result<Vec<Lease>> {
        let driver = self.store.driver();
        let looks = stream::iter(leases).map(|lease| async move {
            let found = driver.stat(&layout::link(&self.name, digest, &lease)?).await.optional()?;
            Ok(found.map(|_| lease))
        });
        looks.buffered(LOOKS_AT_ONCE).try_filter_map(|lease| async { Ok(lease) }).try_collect().await
    }

    pub(super) fn lists_are_current(&self) -> bool {
        self.store.driver().description().capabilities.list_is_current
    }

    async fn latest_link(&self, digest: &Digest) -> Result<Option<Lease>> {
        let latest: Option<LatestRecord> =
            self.store.get_record(&layout::latest_link(&self.name, digest)?).await?;
        Ok(latest.and_then(|latest| latest.lease.parse().ok()))
    }

    /// Takes an object into this repository (docs/adr/0005): the holder first, and only then a look at the mark,
    /// where a collector writes the mark first and only then looks at the holders, so that one of them sees the other.
    /// False: the object can't be had any more. An adopter that fails in any other way leaves what it wrote: the put of
    /// its link may yet land, and a holder without a link goes stale by itself (docs/adr/0004).
    pub(super) async fn adopt(&self, digest: &Digest, object: &ObjectId, size: u64) -> Result<bool> {
        let began = Began::now();
        let lease = Lease::new(object.clone())?;
        self.write_holder(digest, &lease, size).await?;
        if !self.is_adoptable(digest, object, size).await? {
            self.store.delete(&layout::holder(digest, &lease)?).await?;
            return Ok(false);
        }
        self.within_window(began)?;
        self.write_link(digest, &lease, size).await?;
        self.within_window(began)?;
        Ok(true)
    }

    /// What took longer than W/2 by our own clock may meet a collector that no longer waits for it.
    pub(super) fn within_window(&self, began: Began) -> Result<()> {
        if began.elapsed() > self.shared.rules.window / 2 { Err(RegistryError::TookTooLong) } else { Ok(()) }
    }

    async fn is_adoptable(&self, digest: &Digest, object: &ObjectId, size: u64) -> Result<bool> {
        let driver = self.store.driver();
        if driver.stat(&layout::condemned(digest, object)?).await.optional()?.is_some() {
            return Ok(false);
        }
        let found = driver.stat(&layout::object(object)?).await.optional()?;
        Ok(found.is_some_and(|found| found.size == size))
    }

    pub(super) async fn write_holder(&self, digest: &Digest, lease: &Lease, size: u64) -> Result<()> {
        let record = HolderRecord { repository: self.name.as_str().to_owned(), size };
        self.store.put_record(&layout::holder(digest, lease)?, &record).await?;
        Ok(())
    }

    pub(super) async fn write_link(&self, digest: &Digest, lease: &Lease, size: u64) -> Result<()> {
        self.store.put_record(&layout::link(&self.name, digest, lease)?, &LinkRecord { size }).await?;
        if !self.lists_are_current() {
            let latest = LatestRecord { lease: lease.to_string() };
            self.store.put_record(&layout::latest_link(&self.name, digest)?, &latest).await?;
        }
        Ok(())
    }

    /// Takes a blob out of this repository. Its bytes go once nothing holds them.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let links = self.links(digest).await?;
        if links.is_empty() {
            return Err(RegistryError::BlobUnknown(digest.clone()));
        }
        if !self.lists_are_current() {
            self.store.delete(&layout::latest_link(&self.name, digest)?).await?;
        }
        for lease in links {
            self.unlink(digest, &lease).await?;
        }
        Ok(())
    }

    /// Whether the newest link is young enough to be relied on by a manifest; else it is renewed, if it can be.
    pub(super) async fn ensure_young_link(&self, digest: &Digest) -> Result<bool> {
        let rules = &self.shared.rules;
        let links = self.links(digest).await?;
        if links.first().is_some_and(|lease| lease.age() < rules.grace.saturating_sub(rules.window)) {
            return Ok(true);
        }
        Ok(self.adopt_one_of(digest, self, links).await?.is_some())
    }

    /// Adopts the first object that can be had of those that `from` links, and tells its size.
    pub(super) async fn adopt_one_of(
        &self,
        digest: &Digest,
        from: &Repository,
        links: Vec<Lease>,
    ) -> Result<Option<u64>> {
        for lease in links {
            let link = layout::link(&from.name, digest, &lease)?;
            let Some(record) = self.store.get_record::<LinkRecord>(&link).await? else { continue };
            if self.adopt(digest, &lease.object, record.size).await? {
                return Ok(Some(record.size));
            }
        }
        Ok(None)
    }
}
