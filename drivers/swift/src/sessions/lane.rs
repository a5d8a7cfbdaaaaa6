//! The segments of one session, and who has it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use longshore_driver_sdk::sessions::parted::{self, Content, Known, Lane};
use longshore_driver_sdk::{DriverError, Reason, Result, UploadId};
use serde::{Deserialize, Serialize};

use super::rounds::Lead;
use super::segments;
use super::store::Records;
use crate::container::Segment;
use crate::store::Store;

/// A segment that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    /// In the session's folder of segments.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) etag: String,
}

impl parted::Part for Sent {
    fn size(&self) -> u64 {
        self.size
    }
}

impl Sent {
    pub(super) fn segment(&self, id: &UploadId) -> Segment {
        Segment {
            name: segments::path(id, &self.name),
            size: self.size,
            etag: self.etag.clone(),
            is_manifest: false,
        }
    }
}

pub(super) struct SwiftLane {
    pub(super) sessions: Arc<Records>,
    pub(super) id: UploadId,
    pub(super) lead: Option<Lead>,
}

impl SwiftLane {
    pub(super) fn lead(&self) -> Result<&Lead> {
        self.lead.as_ref().ok_or_else(|| {
            let message = format!("upload {} is written by one that does not have it", self.id);
            DriverError::new(Reason::DriverBug, message)
        })
    }
}

#[async_trait]
impl Lane for SwiftLane {
    type Medium = Store;
    type Part = Sent;

    fn takes_small(&self) -> bool {
        true
    }

    async fn begin(&mut self, _known: &Known<Sent>) -> Result<()> {
        Ok(())
    }

    fn send(&self, number: u32, content: Content) -> BoxFuture<'static, Result<Sent>> {
        let store = Arc::clone(&self.sessions.store);
        let name = self.lead().map(|lead| segments::name(&lead.nonce, number));
        let id = self.id.clone();
        Box::pin(async move {
            let name = name?;
            let path = segments::path(&id, &name);
            let put = store.container.put_summed(&path, content).await;
            let found = put.map_err(|failure| failure.into_error(&format!("PUT {path}")))?;
            let etag = found.etag.ok_or_else(|| {
                DriverError::new(Reason::DriverBug, format!("PUT {path}: the server gave no ETag"))
            })?;
            Ok(Sent { name, size: found.size, etag })
        })
    }

    async fn check(&mut self, _known: &Known<Sent>) -> Result<()> {
        self.sessions.check(&self.id, self.lead()?.round).await
    }
}
