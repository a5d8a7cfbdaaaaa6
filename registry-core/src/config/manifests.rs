//! `[manifests]`: which ones are taken.

use serde::Deserialize;

use crate::registry::Rules;

/// What manifests may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manifests {
    /// In bytes; at most 4 MiB, which every driver takes.
    pub max_size: usize,
    /// Take manifests that name blobs or manifests which are not here.
    pub allow_missing_references: bool,
}

impl Default for Manifests {
    fn default() -> Self {
        Self { max_size: Rules::default().max_manifest, allow_missing_references: false }
    }
}
