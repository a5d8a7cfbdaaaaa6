//! How many requests a push and a pull cost, counted by a front before the server. What the S3 driver costs is beside this
//! in docs/drivers/s3.md.

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest};
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::swift_front::SwiftRequest;
use longshore_end_to_end::{Random, SwiftFront, figure, sha256};

use crate::REPOSITORY;
use crate::container::Container;

const LAYER: usize = 256 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_and_a_pull_cost_few_requests_over_swift() {
    let bounds = Bounds { layer: 32, manifest: 32 };
    a_push_and_a_pull_cost_few_requests(Flavour::SwiftTempauth, &bounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_and_a_pull_cost_few_requests_over_rgw() {
    // It lets a PUT without a condition alone replace what is there, so that each is looked at before.
    let bounds = Bounds { layer: 36, manifest: 38 };
    a_push_and_a_pull_cost_few_requests(Flavour::RgwSwift, &bounds).await;
}

/// Of requests.
struct Bounds {
    /// The push of a layer, HEAD included.
    layer: usize,
    /// The push of a configuration, and of a manifest.
    manifest: usize,
}

async fn a_push_and_a_pull_cost_few_requests(flavour: Flavour, bounds: &Bounds) {
    let container = Container::start(flavour).await;
    let front = SwiftFront::before(&container.server).await;
    let driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    let client = registry.client();
    let layer = Bytes::from(Random::announced("swift requests").bytes(LAYER));
    let count = Count { flavour, front: &front };

    front.forget_requests();
    let missing = client.head_blob(REPOSITORY, &sha256(&layer)).await.expect("HEAD");
    assert_eq!(missing.status(), 404);
    let digest = client.push_blob(REPOSITORY, layer.clone()).await.expect("push a layer");
    let push = count.since("push of a layer of 256 MiB");
    assert!(push.len() <= bounds.layer, "{push:#?}");
    let copies = push.iter().filter(|request| request.operation.starts_with("COPY")).count();
    assert_eq!(copies, 0, "{push:#?}");

    let config = client.push_blob(REPOSITORY, "{}").await.expect("push a configuration");
    let configuration = count.since("push of a configuration");
    let manifest = image_manifest((&config, 2), &[(&digest, LAYER as u64)]);
    client.put_manifest(REPOSITORY, "1", OCI_MANIFEST, manifest.clone()).await.expect("push a manifest");
    let push = count.since("push of a manifest");
    assert!(configuration.len() + push.len() <= bounds.manifest, "{configuration:#?}\n{push:#?}");

    assert_eq!(client.get_manifest(REPOSITORY, "1").await.expect("GET by tag"), manifest);
    let pull = count.since("GET by tag");
    assert!(pull.len() <= 3, "{pull:#?}");
    let pulled = client.get_blob(REPOSITORY, &digest).await.expect("GET of the layer");
    assert_eq!(sha256(&pulled), digest);
    let pull = count.since("GET of the layer");
    assert!(pull.len() <= 4, "{pull:#?}");
}

struct Count<'a> {
    flavour: Flavour,
    front: &'a SwiftFront,
}

impl Count<'_> {
    /// What was asked since the last time, without what only looks whether the store is still itself.
    fn since(&self, what: &str) -> Vec<SwiftRequest> {
        let all = self.front.requests();
        self.front.forget_requests();
        let is_health = |request: &SwiftRequest| {
            request.name == ".driver/store-id" || request.operation == "HEAD container"
        };
        let (health, real): (Vec<_>, Vec<_>) = all.into_iter().partition(is_health);
        figure!("{:?}: {what}: {} requests, and {} of health", self.flavour, real.len(), health.len());
        real
    }
}
