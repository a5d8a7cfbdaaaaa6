//! Connections that break in the middle of a body, by a front in between, and a server that dies in the middle of a push.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use longshore_end_to_end::broken_connections::{download_goes_on, server_dies_in_the_middle_of_a_push};
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Fault, FaultyFront, Random, Registry};
use reqwest::Method;

use crate::REPOSITORY;
use crate::bucket::{Bucket, Driver, no_multipart_upload_is_left};

const BLOB: usize = 64 << 20;
const SOME: u64 = 3 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_whose_connection_breaks_is_sent_again() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let front = FaultyFront::before(bucket.server.endpoint(), move |asked| {
        let is_second = asked.uri.query().is_some_and(|query| query.contains("partNumber=2&"));
        if is_second && count.fetch_add(1, Ordering::SeqCst) == 0 {
            Fault::CutRequest(SOME)
        } else {
            Fault::Pass
        }
    })
    .await;
    let (_driver, registry) = core_behind(&bucket, &front).await;
    let blob = Bytes::from(Random::announced("s3 cut part").bytes(BLOB));
    let digest = registry.client().push_blob(REPOSITORY, blob.clone()).await.expect("a push");
    assert_eq!(tries.load(Ordering::SeqCst), 2, "how often the part was sent");
    assert!(registry.client().get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
    no_multipart_upload_is_left(&bucket.server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_whose_connection_breaks_goes_on_where_it_was() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let cuts = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&cuts);
    let front = FaultyFront::before(bucket.server.endpoint(), move |asked| {
        let is_read = asked.method == Method::GET && asked.uri.path().contains("/objects/");
        let is_whole = asked.headers.get("range").is_none_or(|range| range != "bytes=0-0");
        let cut = |left: usize| left.checked_sub(1);
        if is_read && is_whole && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, cut).is_ok() {
            Fault::CutAnswer(SOME)
        } else {
            Fault::Pass
        }
    })
    .await;
    let (_driver, registry) = core_behind(&bucket, &front).await;
    download_goes_on("s3", &registry.client(), &cuts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_of_a_push_costs_no_acknowledged_byte() {
    server_dies_in_the_middle_of_a_push("S3", Bucket::start(Implementation::Versitygw).await).await;
}

async fn core_behind(bucket: &Bucket, front: &FaultyFront) -> (Driver, Registry) {
    let driver = bucket.driver_through("driver", &front.url());
    let registry = driver.core("").await;
    (driver, registry)
}
