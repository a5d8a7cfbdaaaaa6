//! Connections that break in the middle of a body, by a front in between, and a server that dies in the middle of a push.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use longshore_end_to_end::broken_connections::{download_goes_on, server_dies_in_the_middle_of_a_push};
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::{Fault, Random, SwiftFront};
use reqwest::Method;

use crate::REPOSITORY;
use crate::container::Container;

const BLOB: usize = 64 << 20;
const SOME: u64 = 3 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_whose_connection_breaks_is_sent_again() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let front = SwiftFront::before_with(&container.server, move |asked| {
        let is_segment = asked.method == Method::PUT && asked.uri.path().contains("/.driver/segments/");
        if is_segment && count.fetch_add(1, Ordering::SeqCst) == 1 {
            Fault::CutRequest(SOME)
        } else {
            Fault::Pass
        }
    })
    .await;
    let driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    let client = registry.client();
    let blob = Bytes::from(Random::announced("swift cut segment").bytes(BLOB));
    let digest = client.push_blob(REPOSITORY, blob.clone()).await.expect("a push");
    let sent = tries.load(Ordering::SeqCst);
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
    driver.end_all_uploads().await;
    container.no_segment_is_left_over().await;
    let segments = container.segments().await.len();
    assert!(sent > segments, "{sent} were sent for {segments}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_whose_connection_breaks_goes_on_where_it_was() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let cuts = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&cuts);
    let front = SwiftFront::before_with(&container.server, move |asked| {
        let is_read = asked.method == Method::GET && asked.uri.path().contains("/objects/");
        let cut = |left: usize| left.checked_sub(1);
        if is_read && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, cut).is_ok() {
            Fault::CutAnswer(SOME)
        } else {
            Fault::Pass
        }
    })
    .await;
    let driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    download_goes_on("swift", &registry.client(), &cuts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_of_a_push_costs_no_acknowledged_byte() {
    server_dies_in_the_middle_of_a_push("Swift", Container::start(Flavour::SwiftTempauth).await).await;
}
