//! docker and podman pull from a registry that gives them URLs of the store: the layer does not pass the core.

use bytes::Bytes;
use longshore_end_to_end::bucket::Bucket;
use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest};
use longshore_end_to_end::layer::write_layer;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Random, Registry, figure, figures, sha256};
use serde_json::json;

use crate::client::{Client, Item};
use crate::docker::Docker;
use crate::door::Door;
use crate::podman::Podman;

const REPOSITORY: &str = "team/app";
const TAG: &str = "1";
const LAYER: usize = 64 << 20;
/// What a pull may cost the core besides its layers: a manifest, a configuration, answers without a body.
const LITTLE: u64 = 64 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_and_podman_pull_a_layer_from_the_store_and_not_from_the_core() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("driver");
    let (redirecting, serving) = (driver.core("redirect = true\n").await, driver.core("").await);
    let manifest = push_image(&serving).await;
    let door = Door::plain(&redirecting);
    let clients: [Box<dyn Client>; 2] = [Box::new(Docker::start(&door)), Box::new(Podman::start(&door))];
    for client in &clients {
        for (registry, redirects) in [(&redirecting, true), (&serving, false)] {
            let before = Passed::so_far(registry, &bucket).await;
            let reference = format!("{}/{REPOSITORY}:{TAG}", Door::plain(registry).host());
            let pulled = client.pull(Item::Image, &reference, architecture());
            let pulled = pulled.unwrap_or_else(|refusal| panic!("{}: {refusal}", client.name()));
            assert!(pulled.digests.contains(&manifest), "{}: {:?}", client.name(), pulled.digests);
            let passed = Passed::so_far(registry, &bucket).await.since(&before);
            figure!("redirect: {}, redirects: {redirects}: {}", client.name(), passed.told());
            if redirects {
                assert!(passed.received < LITTLE && passed.sent < LITTLE, "{}", client.name());
            } else {
                assert!(passed.received >= LAYER as u64 && passed.sent >= LAYER as u64, "{}", client.name());
            }
            assert_eq!(passed.signed > 0, redirects, "{}", client.name());
        }
    }
}

fn architecture() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}

/// One layer, which is not compressed. Gives the manifest's digest.
async fn push_image(registry: &Registry) -> String {
    let client = registry.client();
    let content = Random::announced("redirect").bytes(LAYER);
    let archive = Bytes::from(write_layer(Vec::new(), LAYER as u64, &content[..]));
    let size = archive.len();
    let layer = client.push_blob(REPOSITORY, archive).await.expect("the layer");
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Cmd": ["/layer"]},
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    });
    let config = config.to_string();
    let configuration = client.push_blob(REPOSITORY, config.clone()).await.expect("the configuration");
    let manifest = image_manifest((&configuration, config.len() as u64), &[(&layer, size as u64)]);
    client.put_manifest(REPOSITORY, TAG, OCI_MANIFEST, manifest.clone()).await.expect("the manifest");
    sha256(&manifest)
}

/// Bytes of bodies, by the core's own count, and what the store served by signed URLs, by the store's log.
struct Passed {
    /// From the driver.
    received: u64,
    /// To clients.
    sent: u64,
    signed: usize,
}

impl Passed {
    async fn so_far(registry: &Registry, bucket: &Bucket) -> Self {
        let answer = registry.client().get("/metrics").send().await.expect("the metrics");
        let text = answer.text().await.expect("the metrics");
        let signed = bucket.server.requests().into_iter().filter(|request| {
            request.key.starts_with("objects/")
                && request.query.contains("X-Amz-Signature=")
                && request.status < 300
        });
        Self {
            received: total(&text, "longshore_driver_read_bytes_total{"),
            sent: total(&text, "longshore_http_sent_bytes_total{operation=\"get_blob\""),
            signed: signed.count(),
        }
    }

    fn since(self, before: &Self) -> Self {
        Self {
            received: self.received - before.received,
            sent: self.sent - before.sent,
            signed: self.signed - before.signed,
        }
    }

    fn told(&self) -> String {
        let (received, sent) = (figures::mib(self.received), figures::mib(self.sent));
        format!("{received} came to the core and {sent} left it; {} requests by signed URLs", self.signed)
    }
}

/// The sum of the samples that begin so.
fn total(metrics: &str, sample: &str) -> u64 {
    let samples = metrics.lines().filter(|line| line.starts_with(sample));
    let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.map(|value| value as u64).sum()
}
