//! The driver: the contract's calls on an old driver.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_sdk::backend::blocking;
use longshore_driver_sdk::sessions::dir::Dir;
use longshore_driver_sdk::sessions::{Sessions, Spool};
use longshore_driver_sdk::{
    Capabilities, Condition, Description, Driver, DriverError, Durability, Entry, Fence, Key, Limits,
    ListQuery, Object, OpenUpload, Page, Probe, ProbeState, ReadRange, Reading, Reason, Result, Upload,
    UploadId, UploadQuery, UploadStream, Uploads,
};
use tokio::runtime::Handle;

use crate::config::{Config, Listing, Mode};
use crate::explore::{explore, take_spool};
use crate::intents::Intents;
use crate::listing;
use crate::objects::Objects;
use crate::publish::PublishByOldDriver;
use crate::python::{Found, Python};

/// An old driver behind the socket.
pub struct LegacyDriver {
    objects: Arc<Objects>,
    uploads: Box<dyn Uploads>,
    list_is_current: bool,
    /// Held for as long as this process lives.
    _spool: Option<File>,
}

impl LegacyDriver {
    /// Starts to try the old driver that the settings name.
    ///
    /// # Errors
    /// When the settings can't work, or the spool can't be used.
    pub async fn open(config: Config) -> Result<Self> {
        config.check()?;
        let list_is_current = config.listing == Listing::Current;
        let (Mode::ReadWrite, Some(spool)) = (config.mode, &config.spool) else {
            let objects = Objects::new(Python::new(&config, None)?, None);
            tokio::spawn(explore(Arc::clone(&objects), None));
            return Ok(Self { objects, uploads: Box::new(NoUploads), list_is_current, _spool: None });
        };
        let taken = blocking(|| take_spool(spool))?;
        let intents = blocking(|| Intents::open(spool))?;
        let lock = spool.join(".driver/workers.lock");
        let workers = File::create(&lock)
            .map_err(|error| DriverError::io(format!("make {}", lock.display()), error))?;
        let objects = Objects::new(Python::new(&config, Some(&lock))?, Some(intents));
        tokio::spawn(explore(Arc::clone(&objects), Some(workers)));
        let uploads = Box::new(sessions(&objects, spool)?);
        Ok(Self { objects, uploads, list_is_current, _spool: Some(taken) })
    }
}

fn sessions(objects: &Arc<Objects>, spool: &Path) -> Result<Sessions<Spool<PublishByOldDriver>>> {
    let root = Dir::open_root(spool)
        .map_err(|error| DriverError::io(format!("open spool={}", spool.display()), error))?;
    let publish = PublishByOldDriver {
        objects: Arc::clone(objects),
        runtime: Handle::current(),
        spool: spool.to_owned(),
    };
    // What an old driver writes survives no power cut, so nothing is gained if its spool does.
    let spool = Spool::new(root, publish, false);
    Ok(Sessions::new(spool, Limits::default().upload_ttl))
}

#[async_trait]
impl Driver for LegacyDriver {
    fn description(&self) -> Description {
        let capabilities = Capabilities {
            durability: Durability::Os,
            range_read: self.objects.facts.found().is_some_and(|facts| facts.range),
            put_if_absent: false,
            put_if_match: false,
            delete_if_match: false,
            list_is_current: self.list_is_current,
            uploads_shared: false,
            sign_get: false,
            move_cost: None,
        };
        Description::new("legacy-python.longshore", env!("CARGO_PKG_VERSION"), capabilities)
    }

    async fn ready(&self) -> Result<()> {
        self.objects.facts().map(drop)
    }

    async fn probe(&self) -> Result<Probe> {
        if let Err(error) = self.ready().await {
            return Ok(Probe { state: ProbeState::Starting, reason: error.to_string(), bytes_free: None });
        }
        let mut probe = Probe::ready(None);
        if let Some(canary) = self.objects.python.pool().canary()
            && !matches!(self.objects.python.stat(&canary).await?, Found::Object { .. })
        {
            let message =
                format!("{canary}, which was there, is gone: the backend was emptied, or is another");
            return Err(DriverError::new(Reason::BackendUnavailable, message));
        }
        if self.objects.is_read_only() {
            probe.state = ProbeState::ReadOnly;
            "this driver only reads (mode=read-only)".clone_into(&mut probe.reason);
        }
        Ok(probe)
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.objects.stat(key).await
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        self.objects.get(key).await
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        let most = Limits::default().max_inline;
        if content.len() as u64 > u64::from(most) {
            let message =
                format!("{} bytes for key {key}; a put takes {most}, more is an upload", content.len());
            return Err(DriverError::new(Reason::TooLarge, message));
        }
        match condition {
            Condition::Always => self.objects.put(key, content, false).await,
            // The one condition that every driver honours (rule R8).
            Condition::IfAbsent if key.is_store_id() => self.objects.put(key, content, true).await,
            Condition::IfAbsent | Condition::IfMatch(_) => {
                Err(DriverError::new(Reason::NotSupported, "old drivers know no conditions"))
            }
        }
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        if if_match.is_some() {
            return Err(DriverError::new(Reason::NotSupported, "old drivers know no conditions"));
        }
        self.objects.delete(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let mut query = query.clone();
        query.limit = query.limit.clamp(1, Limits::default().max_page as usize);
        listing::page(&self.objects, &query).await
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        self.objects.read(key, &range).await
    }

    fn uploads(&self) -> &dyn Uploads {
        &*self.uploads
    }
}

/// Of a driver that only reads.
struct NoUploads;

fn only_reads() -> DriverError {
    let message = "this driver only reads; mode=read-write and spool=DIR let it take uploads";
    DriverError::new(Reason::ReadOnly, message)
}

#[async_trait]
impl Uploads for NoUploads {
    async fn open(&self, _open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        Err(only_reads())
    }

    async fn get(&self, id: &UploadId) -> Result<Upload> {
        Err(DriverError::upload_unknown(id))
    }

    async fn list(&self, _query: &UploadQuery) -> Result<Page<Upload>> {
        Ok(Page { entries: Vec::new(), more: false })
    }

    async fn end(&self, _id: &UploadId, _fence: &Fence) -> Result<bool> {
        Ok(false)
    }

    async fn drain(&self, _grace: Duration) -> Result<u32> {
        Ok(0)
    }

    async fn expire(&self, _now: SystemTime) -> Result<usize> {
        Ok(0)
    }
}
