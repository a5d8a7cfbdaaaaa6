//! Where a storage of a registry lies, and what is there. Both drivers keep the core's keys as they are: as paths below a
//! directory, or as keys in a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::driver::DRIVER;
use crate::bucket::driver_command_at;
use crate::scratch;
use crate::servers::{Implementation, S3Access};

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
}

/// The conditions of a write that hold also when several writers come at once: the table in docs/drivers/s3.md.
pub struct Conditions {
    pub if_absent: bool,
    pub if_match: bool,
}

impl Store {
    /// A new one, in the bucket that the environment names, or else in this directory.
    pub(super) fn new(directory: PathBuf) -> Self {
        let Some(server) = S3Access::from_environment() else { return Self::Directory(directory) };
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Self::Bucket { server, prefix: format!("store-{}-{number}", std::process::id()) }
    }

    /// How many times as long as a directory a store may take: for tests whose times are short.
    pub fn pace() -> u32 {
        if S3Access::from_environment().is_some() { 5 } else { 1 }
    }

    pub fn conditions(&self) -> Conditions {
        let (if_absent, if_match) = match self {
            Self::Directory(_) => (true, true),
            Self::Bucket { server, .. } => match server.implementation() {
                Implementation::Versitygw | Implementation::Minio => (true, true),
                Implementation::Swift | Implementation::Garage => (false, false),
                Implementation::Rgw => (true, false),
            },
        };
        Conditions { if_absent, if_match }
    }

    /// Of the filesystem driver.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Directory(directory) => directory,
            Self::Bucket { prefix, .. } => panic!("{prefix} lies in a bucket"),
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
                let mut command = driver_command_at(server, endpoint, server.bucket());
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
            Self::Bucket { server, prefix } => {
                let below =
                    if folder.is_empty() { format!("{prefix}/") } else { format!("{prefix}/{folder}/") };
                let sizes = server.sizes(&below).await.into_iter();
                let keys = sizes.map(|(key, size)| (key[prefix.len() + 1..].to_owned(), size));
                keys.collect()
            }
        }
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
        }
    }
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
