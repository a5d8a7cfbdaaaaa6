//! Referrers: manifests that name a subject (spec end-12). Each has an entry, written by its push. What a client listed under
//! the subject's fallback tag is shown too, if it is here and names the subject (spec, "Enabling the Referrers API").

use futures_util::{StreamExt, TryStreamExt};
use longshore_driver_sdk::Key;

use super::{RegistryError, Repository, Result, layout};
use crate::oci::{Descriptor, Digest, Manifest, Tag, media_type};

const READS_AT_ONCE: usize = 8;
/// Entries looked at in one step.
const BATCH: usize = 64;
/// Entries read for one page: a filter that few of them pass must not make a request endless.
const MAX_READS: usize = 2048;
/// A page must find room in a manifest, with what is around its descriptors.
const MAX_BYTES: usize = 4 * 1024 * 1024 - 1024;

/// Which referrers of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrersQuery<'a> {
    pub artifact_type: Option<&'a str>,
    /// Only those behind this one.
    pub last: Option<&'a Digest>,
    pub limit: usize,
}

/// Referrers in the order of their digests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReferrersPage {
    pub found: Vec<Descriptor>,
    /// The last one looked at, if there are more.
    pub last: Option<Digest>,
}

/// Where a referrer is known from.
enum Known {
    Entry(Digest, Key),
    /// From the fallback tag alone.
    Listed(Digest),
}

/// Some entries in order, and where the next ones begin.
struct Batch {
    known: Vec<Known>,
    /// `None`: there are no more.
    next: Option<String>,
}

impl Repository {
    pub async fn referrers(&self, subject: &Digest, query: &ReferrersQuery<'_>) -> Result<ReferrersPage> {
        let mut page = ReferrersPage::default();
        if query.limit == 0 {
            return Ok(page);
        }
        let listed = self.listed_by_tag(subject).await?;
        let mut after = Some(query.last.map(layout::referrer_name).unwrap_or_default());
        let (mut examined, mut reads, mut bytes) = (None, 0, 0);
        while let Some(start) = after {
            let batch = self.next_referrers(subject, start, &listed).await?;
            let descriptors: Vec<_> =
                batch.known.into_iter().map(|known| self.read_referrer(subject, known)).collect();
            let mut descriptors = futures_util::stream::iter(descriptors).buffered(READS_AT_ONCE);
            while let Some((digest, descriptor)) = descriptors.try_next().await? {
                reads += 1;
                let fits = |found: &Descriptor| {
                    query.artifact_type.is_none_or(|wanted| found.artifact_type.as_deref() == Some(wanted))
                };
                if let Some(descriptor) = descriptor.filter(fits) {
                    bytes += serde_json::to_vec(&descriptor).map_or(0, |text| text.len() + 1);
                    let full = page.found.len() == query.limit || bytes > MAX_BYTES;
                    if full && !page.found.is_empty() {
                        page.last = examined;
                        return Ok(page);
                    }
                    page.found.push(descriptor);
                }
                examined = Some(digest);
            }
            if batch.next.is_some() && reads >= MAX_READS {
                page.last = examined;
                return Ok(page);
            }
            after = batch.next;
        }
        Ok(page)
    }

    /// Entries of the store and digests of the tag, merged, each once.
    async fn next_referrers(&self, subject: &Digest, after: String, listed: &[Digest]) -> Result<Batch> {
        let prefix = layout::referrers(&self.name, subject)?;
        let start = if after.is_empty() { String::new() } else { format!("{}{after}", prefix.as_str()) };
        let (entries, more) = self.store.list_page(&prefix, start, BATCH).await?;
        let end = entries.last().filter(|_| more).map(|entry| entry.key.name().to_owned());
        let mut known: Vec<(String, Known)> = listed
            .iter()
            .map(|digest| (layout::referrer_name(digest), Known::Listed(digest.clone())))
            .filter(|(name, _)| *name > after && end.as_ref().is_none_or(|end| name <= end))
            .filter(|(name, _)| !entries.iter().any(|entry| entry.key.name() == name))
            .collect();
        known.extend(entries.into_iter().filter_map(|entry| {
            let digest = layout::referring(&entry.key)?;
            Some((entry.key.name().to_owned(), Known::Entry(digest, entry.key)))
        }));
        known.sort_by(|(a, _), (b, _)| a.cmp(b));
        let rest = known.len() > BATCH;
        known.truncate(BATCH);
        let next = if rest { known.last().map(|(name, _)| name.clone()) } else { end };
        Ok(Batch { known: known.into_iter().map(|(_, known)| known).collect(), next })
    }

    /// None: it is gone, or no referrer of this subject.
    async fn read_referrer(&self, subject: &Digest, known: Known) -> Result<(Digest, Option<Descriptor>)> {
        match known {
            Known::Entry(digest, key) => Ok((digest, self.store.get_record(&key).await?)),
            Known::Listed(digest) => {
                let manifest = self.parsed_manifest(&digest).await?;
                let named = |manifest: &Manifest| manifest.subject.as_ref().map(|named| named.digest.clone());
                let manifest = manifest.filter(|manifest| named(manifest).as_ref() == Some(subject));
                let descriptor = manifest.map(|manifest| descriptor_of(&manifest, &digest));
                Ok((digest, descriptor))
            }
        }
    }

    /// What the index under the subject's fallback tag names (spec, "Referrers Tag Schema").
    async fn listed_by_tag(&self, subject: &Digest) -> Result<Vec<Digest>> {
        let Some(tag) = Tag::of_referrers(subject) else { return Ok(Vec::new()) };
        let Some(record) = self.read_tag(&tag).await? else { return Ok(Vec::new()) };
        let index = self.parsed_manifest(&record.digest).await?;
        let index = index.filter(|index| index.media_type == media_type::OCI_INDEX);
        Ok(index
            .map(|index| index.children.into_iter().map(|child| child.digest).collect())
            .unwrap_or_default())
    }

    async fn parsed_manifest(&self, digest: &Digest) -> Result<Option<Manifest>> {
        let Some((head, bytes)) = self.manifest_record(digest).await? else { return Ok(None) };
        let manifest = Manifest::parse(bytes, Some(&head.media_type));
        Ok(Some(manifest.map_err(|problem| RegistryError::Damaged {
            key: format!("the manifest {digest} of {}", self.name),
            problem: problem.to_string(),
        })?))
    }

    pub(super) async fn write_referrer(
        &self,
        subject: &Digest,
        manifest: &Manifest,
        digest: &Digest,
    ) -> Result<()> {
        let key = layout::referrer(&self.name, subject, digest)?;
        self.store.put_record(&key, &descriptor_of(manifest, digest)).await?;
        Ok(())
    }
}

/// As spec end-12 wants it.
fn descriptor_of(manifest: &Manifest, digest: &Digest) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.clone(),
        digest: digest.clone(),
        size: manifest.bytes.len() as u64,
        artifact_type: manifest.artifact_type.clone(),
        annotations: manifest.annotations.clone(),
    }
}
