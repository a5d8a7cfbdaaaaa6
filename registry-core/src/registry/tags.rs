//! Tags: one small record each, overwritten by whoever comes last.

use longshore_driver_sdk::{Condition, Reason};

use super::precondition::Precondition;
use super::records::TagRecord;
use super::{RegistryError, Repository, Result, layout};
use crate::oci::{Digest, Reference, Tag};

/// How often a conditional delete of a tag that keeps moving is tried.
const TRIES: usize = 8;

/// When a tag is to go.
#[derive(Clone, Copy)]
enum Untag<'a> {
    If(&'a Precondition),
    PointsAt(&'a Digest),
    Dangles(&'a Digest),
}

/// A page of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPage {
    pub tags: Vec<String>,
    pub more: bool,
}

impl Repository {
    pub(super) async fn read_tag(&self, tag: &Tag) -> Result<Option<TagRecord>> {
        self.store.get_record(&layout::tag(&self.name, tag)?).await
    }

    pub(super) async fn write_tag(
        &self,
        tag: &Tag,
        digest: &Digest,
        media_type: &str,
        size: u64,
    ) -> Result<()> {
        let record = TagRecord::new(digest, media_type, size);
        self.store.put_record(&layout::tag(&self.name, tag)?, &record).await?;
        Ok(())
    }

    /// Deletes a tag; the manifest stays (spec end-9).
    pub async fn delete_tag(&self, tag: &Tag, precondition: &Precondition) -> Result<()> {
        if self.untag_if(tag, Untag::If(precondition)).await? {
            return Ok(());
        }
        let reference = Reference::Tag(tag.clone());
        match self.read_tag(tag).await?.filter(|_| !precondition.is_none()) {
            Some(found) => Err(RegistryError::PreconditionFailed { reference, current: Some(found.digest) }),
            None => Err(RegistryError::ManifestUnknown(reference)),
        }
    }

    /// Deletes a tag if it still points at `digest`.
    pub(super) async fn untag(&self, tag: &Tag, digest: &Digest) -> Result<bool> {
        self.untag_if(tag, Untag::PointsAt(digest)).await
    }

    /// Deletes a tag if it points at `digest`, and that manifest is not there.
    pub(super) async fn untag_while_absent(&self, tag: &Tag, digest: &Digest) -> Result<bool> {
        self.untag_if(tag, Untag::Dangles(digest)).await
    }

    /// By compare-and-set where the store has one; without, a tag pushed in the same instant may go too (docs/adr/0005).
    async fn untag_if(&self, tag: &Tag, condition: Untag<'_>) -> Result<bool> {
        let key = layout::tag(&self.name, tag)?;
        for _ in 0..TRIES {
            let Some((record, etag)) = self.store.get_record_with_etag::<TagRecord>(&key).await? else {
                return Ok(false);
            };
            let goes = match condition {
                Untag::If(precondition) => precondition.holds(Some(&record.digest)),
                Untag::PointsAt(digest) => record.digest == *digest,
                Untag::Dangles(digest) => {
                    record.digest == *digest && self.manifest_record(digest).await?.is_none()
                }
            };
            if !goes {
                return Ok(false);
            }
            match self.remove_tag_record(&key, etag).await {
                Err(error) if error.reason() == Reason::PreconditionFailed => {}
                outcome => return outcome.map(|()| true).map_err(Into::into),
            }
        }
        Err(RegistryError::TookTooLong)
    }

    async fn remove_tag_record(
        &self,
        key: &longshore_driver_sdk::Key,
        etag: Option<String>,
    ) -> longshore_driver_sdk::Result<()> {
        let driver = self.store.driver();
        let capabilities = driver.description().capabilities;
        match etag {
            Some(etag) if capabilities.delete_if_match => driver.delete(key, Some(&etag)).await.map(drop),
            // A record of length zero is a deleted tag.
            Some(etag) if capabilities.put_if_match => {
                driver.put(key, bytes::Bytes::new(), Condition::IfMatch(etag)).await.map(drop)
            }
            _ => driver.delete(key, None).await.map(drop),
        }
    }

    /// Tags in the order of their bytes, behind `last` (spec end-8).
    ///
    /// # Errors
    /// `NameUnknown` when nothing was ever pushed to this repository.
    pub async fn list_tags(&self, last: Option<&str>, limit: usize) -> Result<TagPage> {
        let prefix = layout::tags(&self.name)?;
        let mut start_after = last.map(|last| format!("{}{last}", prefix.as_str())).unwrap_or_default();
        let mut tags: Vec<String> = Vec::new();
        loop {
            let wanted = limit.saturating_sub(tags.len()).clamp(1, 1000);
            let (objects, more) = self.store.list_page(&prefix, start_after, wanted).await?;
            start_after = objects.last().map(|object| object.key.as_str().to_owned()).unwrap_or_default();
            tags.extend(
                objects.iter().filter(|object| object.size > 0).map(|object| object.key.name().to_owned()),
            );
            if !more || tags.len() >= limit || start_after.is_empty() {
                let page = TagPage { tags, more };
                return if page.tags.is_empty() { self.empty_page(page).await } else { Ok(page) };
            }
        }
    }

    async fn empty_page(&self, page: TagPage) -> Result<TagPage> {
        if self.exists().await? { Ok(page) } else { Err(RegistryError::NameUnknown(self.name.clone())) }
    }

    /// Whether anything is, or was, in this repository.
    async fn exists(&self) -> Result<bool> {
        use longshore_driver_sdk::{KeyPrefix, ListQuery};
        let prefix = KeyPrefix::parse(&format!("{}/", layout::folder(&self.name)))?;
        // Its own records begin with '_'; before them may stand any number of repositories whose names go on from its own.
        let start_after = format!("{}^", prefix.as_str());
        let own = format!("{}_", prefix.as_str());
        let query = ListQuery { prefix, recursive: false, start_after, limit: 1 };
        let page = self.store.driver().list(&query).await?;
        Ok(page.entries.iter().any(|entry| entry.name().starts_with(&own)))
    }
}
