//! What the user must be allowed to do in the container, and what is said where it is not; taken away and given back while
//! all runs.

use longshore_end_to_end::image::Image;
use longshore_end_to_end::servers::{Flavour, Rights};
use reqwest::StatusCode;

use super::told;
use crate::REPOSITORY;
use crate::container::Container;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_read_only_is_told_and_pulls_go_on_over_swift() {
    a_container_that_is_read_only_is_told_and_pulls_go_on(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_read_only_is_told_and_pulls_go_on_over_rgw() {
    a_container_that_is_read_only_is_told_and_pulls_go_on(Flavour::RgwSwift).await;
}

async fn a_container_that_is_read_only_is_told_and_pulls_go_on(flavour: Flavour) {
    let container = Container::start(flavour).await;
    let server = &container.server;
    // Read and write is all that the driver needs: it is not the account's owner.
    server.allow_guest(Rights::ReadAndWrite).await;
    let driver = container.driver_through("driver", &server.guest());
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;

    server.allow_guest(Rights::Read).await;
    let refused = client.push_blob(REPOSITORY, "nobody may write this").await.expect_err("a push");
    assert_eq!(refused.status(), Some(StatusCode::INTERNAL_SERVER_ERROR), "{refused}");
    let line = "the container is read-only for this user; the user's role or the container's write ACL must allow this";
    told(&registry, "BACKEND_CREDENTIALS", line);
    client.get_manifest(REPOSITORY, "1").await.expect("what was there is still read");
    server.allow_guest(Rights::ReadAndWrite).await;
    image.is_served_again(&registry).await;

    server.allow_guest(Rights::Nothing).await;
    let (status, body) = image.refusal(&registry).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    told(&registry, "BACKEND_CREDENTIALS", "the user's role or the container's ACL must allow this");
    server.allow_guest(Rights::ReadAndWrite).await;
    image.is_served_again(&registry).await;
}
