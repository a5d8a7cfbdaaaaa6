//! A container whose quota is used up: 413.

use bytes::Bytes;
use longshore_end_to_end::image::Image;
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::{Random, sha256};
use reqwest::StatusCode;

use super::told;
use crate::REPOSITORY;
use crate::container::Container;

const BLOB: usize = 40 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_used_up_is_told_pulls_go_on_and_the_upload_too_once_there_is_room_over_swift() {
    a_quota_that_is_used_up(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_used_up_is_told_pulls_go_on_and_the_upload_too_once_there_is_room_over_rgw() {
    a_quota_that_is_used_up(Flavour::RgwSwift).await;
}

async fn a_quota_that_is_used_up(flavour: Flavour) {
    let container = Container::start(flavour).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;
    let blob = Bytes::from(Random::announced("swift quota").bytes(BLOB));
    let half = BLOB / 2;
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let (location, durable) = client.patch(&location, 0, blob.slice(..half)).await.expect("a first half");
    assert_eq!(durable, half as u64);

    // Less than there is already.
    container.server.set_quota(1000).await;
    let refused = client.patch(&location, durable, blob.slice(half..)).await.expect_err("above the quota");
    assert_eq!(refused.status(), Some(StatusCode::SERVICE_UNAVAILABLE), "{refused}");
    told(&registry, "QUOTA_EXCEEDED", "a quota of the account or the container is used up");
    client.get_manifest(REPOSITORY, "1").await.expect("pulls go on");

    container.server.lift_quota().await;
    image.is_served_again(&registry).await;
    let (location, at) = client.upload_status(&location).await.expect("GET of the upload");
    assert!(at >= durable, "{durable} bytes were acknowledged, {at} are left");
    let rest = blob.slice(usize::try_from(at).expect("a size")..);
    let (location, _) = client.patch(&location, at, rest).await.expect("the second half");
    let digest = sha256(&blob);
    client.finish_upload(&location, &digest).await.expect("PUT");
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
}
