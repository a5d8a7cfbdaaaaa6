//! The driver: each call of the contract, handed to the part that does it, in a blocking thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_sdk::sessions::{Sessions, Spool};
use longshore_driver_sdk::{
    Capabilities, Condition, Description, Driver, DriverError, Durability, Entry, Key, Limits, ListQuery,
    MoveCost, Object, Page, Probe, ProbeState, ReadRange, Reading, Reason, Result, Uploads,
};
use rustix::fs::StatVfsMountFlags;

use crate::config::Config;
use crate::publish::PublishByRename;
use crate::tree::Tree;
use crate::{init, listing, reading};

/// Objects as files below a root.
pub struct FilesystemDriver {
    tree: Arc<Tree>,
    sessions: Sessions<Spool<PublishByRename>>,
    root: PathBuf,
}

impl std::fmt::Debug for FilesystemDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilesystemDriver").field("root", &self.root).finish_non_exhaustive()
    }
}

impl FilesystemDriver {
    /// Opens the store the settings name, and makes it first where they allow that.
    ///
    /// # Errors
    /// When the root can't be used; the message says what to do.
    pub async fn open(config: Config) -> Result<Self> {
        let root = config.root.clone();
        let tree = Arc::new(blocking(move || init::open(&config)).await?);
        let for_temps = Arc::clone(&tree);
        blocking(move || {
            if let Err(error) = for_temps.remove_stale_temps(SystemTime::now()) {
                tracing::warn!(%error, "stale files in .driver/tmp can't be removed");
            }
            Ok(())
        })
        .await?;
        let spool_root =
            tree.root.try_clone().map_err(|error| DriverError::io("open the root again", error))?;
        let spool = Spool::new(spool_root, PublishByRename(Arc::clone(&tree)), tree.stable);
        let sessions = Sessions::new(spool, Limits::default().upload_ttl);
        Ok(Self { tree, sessions, root })
    }

    async fn with_tree<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let tree = Arc::clone(&self.tree);
        blocking(move || work(&tree)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(DriverError::new(Reason::DriverBug, format!("file work was broken off: {error}"))
            .with_source(error))
    })
}

fn probe(tree: &Tree) -> Result<Probe> {
    tree.is_there()?;
    let fs = tree.root.stat_fs().map_err(|error| DriverError::io("ask for free space", error))?;
    let mut probe = Probe::ready(Some(fs.f_bavail.saturating_mul(fs.f_frsize)));
    if fs.f_flag.contains(StatVfsMountFlags::RDONLY) {
        probe.state = ProbeState::ReadOnly;
        "the file system of the root is mounted read-only".clone_into(&mut probe.reason);
    } else if fs.f_files > 0 && fs.f_favail == 0 {
        probe.state = ProbeState::Degraded;
        "the file system of the root has no inodes left".clone_into(&mut probe.reason);
    }
    Ok(probe)
}

#[async_trait]
impl Driver for FilesystemDriver {
    fn description(&self) -> Description {
        let capabilities = Capabilities {
            durability: if self.tree.stable { Durability::Stable } else { Durability::Os },
            range_read: true,
            put_if_absent: true,
            put_if_match: true,
            delete_if_match: true,
            list_is_current: true,
            uploads_shared: true,
            sign_get: false,
            move_cost: Some(MoveCost::Rename),
        };
        Description::new("filesystem.longshore", env!("CARGO_PKG_VERSION"), capabilities)
    }

    async fn probe(&self) -> Result<Probe> {
        self.with_tree(probe).await
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        let key = key.clone();
        self.with_tree(move |tree| tree.stat(&key)).await
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        if let Some(found) = reading::get_if_cached(&self.tree, key) {
            return Ok(found);
        }
        let key = key.clone();
        self.with_tree(move |tree| reading::get(tree, &key)).await
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let most = self.description().limits.max_inline;
        if content.len() as u64 > u64::from(most) {
            let message =
                format!("{} bytes for key {key}; a put takes {most}, more is an upload", content.len());
            return Err(DriverError::new(Reason::TooLarge, message));
        }
        let key = key.clone();
        self.with_tree(move |tree| tree.put(&key, &content, &condition)).await
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        if key.is_store_id() {
            return Err(DriverError::new(
                Reason::InvalidKey,
                "the store's id is written once and never deleted",
            ));
        }
        let (key, if_match) = (key.clone(), if_match.map(str::to_owned));
        self.with_tree(move |tree| tree.delete(&key, if_match.as_deref())).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let mut query = query.clone();
        query.limit = query.limit.clamp(1, self.description().limits.max_page as usize);
        self.with_tree(move |tree| listing::list(tree, &query)).await
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        if let Some(reading) = reading::open_if_cached(&self.tree, key, &range) {
            return Ok(reading);
        }
        let key = key.clone();
        self.with_tree(move |tree| reading::open(tree, key, &range)).await
    }

    async fn rename(&self, from: &Key, to: &Key) -> Result<Object> {
        let (from, to) = (from.clone(), to.clone());
        self.with_tree(move |tree| tree.rename(&from, &to)).await
    }

    fn uploads(&self) -> &dyn Uploads {
        &self.sessions
    }
}
