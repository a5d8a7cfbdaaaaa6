//! What the registry has acknowledged, kept outside the disk that loses its power.

use std::collections::BTreeMap;

use bytes::Bytes;

#[derive(Default)]
pub(crate) struct Ledger {
    /// (repository, digest)
    pub(crate) blobs: Vec<(String, String)>,
    /// (repository, manifest)
    pub(crate) manifests: Vec<(String, Bytes)>,
    /// (repository, tag) -> what it may name: the last one acknowledged, and each one asked for since.
    pub(crate) tags: BTreeMap<(String, String), Tag>,
    pub(crate) sessions: Vec<Session>,
    /// Sessions that were found at their offset and then finished.
    pub(crate) resumed: usize,
}

#[derive(Default)]
pub(crate) struct Tag {
    pub(crate) acknowledged: bool,
    pub(crate) candidates: Vec<String>,
}

/// An upload of which a PATCH was acknowledged.
pub(crate) struct Session {
    pub(crate) repository: String,
    pub(crate) location: String,
    pub(crate) content: Bytes,
    pub(crate) durable: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) blobs: usize,
    pub(crate) manifests: usize,
    pub(crate) tags: usize,
    pub(crate) sessions: usize,
}

impl Ledger {
    /// Before the request: from now on the tag may name it.
    pub(crate) fn tag_requested(&mut self, repository: &str, tag: &str, digest: &str) {
        self.tag(repository, tag).candidates.push(digest.to_owned());
    }

    /// After the 201: it names that one, or a later one.
    pub(crate) fn tag_acknowledged(&mut self, repository: &str, tag: &str, digest: &str) {
        let tag = self.tag(repository, tag);
        tag.acknowledged = true;
        if let Some(position) = tag.candidates.iter().rposition(|candidate| candidate == digest) {
            tag.candidates.drain(..position);
        }
    }

    fn tag(&mut self, repository: &str, tag: &str) -> &mut Tag {
        self.tags.entry((repository.to_owned(), tag.to_owned())).or_default()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            blobs: self.blobs.len(),
            manifests: self.manifests.len(),
            tags: self.tags.values().filter(|tag| tag.acknowledged).count(),
            sessions: self.resumed,
        }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.blobs += other.blobs;
        self.manifests += other.manifests;
        self.tags += other.tags;
        self.sessions += other.sessions;
    }
}
