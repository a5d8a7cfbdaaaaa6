//! The parts of one session, on their way into its multipart upload.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use longshore_driver_sdk::sessions::parted::{self, Content, Known, Lane, folder};
use longshore_driver_sdk::{DriverError, Reason, Result, UploadId};

use crate::bucket::{Extra, Part};
use crate::driver::Store;

pub(super) struct S3Lane {
    pub(super) store: Arc<Store>,
    pub(super) id: UploadId,
    pub(super) key: String,
    pub(super) multipart: Option<String>,
}

impl parted::Part for Part {
    fn size(&self) -> u64 {
        self.size
    }
}

impl S3Lane {
    pub(super) fn extra(&self) -> Extra<'_> {
        Extra { made_by: Some(self.id.as_str()), bookmark: None, checksums: self.store.sums() }
    }
}

#[async_trait]
impl Lane for S3Lane {
    type Medium = Store;
    type Part = Part;

    fn with_sums(&self) -> bool {
        self.store.sums()
    }

    fn multipart(&self) -> Option<&str> {
        self.multipart.as_deref()
    }

    /// An object that is smaller than its first part is one request.
    fn takes_small(&self) -> bool {
        self.multipart.is_some()
    }

    async fn begin(&mut self, known: &Known<Part>) -> Result<()> {
        if self.multipart.is_none() {
            // What a writer makes that was shut out, nobody looks for.
            self.check(known).await?;
            self.multipart = Some(self.store.bucket.create_multipart(&self.key, self.extra()).await?);
        }
        Ok(())
    }

    fn send(&self, number: u32, content: Content) -> BoxFuture<'static, Result<Part>> {
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let multipart = self.multipart.clone().unwrap_or_default();
        Box::pin(async move {
            let extra = Extra { checksums: store.sums(), ..Extra::default() };
            let sent = store.bucket.put_part(&key, &multipart, number, content, extra).await;
            sent.map_err(|failure| failure.into_error(&format!("a part of {key}")))
        })
    }

    /// A writer at another instance that took the session over made a record above ours.
    async fn check(&mut self, known: &Known<Part>) -> Result<()> {
        let folder = folder(&self.id);
        let own = format!("{folder}{}", known.name);
        let above = self.store.bucket.list(&folder, false, &own, 1).await?;
        if above.entries.is_empty() {
            return Ok(());
        }
        let message = format!("a newer writer at another driver has upload {}; give this stream up", self.id);
        Err(DriverError::new(Reason::Fenced, message))
    }
}
