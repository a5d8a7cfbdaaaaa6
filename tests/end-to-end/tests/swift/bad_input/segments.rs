//! Segments that somebody deletes by hand, of an object and of an upload.

use bytes::Bytes;
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::image::Image;
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::{Random, Registry, sha256};
use reqwest::StatusCode;

use super::told;
use crate::REPOSITORY;
use crate::container::Container;

/// More than one segment.
const BLOB: usize = 40 << 20;
const LINE: &str =
    "a segment of the object is missing or not what its manifest says; somebody removed or wrote it";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_are_deleted_by_hand_are_told_and_no_pull_ends_cleanly_over_swift() {
    segments_that_are_deleted_by_hand(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_are_deleted_by_hand_are_told_and_no_pull_ends_cleanly_over_rgw() {
    segments_that_are_deleted_by_hand(Flavour::RgwSwift).await;
}

async fn segments_that_are_deleted_by_hand(flavour: Flavour) {
    let container = Container::start(flavour).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    let image = Image::push_small(&registry.client(), "1").await;
    let others = container.segments().await;
    let blob = Bytes::from(Random::announced("swift segments by hand").bytes(BLOB));
    let digest = registry.client().push_blob(REPOSITORY, blob.clone()).await.expect("a push");
    let segments = container.segments().await;
    let segments: Vec<_> = segments.into_iter().filter(|name| !others.contains(name)).collect();
    assert!(segments.len() > 1, "{segments:?}");
    for name in &segments {
        let content = container.server.get(name).await.expect("a segment");
        container.server.delete(name).await;
        assert!(!is_pulled(&registry, &digest, &blob).await, "{name} is gone and nobody sees it");
        image.is_served_again(&registry).await;
        container.server.put(name, content).await;
        assert!(is_pulled(&registry, &digest, &blob).await, "{name} is there again");
    }
    told(&registry, "SHORT_OBJECT", LINE);
}

/// Whether every byte came. What came is right in any case, and a 404 it never is.
async fn is_pulled(registry: &Registry, digest: &str, blob: &Bytes) -> bool {
    let answer = registry.client().get(&blob_path(REPOSITORY, digest)).send().await.expect("an answer");
    if answer.status().is_server_error() {
        return false;
    }
    assert_eq!(answer.status(), StatusCode::OK);
    let Ok(body) = answer.bytes().await else { return false };
    assert!(body == *blob, "a pull that ended cleanly has other bytes");
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_segment_is_deleted_by_hand_is_not_committed() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let blob = Bytes::from(Random::announced("swift segment of an upload").bytes(BLOB));
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let (location, _) = client.patch(&location, 0, blob.clone()).await.expect("all of it");
    let segments = container.segments().await;
    container.server.delete(&segments[0]).await;
    let digest = sha256(&blob);
    let refused = client.finish_upload(&location, &digest).await.expect_err("a segment is missing");
    assert!(refused.status().is_some_and(|status| status.as_u16() >= 400), "{refused}");
    let absent = client.head_blob(REPOSITORY, &digest).await.expect("an answer");
    assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    client.push_blob(REPOSITORY, blob.clone()).await.expect("a push from the beginning");
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
}
