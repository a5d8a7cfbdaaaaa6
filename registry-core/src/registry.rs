//! The rules of blobs, uploads, manifests, tags and referrers. Owns the order in which the store is written, on which
//! everything that is promised rests (docs/adr/0005, tests/layout-model). Knows no HTTP, and of storage only the trait.

pub mod availability;
mod began;
pub mod blobs;
mod bookmark;
pub mod catalog;
pub mod error;
mod hasher;
mod health;
pub mod layout;
mod lease;
pub mod manifests;
mod mounts;
mod own_uploads;
pub mod precondition;
mod presence;
mod recent_tags;
mod records;
pub mod redirect;
pub mod referrers;
mod release;
mod shared_reads;
pub mod store;
pub mod sweep;
pub mod tags;
mod turns;
pub mod uploads;

use std::sync::Arc;
use std::time::Duration;

use crate::oci::RepositoryName;
use crate::storage::Storages;
pub use error::{RegistryError, Result};
use own_uploads::OwnUploads;
use store::Store;
use turns::Turns;

/// The numbers of the layout's rules (docs/adr/0005).
#[derive(Debug, Clone)]
pub struct Rules {
    /// A link younger than this keeps its object.
    pub grace: Duration,
    /// W: how long anything that was begun may still be under way somewhere.
    pub window: Duration,
    /// Larger manifests are refused.
    pub max_manifest: usize,
    /// Whether a manifest may name blobs and manifests that are not here.
    pub allow_missing_references: bool,
    /// An upload that nobody touched for this long is given up.
    pub upload_ttl: Duration,
    /// A finished upload is remembered for this long, so that a repeated finalise is answered as the first was.
    pub finished_ttl: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            grace: 24 * hour,
            window: hour,
            max_manifest: 4 * 1024 * 1024,
            allow_missing_references: false,
            upload_ttl: 24 * hour,
            finished_ttl: hour / 4,
        }
    }
}

/// All repositories, on all storages.
#[derive(Debug)]
pub struct Registry {
    storages: Storages,
    shared: Arc<Shared>,
}

/// What all repositories share.
#[derive(Debug)]
struct Shared {
    rules: Rules,
    /// Names this core as a writer of upload sessions.
    owner: String,
    /// The last steps of one digest go one at a time, so that pushes of the same layer at once keep one object.
    turns: Turns,
    own_uploads: OwnUploads,
}

/// One repository: its name, and the store that it lives in.
#[derive(Debug, Clone)]
pub struct Repository {
    name: RepositoryName,
    store: Arc<Store>,
    shared: Arc<Shared>,
}

impl Registry {
    pub fn new(storages: Storages, rules: Rules, owner: String) -> Self {
        Self {
            storages,
            shared: Arc::new(Shared {
                rules,
                owner,
                turns: Turns::default(),
                own_uploads: OwnUploads::default(),
            }),
        }
    }

    /// The repository of this name, which exists as soon as something is pushed to it.
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository { name: name.clone(), store: self.storages.of(name).clone(), shared: self.shared.clone() }
    }

    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }

    pub fn storages(&self) -> &Storages {
        &self.storages
    }
}

impl Repository {
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }
}
