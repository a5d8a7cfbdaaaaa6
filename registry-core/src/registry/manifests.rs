//! Manifests: storing them so that everything they name stays, reading them by tag or digest, deleting them.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use longshore_driver_sdk::{Condition, Key, Optional as _, Reason};

use super::began::Began;
use super::hasher::digest_of;
use super::lease::Nonce;
use super::precondition::Precondition;
use super::records::{self, ManifestHead, Marker, TagRecord};
use super::{RegistryError, Repository, Result, layout};
use crate::oci::{Algorithm, Digest, Manifest, Reference, Tag};

/// Checks of a manifest's references under way at once.
const CHECKS_AT_ONCE: usize = 8;
/// A delete that keeps crossing this push.
const STORE_TRIES: usize = 8;

/// A manifest as it was pushed.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub digest: Digest,
    pub subject: Option<Digest>,
    /// What it names and this repository has not, where that is allowed.
    pub missing: Vec<Digest>,
}

/// A manifest to be stored, under these tags.
#[derive(Debug, Clone)]
pub struct PushManifest {
    /// As the URL names it; `None`: by tag.
    pub digest: Option<Digest>,
    pub tags: Vec<Tag>,
    pub media_type: Option<String>,
    pub body: Bytes,
    /// On what the URL names: the digest, or else the last of the tags.
    pub precondition: Precondition,
}

impl Repository {
    /// Stores a manifest (spec end-7). Every step is done again even if the manifest is there: the steps are what makes it
    /// safe against a collector or a delete that crosses.
    pub async fn put_manifest(&self, push: PushManifest) -> Result<Pushed> {
        let began = Began::now();
        let PushManifest { digest, tags, media_type, body, precondition } = push;
        let manifest = Manifest::parse(body, media_type.as_deref())?;
        let conditional = tags.last().filter(|_| digest.is_none() && !precondition.is_none());
        let named =
            digest.clone().map(Reference::Digest).or_else(|| tags.last().cloned().map(Reference::Tag));
        let digest = self.verify(&manifest, digest.as_ref())?;
        if let Some(named) = &named {
            self.check_precondition(named, &precondition).await?;
        }
        let missing = self.check_references(&manifest).await?;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
        for pass in 0..STORE_TRIES {
            self.store_manifest(&manifest, &digest).await?;
            if let Some(subject) = &subject {
                self.write_referrer(subject, &manifest, &digest).await?;
            }
            let plain = tags.iter().filter(|tag| Some(*tag) != conditional);
            self.write_tags(&manifest, &digest, plain).await?;
            if let Some(tag) = conditional {
                self.write_conditional_tag(&manifest, &digest, tag, &precondition, pass > 0).await?;
            }
            self.within_window(began)?;
            // A delete may have crossed: then everything is stored again.
            if self.manifest_record(&digest).await?.is_some() {
                return Ok(Pushed { digest, subject, missing });
            }
        }
        Err(RegistryError::TookTooLong)
    }

    fn verify(&self, manifest: &Manifest, named: Option<&Digest>) -> Result<Digest> {
        let algorithm = named.map_or(Algorithm::Sha256, Digest::algorithm);
        let found = digest_of(algorithm, &manifest.bytes);
        match named {
            Some(expected) if *expected != found => {
                Err(RegistryError::ManifestDigestMismatch { expected: expected.clone(), found })
            }
            _ => Ok(found),
        }
    }

    /// Each blob must have a link that no collector will take while this manifest is stored; each child must be a root.
    /// Gives what is missing, where that is allowed.
    async fn check_references(&self, manifest: &Manifest) -> Result<Vec<Digest>> {
        let digests = |descriptors: &[crate::oci::Descriptor]| {
            descriptors
                .iter()
                .map(|descriptor| descriptor.digest.clone())
                .collect::<std::collections::BTreeSet<_>>()
        };
        let blobs = digests(&manifest.blobs).into_iter().map(|digest| (digest, false));
        let children = digests(&manifest.children).into_iter().map(|digest| (digest, true));
        let checks: Vec<_> =
            blobs.chain(children).map(|(digest, child)| self.check_reference(digest, child)).collect();
        let missing: Vec<_> =
            futures_util::stream::iter(checks).buffered(CHECKS_AT_ONCE).try_collect().await?;
        let missing: Vec<Digest> = missing.into_iter().flatten().collect();
        if missing.is_empty() || self.shared.rules.allow_missing_references {
            return Ok(missing);
        }
        Err(RegistryError::ReferencesUnknown(missing))
    }

