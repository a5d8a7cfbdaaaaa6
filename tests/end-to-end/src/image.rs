//! An image that was acknowledged, and what its clients are told while the store fails.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::StatusCode;

use crate::client::{Failure, OCI_MANIFEST, image_manifest};
use crate::{Client, Random, Registry, sha256};

const PATIENCE: Duration = Duration::from_secs(30);
const REPOSITORY: &str = "team/app";
/// Above a first part or segment, so that it is an upload of several.
const LAYER: usize = 24 << 20;

pub struct Image {
    tag: &'static str,
    layer: Bytes,
    manifest: Bytes,
}

impl Image {
    /// Pushes it.
    pub async fn push(client: &Client) -> Self {
        Self::push_of(client, "1", LAYER).await
    }

    /// One of a few bytes.
    pub async fn push_small(client: &Client, tag: &'static str) -> Self {
        Self::push_of(client, tag, 1000).await
    }

    async fn push_of(client: &Client, tag: &'static str, size: usize) -> Self {
        let layer = Bytes::from(Random::announced("bad input").bytes(size));
        let digest = client.push_blob(REPOSITORY, layer.clone()).await.expect("push a layer");
        let config = client.push_blob(REPOSITORY, "{}").await.expect("push a configuration");
        let manifest = image_manifest((&config, 2), &[(&digest, size as u64)]);
        client.put_manifest(REPOSITORY, tag, OCI_MANIFEST, manifest.clone()).await.expect("push a manifest");
        Self { tag, layer, manifest }
    }

    /// Waits until it is served again, and looks at every byte of it; then something new is taken.
    pub async fn is_served_again(&self, registry: &Registry) {
        let (client, begin) = (registry.client(), Instant::now());
        loop {
            match client.get_manifest(REPOSITORY, self.tag).await {
                Ok(manifest) => break assert_eq!(manifest, self.manifest),
                Err(error) => assert!(begin.elapsed() < PATIENCE, "it does not come back: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let pulled = client.get_blob(REPOSITORY, &sha256(&self.layer)).await.expect("pull the layer");
        assert!(pulled == self.layer, "other bytes");
        client.push_blob(REPOSITORY, "something new").await.expect("a push afterwards");
    }

    /// Waits for an answer that is no success; it must be neither a 404 nor a hang-up.
    pub async fn refusal(&self, registry: &Registry) -> (StatusCode, String) {
        let (client, begin) = (registry.client(), Instant::now());
        loop {
            match client.get_manifest(REPOSITORY, self.tag).await {
                Err(Failure::Status { status, body, .. }) => {
                    assert!(status != StatusCode::NOT_FOUND, "it seems not to be there: {body}");
                    return (status, body);
                }
                Err(other) => panic!("{other}"),
                Ok(_) => assert!(begin.elapsed() < PATIENCE, "it is served all the same"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
