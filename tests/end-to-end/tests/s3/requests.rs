//! How many requests a push and a pull cost, from the server's access log. Others, for comparison, on the same server:
//! distribution 61, zot 58 and Angos 57 for the push of a layer, each moving its bytes inside the store once more.

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest};
use longshore_end_to_end::servers::{Implementation, Request};
use longshore_end_to_end::{Client, Random, figure, sha256};

use crate::REPOSITORY;
use crate::bucket::Bucket;

const LAYER: usize = 256 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_and_a_pull_cost_few_requests_and_no_byte_is_moved_twice() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let layer = Bytes::from(Random::announced("s3 requests").bytes(LAYER));
    let mut log = Log { bucket: &bucket, seen: bucket.server.requests().len() };

    let missing = client.head_blob(REPOSITORY, &sha256(&layer)).await.expect("HEAD");
    assert_eq!(missing.status(), 404);
    let digest = client.push_blob(REPOSITORY, layer.clone()).await.expect("push a layer");
    let push = log.since("push of a layer of 256 MiB");
    assert!(push.len() <= 32, "{push:#?}");
    let copies = push.iter().filter(|request| request.operation.contains("Copy")).count();
    assert_eq!(copies, 0, "{push:#?}");
    let parts = push.iter().filter(|request| request.operation == "UploadPart").count();
    assert!((2..=8).contains(&parts), "{push:#?}");

    let config = put_blob(&client, "{}").await;
    let configuration = log.since("push of a configuration");
    let manifest = image_manifest((&config, 2), &[(&digest, LAYER as u64)]);
    client.put_manifest(REPOSITORY, "1", OCI_MANIFEST, manifest.clone()).await.expect("push a manifest");
    let push = log.since("push of a manifest");
    assert!(configuration.len() + push.len() <= 14, "{configuration:#?}\n{push:#?}");

    assert_eq!(client.get_manifest(REPOSITORY, "1").await.expect("GET by tag"), manifest);
    let pull = log.since("GET by tag");
    assert!(pull.len() <= 2, "{pull:#?}");
    let pulled = client.get_blob(REPOSITORY, &digest).await.expect("GET of the layer");
    assert_eq!(sha256(&pulled), digest);
    let pull = log.since("GET of the layer");
    assert!(pull.len() <= 2, "{pull:#?}");
}

/// By POST and PUT.
async fn put_blob(client: &Client, content: &'static str) -> String {
    let digest = sha256(content.as_bytes());
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    client.finish_upload_with(&location, &digest, Bytes::from(content)).await.expect("PUT");
    digest
}

struct Log<'a> {
    bucket: &'a Bucket,
    seen: usize,
}

impl Log<'_> {
    /// What was asked since the last time, without what only looks whether the store is still itself.
    fn since(&mut self, what: &str) -> Vec<Request> {
        let all = self.bucket.server.requests();
        let new = &all[self.seen..];
        self.seen = all.len();
        let (health, real): (Vec<_>, Vec<_>) =
            new.iter().cloned().partition(|request| request.key == ".driver/store-id");
        figure!("s3: {what}: {} requests, and {} of health", real.len(), health.len());
        real
    }
}
