//! A client that pushes until the power goes, and writes down every acknowledgement it gets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::client::{Failure, OCI_MANIFEST, image_manifest};
use longshore_end_to_end::{Client, Random, sha256};

use crate::ledger::{Ledger, Session};

pub(crate) struct Pusher {
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) power_is_cut: Arc<AtomicBool>,
    pub(crate) repository: String,
    pub(crate) random: Random,
}

impl Pusher {
    pub(crate) async fn run(mut self) {
        loop {
            // Where nothing else is written for a while, no later fsync saves what an earlier one forgot.
            tokio::time::sleep(self.random.duration_below(Duration::from_millis(15))).await;
            let done = match self.random.below(5) {
                0 => self.begin_upload().await,
                1 => self.push_blob().await.map(drop),
                _ => self.push_image().await,
            };
            if let Err(failure) = done {
                assert!(self.power_is_cut.load(Ordering::SeqCst), "failed with the power on: {failure}");
                return;
            }
        }
    }

    /// A machine without power answers nobody. Here one can: an fsync whose journal is aborted after its data was written, and
    /// before it waits for the commit, finds no commit to wait for, and succeeds (`jbd2_complete_transaction`).
    fn answered_in_time(&self) -> Result<(), Failure> {
        if self.power_is_cut.load(Ordering::SeqCst) {
            return Err(Failure::Answer("it came after the cut".to_owned()));
        }
        Ok(())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("the ledger")
    }

    fn content(&mut self) -> Bytes {
        let most = 1 << self.random.between(2, 20);
        // Of one byte, `Range: 0-0` could as well mean none.
        let length = self.random.between(4, most);
        Bytes::from(self.random.bytes(usize::try_from(length).expect("a small size")))
    }

    async fn push_blob(&mut self) -> Result<(String, u64), Failure> {
        let content = self.content();
        let size = content.len() as u64;
        let digest = self.client.push_blob(&self.repository, content).await?;
        self.answered_in_time()?;
        self.ledger().blobs.push((self.repository.clone(), digest.clone()));
        Ok((digest, size))
    }

    async fn push_image(&mut self) -> Result<(), Failure> {
        let (config, layer) = (self.push_blob().await?, self.push_blob().await?);
        let manifest = image_manifest((&config.0, config.1), &[(&layer.0, layer.1)]);
        let digest = sha256(&manifest);
        let tag = format!("t{}", self.random.below(4));
        self.ledger().tag_requested(&self.repository, &tag, &digest);
        self.client.put_manifest(&self.repository, &tag, OCI_MANIFEST, manifest.clone()).await?;
        self.answered_in_time()?;
        let mut ledger = self.ledger();
        ledger.tag_acknowledged(&self.repository, &tag, &digest);
        ledger.manifests.push((self.repository.clone(), manifest));
        Ok(())
    }

    /// Left open: the power goes some time after its PATCH was acknowledged.
    async fn begin_upload(&mut self) -> Result<(), Failure> {
        let content = self.content();
        let first = content.slice(..content.len().div_ceil(2));
        let location = self.client.start_upload(&self.repository).await?;
        let (location, durable) = self.client.patch(&location, 0, first).await?;
        self.answered_in_time()?;
        let session = Session { repository: self.repository.clone(), location, content, durable };
        self.ledger().sessions.push(session);
        Ok(())
    }
}