    /// What is missing, if it is.
    async fn check_reference(&self, digest: Digest, child: bool) -> Result<Option<Digest>> {
        let there =
            if child { self.ensure_root(&digest).await? } else { self.ensure_young_link(&digest).await? };
        Ok((!there).then_some(digest))
    }

    /// A child that is old gets a young marker, which makes it a root until the index is.
    async fn ensure_root(&self, digest: &Digest) -> Result<bool> {
        let Some((head, _)) = self.manifest_record(digest).await? else { return Ok(false) };
        let rules = &self.shared.rules;
        let age = Timestamp::now().duration_since(head.updated);
        let young = age.as_secs()
            < i64::try_from((rules.grace.saturating_sub(rules.window)).as_secs()).unwrap_or(i64::MAX);
        if !young {
            let marker = layout::young_marker(&self.name, digest, &Nonce::now()?)?;
            self.store.put_record(&marker, &Marker { updated: Timestamp::now() }).await?;
        }
        Ok(true)
    }

    async fn store_manifest(&self, manifest: &Manifest, digest: &Digest) -> Result<()> {
        let key = layout::manifest(&self.name, digest)?;
        let head = ManifestHead {
            media_type: manifest.media_type.clone(),
            size: manifest.bytes.len() as u64,
            subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            updated: Timestamp::now(),
        };
        let line = records::to_bytes(&key, &head)?;
        let mut record = BytesMut::with_capacity(line.len() + 1 + manifest.bytes.len());
        record.put(line);
        record.put_u8(b'\n');
        record.put(manifest.bytes.clone());
        self.store.driver().put(&key, record.freeze(), Condition::Always).await?;
        Ok(())
    }

    async fn write_tags(
        &self,
        manifest: &Manifest,
        digest: &Digest,
        tags: impl Iterator<Item = &Tag>,
    ) -> Result<()> {
        self.store
            .put_record(&layout::catalog_entry(&self.name)?, &Marker { updated: Timestamp::now() })
            .await?;
        for tag in tags {
            self.mark_tag(digest, tag).await?;
            self.write_tag(tag, digest, &manifest.media_type, manifest.bytes.len() as u64).await?;
        }
        Ok(())
    }

    /// What this push once wrote under its precondition, it writes again only where nobody came after it.
    async fn write_conditional_tag(
        &self,
        manifest: &Manifest,
        digest: &Digest,
        tag: &Tag,
        precondition: &Precondition,
        again: bool,
    ) -> Result<()> {
        self.mark_tag(digest, tag).await?;
        let record = TagRecord::new(digest, &manifest.media_type, manifest.bytes.len() as u64);
        let holds = |current: Option<&Digest>| match again {
            false => precondition.holds(current),
            true => current.is_none_or(|current| current == digest),
        };
        match self.write_tag_while(tag, &record, holds).await? {
            Err(current) if !again => {
                Err(RegistryError::PreconditionFailed { reference: Reference::Tag(tag.clone()), current })
            }
            _ => Ok(()),
        }
    }

    async fn mark_tag(&self, digest: &Digest, tag: &Tag) -> Result<()> {
        let marker = layout::tag_marker(&self.name, digest, tag, &Nonce::now()?)?;
        let record = Marker { updated: Timestamp::now() };
        let marked = self.store.put_record(&marker, &record);
        futures_util::future::try_join(marked, self.note_recent_tag(digest, tag)).await?;
        Ok(())
    }

