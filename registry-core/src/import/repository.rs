//! One repository: which of its manifests and tags are missing here, and these in the order in which they can be pushed: an
//! index after all that it names.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::registry2::data;
use super::report::Count;
use super::{Halt, Importer};
use crate::oci::{Digest, Manifest, RepositoryName, Tag};
use crate::registry::Repository;

/// Manifests whose blobs are copied before any of them is stored.
const BATCH: usize = 64;
/// As many as one push over HTTP may set.
const TAGS_AT_ONCE: usize = 64;

type Tags = BTreeMap<Digest, Vec<Tag>>;

impl Importer {
    pub(super) async fn repository(&self, name: &RepositoryName) -> Result<(), Halt> {
        let to = self.registry.repository(name);
        let revisions = self.revisions(name).await;
        let tags = self.tags(name, &revisions).await;
        let mut missing = self.missing(&to, revisions, &tags).await?;
        while !missing.is_empty() {
            let ready: Vec<Digest> = missing
                .iter()
                .filter(|(_, children)| !children.iter().any(|child| missing.contains_key(child)))
                .map(|(digest, _)| digest.clone())
                .collect();
            if ready.is_empty() {
                // No digest is in what it is the digest of: some of these are other bytes than their names say.
                for digest in missing.keys() {
                    self.problem(&data(digest), "it is, by way of others, an index of itself");
                }
                break;
            }
            for batch in ready.chunks(BATCH) {
                self.batch(&to, batch, &tags).await?;
            }
            for digest in &ready {
                missing.remove(digest);
            }
        }
        self.report.count(Count::Repositories, 1);
        Ok(())
    }

    async fn revisions(&self, name: &RepositoryName) -> BTreeSet<Digest> {
        let wanted = name.clone();
        let mut digests = BTreeSet::new();
        for found in self.blocking(move |source| source.revisions(&wanted)).await {
            match found {
                Ok(Some(digest)) => drop(digests.insert(digest)),
                Ok(None) => self.report.count(Count::ManifestsDeleted, 1),
                Err((path, flaw)) => self.problem(&path, &flaw.to_string()),
            }
        }
        digests
    }

    /// The tags by what they point at.
    async fn tags(&self, name: &RepositoryName, revisions: &BTreeSet<Digest>) -> Tags {
        let wanted = name.clone();
        let mut tags = Tags::new();
        for found in self.blocking(move |source| source.tags(&wanted)).await {
            match found {
                Ok((tag, digest)) if revisions.contains(&digest) => {
                    tags.entry(digest).or_default().push(tag);
                }
                Ok((tag, digest)) => self.problem(
                    &format!("repositories/{name}/_manifests/tags/{tag}/current/link"),
                    &format!("it points at {digest}, which is no manifest of this repository"),
                ),
                Err((path, reason)) => self.problem(&path, &reason),
            }
        }
        tags
    }

