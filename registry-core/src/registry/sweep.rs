//! Upload sessions that nobody came back to. Runs in every core, in small steps; forgets finished sessions, gives up
//! abandoned ones, and condemns what was committed and never recorded, which nobody can know of but its session.

use std::time::{Duration, SystemTime};

use longshore_driver_sdk::{Fence, Optional as _, Upload, UploadQuery, UploadState};

use super::bookmark::Bookmark;
use super::{Registry, Repository, Result, layout, records, uploads};

const PAGE: usize = 100;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Finished sessions, forgotten.
    pub forgotten: u64,
    /// Open sessions, given up with their bytes.
    pub abandoned: u64,
    /// Committed and never recorded: their objects are left to the collector.
    pub condemned: u64,
    /// Sessions that could not be read or ended; reported, and left alone.
    pub skipped: u64,
}

impl Registry {
    /// Sweeps every storage once. One that fails does not keep the others from being swept.
    pub async fn sweep_uploads(&self) -> Swept {
        let mut swept = Swept::default();
        for store in self.storages.all() {
            let sweeper = Sweeper { store: store.clone(), registry: self };
            if let Err(error) = sweeper.sweep(&mut swept).await {
                tracing::warn!(storage = store.name(), %error, "cannot sweep uploads");
            }
        }
        swept
    }
}

struct Sweeper<'a> {
    store: std::sync::Arc<super::store::Store>,
    registry: &'a Registry,
}

impl Sweeper<'_> {
    async fn sweep(&self, swept: &mut Swept) -> Result<()> {
        let rules = self.registry.rules();
        let idle = rules.finished_ttl.min(rules.upload_ttl);
        let mut query = UploadQuery {
            start_after: String::new(),
            limit: PAGE,
            idle_since: SystemTime::now().checked_sub(idle),
        };
        loop {
            let page = self.store.driver().list_uploads(&query).await?;
            for upload in &page.entries {
                if let Err(error) = self.look_at(upload, swept).await {
                    swept.skipped += 1;
                    tracing::warn!(upload = %upload.id, %error, "an upload session is left alone");
                }
            }
            match page.entries.last() {
                Some(last) if page.more => query.start_after = last.id.as_str().to_owned(),
                _ => return Ok(()),
            }
        }
    }

    async fn look_at(&self, upload: &Upload, swept: &mut Swept) -> Result<()> {
        let rules = self.registry.rules();
        let idle = SystemTime::now().duration_since(upload.updated).unwrap_or_default();
        match upload.state {
            UploadState::Open if idle > rules.upload_ttl => {
                self.end(upload).await?;
                swept.abandoned += 1;
            }
            UploadState::Committed if idle > rules.finished_ttl => {
                self.look_at_committed(upload, idle, swept).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// An object that a holder names belongs to the layout; one without any belongs to this session alone, or to nobody.
    async fn look_at_committed(&self, upload: &Upload, idle: Duration, swept: &mut Swept) -> Result<()> {
        let bookmark = Bookmark::from_bytes(&upload.bookmark)?;
        let object = uploads::object_of(upload)?;
        let (Some(digest), Ok(name)) = (&bookmark.digest, bookmark.repository.parse()) else {
            return Err(records::damaged(
                &upload.key,
                &"its upload's bookmark does not say what was committed",
            ));
        };
        // In the store that was swept, wherever the repository is routed to by now.
        let repository = Repository { name, store: self.store.clone(), shared: self.registry.shared.clone() };
        let held = repository.holders(digest).await?.iter().any(|lease| lease.object == object);
        let condemned =
            self.store.driver().stat(&layout::condemned(digest, &object)?).await.optional()?.is_some();
        if !held && !condemned {
            if idle <= self.registry.rules().upload_ttl {
                return Ok(());
            }
            // A repeated finalise may be about to adopt it: it goes by its mark alone (docs/adr/0002).
            repository.condemn(digest, &object).await?;
            swept.condemned += 1;
        } else {
            swept.forgotten += 1;
        }
        self.end(upload).await
    }

    async fn end(&self, upload: &Upload) -> Result<()> {
        let fence = Fence {
            counter: upload.fence.counter.saturating_add(1),
            owner: self.registry.shared.owner.clone(),
        };
        self.store.driver().end_upload(&upload.id, &fence).await?;
        Ok(())
    }
}