    /// A manifest, by tag or digest (spec end-3).
    pub async fn manifest(&self, reference: &Reference) -> Result<StoredManifest> {
        let unknown = || RegistryError::ManifestUnknown(reference.clone());
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.read_tag(tag).await?.ok_or_else(unknown)?.digest,
        };
        let (head, bytes) = self.manifest_record(&digest).await?.ok_or_else(unknown)?;
        Ok(StoredManifest { digest, media_type: head.media_type, bytes })
    }

    pub(super) async fn manifest_record(&self, digest: &Digest) -> Result<Option<(ManifestHead, Bytes)>> {
        let key = layout::manifest(&self.name, digest)?;
        let Some((_, mut content)) = self.store.get(&key).await.optional()? else { return Ok(None) };
        let head = split_head(&key, &mut content)?;
        Ok(Some((head, content)))
    }

    /// Deletes a manifest, and the tags that still point at it (spec end-9). The tags go first, so that none is left
    /// dangling by a crash; then once more, because a push may have crossed: one that found the manifest still there had
    /// written its marker and tag before, and one that did not stores everything again.
    pub async fn delete_manifest(&self, digest: &Digest, precondition: &Precondition) -> Result<()> {
        let Some((head, _)) = self.manifest_record(digest).await? else {
            // A delete that was cut off may have left tags behind.
            self.untag_dangling(digest).await?;
            return Err(RegistryError::ManifestUnknown(Reference::Digest(digest.clone())));
        };
        if !precondition.holds(Some(digest)) {
            let (reference, current) = (Reference::Digest(digest.clone()), Some(digest.clone()));
            return Err(RegistryError::PreconditionFailed { reference, current });
        }
        for tag in self.marked_tags(digest).await? {
            self.untag(&tag, digest).await?;
        }
        let referrer =
            head.subject.map(|subject| layout::referrer(&self.name, &subject, digest)).transpose()?;
        if let Some(referrer) = &referrer {
            self.store.delete(referrer).await?;
        }
        self.store.delete(&layout::manifest(&self.name, digest)?).await?;
        if let Some(referrer) = &referrer {
            self.delete_dangling_referrer(referrer, digest).await?;
        }
        self.untag_dangling(digest).await
    }

    /// One that a push wrote between the two deletes. What is read before the manifest is seen to be absent is older than
    /// anything that a push stores after that.
    async fn delete_dangling_referrer(&self, referrer: &Key, digest: &Digest) -> Result<()> {
        let driver = self.store.driver();
        let Some(found) = driver.stat(referrer).await.optional()? else { return Ok(()) };
        if self.manifest_record(digest).await?.is_some() {
            return Ok(());
        }
        let condition = found.etag.filter(|_| driver.description().capabilities.delete_if_match);
        match driver.delete(referrer, condition.as_deref()).await {
            Err(error) if error.reason() == Reason::PreconditionFailed => Ok(()),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// What a push that crossed tagged before its manifest was deleted. Markers stay: a collector drops them (docs/adr/0003).
    async fn untag_dangling(&self, digest: &Digest) -> Result<()> {
        for tag in self.marked_tags(digest).await? {
            self.untag_while_absent(&tag, digest).await?;
        }
        Ok(())
    }

    async fn marked_tags(&self, digest: &Digest) -> Result<std::collections::BTreeSet<Tag>> {
        let markers = self.store.list_all(&layout::markers(&self.name, digest)?).await?;
        let recent = self.recent_tags(digest).await?;
        Ok(markers.iter().filter_map(|marker| layout::marked_tag(&marker.key)).chain(recent).collect())
    }
}

fn split_head(key: &Key, content: &mut Bytes) -> Result<ManifestHead> {
    let end = content.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| records::damaged(key, &"the line of metadata has no end"))?;
    let head: ManifestHead = records::from_bytes(key, &content.split_to(end))?;
    let _newline = content.split_to(1);
    if content.len() as u64 == head.size {
        return Ok(head);
    }
    Err(records::damaged(key, &format!("it has {} bytes, its metadata says {}", content.len(), head.size)))
}
