//! Listings that lag behind what was written, by seconds: what `listing=lagging` promises holds.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::client::{OCI_MANIFEST, image_manifest, manifest_path};
use crate::image::Image;
use crate::instance::Driver;
use crate::writer::goes_on_exactly;
use crate::{Client, Random, Registry, sha256};

const REPOSITORY: &str = "team/app";
const BLOB: usize = 40 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing is lost, and an upload goes on where it began.
pub async fn nothing_is_lost(name: &str, driver: &mut Driver, mut registry: Registry) {
    let client = registry.client();
    let image = Image::push(&client).await;
    // Nothing that goes by a name is late.
    image.is_served_again(&registry).await;

    let blob = Bytes::from(Random::announced(&format!("{name} lagging")).bytes(BLOB));
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let half = BLOB / 2;
    let (location, durable) = client.patch(&location, 0, blob.slice(..half)).await.expect("a first half");
    assert_eq!(durable, half as u64);
    registry.kill_core();
    registry.start_core();
    registry.await_ready(PATIENCE).await;
    let client = registry.client();
    goes_on_exactly(&client, &location, &blob, half).await;

    await_tag(&client).await;
    // An instance that starts anew knows only what listings show.
    driver.kill();
    driver.start();
    image.is_served_again(&registry).await;
    await_tag(&client).await;
}

/// A delete by digest takes the tags that no listing shows yet, and they stay gone when the manifest comes again.
pub async fn a_delete_takes_what_was_tagged_a_moment_ago(registry: &Registry) {
    let client = registry.client();
    let config = client.push_blob(REPOSITORY, "{}").await.expect("push a configuration");
    let manifest = image_manifest((&config, 2), &[]);
    for tag in ["one", "two"] {
        client.put_manifest(REPOSITORY, tag, OCI_MANIFEST, manifest.clone()).await.expect("push a manifest");
    }
    let by_digest = manifest_path(REPOSITORY, &sha256(&manifest));
    let deleted = client.request(Method::DELETE, &by_digest).send().await.expect("an answer");
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    client.put_manifest(REPOSITORY, "three", OCI_MANIFEST, manifest.clone()).await.expect("push it again");
    assert_eq!(client.get_manifest(REPOSITORY, "three").await.expect("what was pushed"), manifest);
    for tag in ["one", "two"] {
        let answer = client.get(&manifest_path(REPOSITORY, tag)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{tag} is there again");
    }
}

/// It shows late, and it shows.
async fn await_tag(client: &Client) {
    let begin = Instant::now();
    loop {
        let answer = client.get(&format!("/v2/{REPOSITORY}/tags/list")).send().await.expect("an answer");
        let shown =
            answer.status() == StatusCode::OK && answer.text().await.expect("a list").contains("\"1\"");
        if shown {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "the tag does not show");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
