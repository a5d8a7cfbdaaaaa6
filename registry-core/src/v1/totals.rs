//! The sums of a listing. What tags share is counted once.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::checksum::Check;
use super::image_id::ImageId;
use super::tag::Tag;

/// Of a whole store.
#[derive(Debug, Default)]
pub(super) struct Totals {
    summary: Summary,
    /// Each image that a tag reaches, and whether it is damaged: 33 bytes for one. The store's is the only list that grows.
    reached: HashMap<ImageId, bool>,
    missing: HashSet<ImageId>,
}

/// Of one repository.
#[derive(Debug, Default)]
pub(super) struct RepositoryTotals {
    pub(super) tags: u64,
    pub(super) damaged_tags: u64,
    pub(super) bytes: u64,
    images: HashSet<ImageId>,
}

/// As it is shown. The fields are documented in docs/legacy.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Summary {
    pub(super) repositories: u64,
    pub(super) tags: u64,
    pub(super) damaged_tags: u64,
    pub(super) images: ImageCounts,
    pub(super) bytes: Bytes,
    /// Below `images/`, and no images.
    pub(super) other_entries: u64,
    /// With `--verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksums: Option<Checksums>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct ImageCounts {
    /// Below `images/`.
    pub(super) all: u64,
    pub(super) reached: u64,
    /// Of those reached.
    pub(super) damaged: u64,
    /// What tags or children point at, and is not there.
    pub(super) missing: u64,
    pub(super) unreferenced: u64,
}

/// Of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Bytes {
    pub(super) all: u64,
    pub(super) reached: u64,
    pub(super) unreferenced: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Checksums {
    pub(super) matched: u64,
    pub(super) mismatched: u64,
    pub(super) not_checked: u64,
}

impl Totals {
    pub(super) fn new(verify: bool) -> Self {
        let checksums = verify.then(Checksums::default);
        Self { summary: Summary { checksums, ..Summary::default() }, ..Self::default() }
    }

    pub(super) fn repository(&mut self) {
        self.summary.repositories += 1;
    }

    pub(super) fn tag(&mut self, tag: &Tag) {
        self.summary.tags += 1;
        self.summary.damaged_tags += u64::from(!tag.damage.is_empty());
        for image in &tag.images {
            if !image.is_there {
                self.missing.insert(image.id);
                continue;
            }
            // How images fit together shows only along the way to them.
            let is_damaged = tag.damage.iter().any(|finding| finding.image == Some(image.id));
            let before = self.reached.get(&image.id).copied();
            self.reached.insert(image.id, is_damaged || before == Some(true));
            if before.is_some() {
                continue;
            }
            self.summary.bytes.reached += image.bytes;
            if let Some(checksums) = &mut self.summary.checksums {
                match image.check {
                    Check::Matches => checksums.matched += 1,
                    Check::Differs => checksums.mismatched += 1,
                    Check::NotPossible | Check::NotMade => checksums.not_checked += 1,
                }
            }
        }
    }

    /// One below `images/`. Whether a tag reaches it.
    pub(super) fn image(&mut self, id: &ImageId) -> bool {
        self.summary.images.all += 1;
        self.reached.contains_key(id)
    }

    pub(super) fn unreferenced(&mut self, bytes: u64) {
        self.summary.images.unreferenced += 1;
        self.summary.bytes.unreferenced += bytes;
    }

    pub(super) fn other_entry(&mut self) {
        self.summary.other_entries += 1;
    }

    /// registry:2 has `repositories/` too, and no files in them that we would know.
    pub(super) fn is_nothing(&self) -> bool {
        self.summary.tags == 0 && self.summary.images.all == 0
    }

    pub(super) fn summary(&self) -> Summary {
        let mut summary = self.summary;
        summary.images.reached = self.reached.len() as u64;
        summary.images.damaged = self.reached.values().filter(|is_damaged| **is_damaged).count() as u64;
        summary.images.missing = self.missing.len() as u64;
        summary.bytes.all = summary.bytes.reached + summary.bytes.unreferenced;
        summary
    }
}

impl RepositoryTotals {
    pub(super) fn tag(&mut self, tag: &Tag) {
        self.tags += 1;
        self.damaged_tags += u64::from(!tag.damage.is_empty());
        for image in &tag.images {
            if image.is_there && self.images.insert(image.id) {
                self.bytes += image.bytes;
            }
        }
    }

    pub(super) fn images(&self) -> u64 {
        self.images.len() as u64
    }
}