    /// What has to be pushed, and which manifests each of it names.
    async fn missing(
        &self,
        to: &Repository,
        revisions: BTreeSet<Digest>,
        tags: &Tags,
    ) -> Result<BTreeMap<Digest, Vec<Digest>>, Halt> {
        let looks = revisions.into_iter().map(|digest| async move {
            self.go_on()?;
            if to.is_pushed(&digest).await? && self.unset_tags(to, &digest, tags, false).await?.is_empty() {
                self.count_there(to, &digest, tags).await?;
                return Ok(None);
            }
            let Some(manifest) = self.read_manifest(&digest).await else { return Ok(None) };
            Ok::<_, Halt>(Some((digest, manifest.children.into_iter().map(|child| child.digest).collect())))
        });
        let found: Vec<Option<(Digest, Vec<Digest>)>> =
            futures_util::stream::iter(looks).buffer_unordered(self.options.jobs).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn count_there(&self, to: &Repository, digest: &Digest, tags: &Tags) -> Result<(), Halt> {
        self.report.count(Count::ManifestsThere, 1);
        self.unset_tags(to, digest, tags, true).await.map(drop)
    }

    /// The tags of a manifest that are to be written. One that points elsewhere here was moved since, or is another's.
    async fn unset_tags(
        &self,
        to: &Repository,
        digest: &Digest,
        tags: &Tags,
        tell: bool,
    ) -> Result<Vec<Tag>, Halt> {
        let mut unset = Vec::new();
        for tag in tags.get(digest).into_iter().flatten() {
            match to.tag_target(tag).await? {
                Some(here) if here == *digest => {
                    if tell {
                        self.report.count(Count::TagsThere, 1);
                    }
                }
                Some(here) if !self.options.overwrite_tags => {
                    if tell {
                        self.report.count(Count::TagsKept, 1);
                        self.report.note(&format!(
                            "{}:{tag} points at {here} here and stays; --overwrite-tags would move it to {digest}",
                            to.name()
                        ));
                    }
                }
                _ => unset.push(tag.clone()),
            }
        }
        Ok(unset)
    }

    /// Blobs first, each once; then the manifests that have all of theirs.
    async fn batch(&self, to: &Repository, digests: &[Digest], tags: &Tags) -> Result<(), Halt> {
        let mut needs: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
        for digest in digests {
            if let Some(manifest) = self.read_manifest(digest).await {
                needs.insert(digest.clone(), self.blobs_of(to, &manifest).await?);
            }
        }
        let all: BTreeSet<&Digest> = needs.values().flatten().collect();
        let copies = all.into_iter().map(|blob| async move {
            self.go_on()?;
            Ok::<_, Halt>((!self.import_blob(to, blob).await?).then(|| blob.clone()))
        });
        let lost: Vec<Option<Digest>> =
            futures_util::stream::iter(copies).buffer_unordered(self.options.jobs).try_collect().await?;
        let lost: BTreeSet<Digest> = lost.into_iter().flatten().collect();
        let tolerant = self.registry.rules().allow_missing_references;
        let pushes = needs.iter().map(|(digest, blobs)| {
            let lost = blobs.intersection(&lost).count();
            async move {
                self.go_on()?;
                if lost > 0 && !tolerant {
                    let reason = format!("not imported: {lost} of its blobs can't be had, see above");
                    self.problem(&data(digest), &reason);
                    return Ok(());
                }
                self.push(to, digest, tags).await
            }
        });
        futures_util::stream::iter(pushes).buffer_unordered(self.options.jobs).try_collect().await
    }

    /// What it needs, and of what it need not have here that which the foreign repository has.
    async fn blobs_of(&self, to: &Repository, manifest: &Manifest) -> Result<BTreeSet<Digest>, Halt> {
        let mut blobs: BTreeSet<Digest> = manifest.blobs.iter().map(|blob| blob.digest.clone()).collect();
        for layer in &manifest.elsewhere {
            let (name, digest) = (to.name().clone(), layer.digest.clone());
            if self.blocking(move |source| source.layer_link(&name, &digest)).await.is_ok() {
                blobs.insert(layer.digest.clone());
            }
        }
        Ok(blobs)
    }

    async fn push(&self, to: &Repository, digest: &Digest, tags: &Tags) -> Result<(), Halt> {
        // Looked at as late as can be: a tag may be pushed here at the same time.
        let unset = self.unset_tags(to, digest, tags, true).await?;
        let (first, rest) = unset.split_at(unset.len().min(TAGS_AT_ONCE));
        let imports = std::iter::once(first).chain(rest.chunks(TAGS_AT_ONCE));
        for (number, tags) in imports.enumerate() {
            if !self.options.dry_run {
                let Some(manifest) = self.read_manifest(digest).await else { return Ok(()) };
                if !self.import_manifest(to, digest, manifest, tags.to_vec()).await? {
                    return Ok(());
                }
            }
            self.report.count(Count::ManifestsImported, u64::from(number == 0));
            self.report.count(Count::TagsWritten, tags.len() as u64);
        }
        Ok(())
    }
}
