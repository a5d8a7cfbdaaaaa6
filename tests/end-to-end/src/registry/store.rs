//! Where a storage of a registry lies, and what is there. All drivers keep the core's keys as they are: as paths below a
//! directory, as keys in a bucket, or as names in a container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::driver::DRIVER;
use crate::instance::Program;
use crate::servers::{Implementation, S3Access, SwiftAccess};
use crate::{bucket, container, scratch};

static STORES: AtomicUsize = AtomicUsize::new(0);

/// The store of one storage.
#[derive(Clone)]
pub enum Store {
    Directory(PathBuf),
    /// Below a prefix of a bucket that others use too.
    Bucket {
        server: S3Access,
        prefix: String,
    },
    /// The same of a container.
    Container {
        server: SwiftAccess,
        prefix: String,
    },
}

/// The conditions of a write that hold also when several writers come at once: the table in docs/drivers/s3.md.
pub struct Conditions {
    pub if_absent: bool,
    pub if_match: bool,
}

impl Store {
    /// A new one, in the bucket or container that the environment names, or else in this directory.
    pub(super) fn new(directory: PathBuf) -> Self {
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("store-{}-{number}", std::process::id());
        if let Some(server) = S3Access::from_environment() {
            return Self::Bucket { server, prefix };
        }
        if let Some(server) = SwiftAccess::from_environment() {
            return Self::Container { server, prefix };
        }
        Self::Directory(directory)
    }

    /// Whether the environment names a server that new stores lie in.
    pub(super) fn is_on_a_server() -> bool {
        S3Access::from_environment().is_some() || SwiftAccess::from_environment().is_some()
    }

    /// How many times as long as a directory a store may take: for tests whose times are short.
    pub fn pace() -> u32 {
        if Self::is_on_a_server() { 5 } else { 1 }
    }

    /// The driver of a store on a server. `None`: the filesystem driver.
    pub(super) fn program(&self) -> Option<&'static Program> {
        match self {
            Self::Directory(_) => None,
            Self::Bucket { .. } => Some(&bucket::S3),
            Self::Container { .. } => Some(&container::SWIFT),
        }
    }

    pub fn conditions(&self) -> Conditions {
        let (if_absent, if_match) = match self {
            Self::Directory(_) => (true, true),
            Self::Bucket { server, .. } => match server.implementation() {
                Implementation::Versitygw | Implementation::Minio => (true, true),
                Implementation::Swift | Implementation::Garage => (false, false),
                Implementation::Rgw => (true, false),
            },
            // More than one wins a race at Swift, and RGW ignores the condition.
            Self::Container { .. } => (false, false),
        };
        Conditions { if_absent, if_match }
    }

    /// Of the filesystem driver.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Directory(directory) => directory,
            Self::Bucket { prefix, .. } | Self::Container { prefix, .. } => {
                panic!("{prefix} lies on a server")
            }
        }
    }

    pub(super) fn driver_command(&self, endpoint: &str) -> Command {
        match self {
            Self::Directory(root) => {
                let mut command = Command::new(scratch::binary(DRIVER));
                command.args(["--endpoint", endpoint]);
                command.arg(format!("root={}", root.display())).arg("init=if-absent");
                command
            }
            Self::Bucket { server, prefix } => {
                let mut command = bucket::driver_command_at(server, endpoint, server.bucket());
                command.arg(format!("prefix={prefix}"));
                command
            }
            Self::Container { server, prefix } => {
                let mut command = container::driver_command_at(server, endpoint);
                command.arg(format!("prefix={prefix}"));
                command
            }
        }
    }

    /// What lies directly in this folder: its objects, and the folders in it that are not empty.
    pub async fn names(&self, folder: &str) -> BTreeSet<String> {
        if let Self::Directory(root) = self {
            let entries = fs::read_dir(root.join(folder)).into_iter().flatten().map(Result::unwrap);
            return entries.map(|entry| entry.file_name().into_string().expect("a name is text")).collect();
        }
        let objects = self.objects(folder).await.into_keys();
        let below = objects.filter_map(|key| {
            let rest = key.strip_prefix(folder)?.trim_start_matches('/');
            rest.split('/').next().map(str::to_owned)
        });
        below.collect()
    }

    /// Every object below this folder by its key, and its size.
    pub async fn objects(&self, folder: &str) -> BTreeMap<String, u64> {
        match self {
            Self::Directory(root) => files(root, &root.join(folder)),
            Self::Bucket { server, prefix } => without(prefix, server.sizes(&below(prefix, folder)).await),
            Self::Container { server, prefix } => without(prefix, server.sizes(&below(prefix, folder)).await),
        }
    }

    /// How many blobs there are, without those that the collector takes away: where listings may lag, one that is not needed
    /// has only a mark.
    pub async fn blobs(&self) -> usize {
        let marks = self.objects("blobs").await;
        let is_needed = |object: &str| {
            let id = object.rsplit('/').next().unwrap_or(object);
            !marks.keys().any(|mark| mark.ends_with(&format!("/{id}.condemned")))
        };
        self.objects("objects").await.keys().filter(|object| is_needed(object)).count()
    }

    /// Behind the driver's back.
    pub async fn remove(&self, key: &str) {
        match self {
            Self::Directory(root) => {
                fs::remove_file(root.join(key)).unwrap_or_else(|error| panic!("{key}: {error}"));
            }
            Self::Bucket { server, prefix } => {
                let key = format!("{prefix}/{key}");
                assert!(server.get(&key).await.is_some(), "{key} is not there");
                server.delete(&key).await;
            }
            Self::Container { server, prefix } => server.delete(&format!("{prefix}/{key}")).await,
        }
    }
}

/// A folder of a store that lies below a prefix.
fn below(prefix: &str, folder: &str) -> String {
    if folder.is_empty() { format!("{prefix}/") } else { format!("{prefix}/{folder}/") }
}

fn without(prefix: &str, sizes: Vec<(String, u64)>) -> BTreeMap<String, u64> {
    sizes.into_iter().map(|(key, size)| (key[prefix.len() + 1..].to_owned(), size)).collect()
}

fn files(root: &Path, folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(root, &path));
        } else {
            let key = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(key, entry.metadata().unwrap().len());
        }
    }
    found
}
