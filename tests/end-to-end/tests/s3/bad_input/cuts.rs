//! Connections that break in the middle of a body, by a front in between, and a server that dies in the middle of a push.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Fault, FaultyFront, Random, Registry, sha256};
use reqwest::{Method, StatusCode};
use tokio::sync::oneshot;

use crate::REPOSITORY;
use crate::bucket::{Bucket, Driver, no_multipart_upload_is_left};
use longshore_end_to_end::image::Image;

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
    let client = registry.client();
    let blob = Bytes::from(Random::announced("s3 cut download").bytes(BLOB));
    let digest = client.push_blob(REPOSITORY, blob.clone()).await.expect("a push");
    cuts.store(2, Ordering::SeqCst);
    let mut got = Vec::new();
    let mut requests = 0;
    while got.len() < blob.len() {
        requests += 1;
        assert!(requests < 5, "no end of it: {} bytes", got.len());
        let range = format!("bytes={}-", got.len());
        let answer = client.get_blob_range(REPOSITORY, &digest, &range).await.expect("an answer");
        assert!(answer.status() == StatusCode::PARTIAL_CONTENT, "{}", answer.status());
        let mut body = answer.bytes_stream();
        while let Some(Ok(piece)) = body.next().await {
            got.extend_from_slice(&piece);
        }
    }
    assert!(got == blob, "other bytes");
    assert_eq!(cuts.load(Ordering::SeqCst), 0);
    let whole = client.get(&blob_path(REPOSITORY, &digest)).send().await.expect("GET");
    assert!(whole.bytes().await.expect("all of it") == blob);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_of_a_push_costs_no_acknowledged_byte() {
    let mut bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;
    let blob = Bytes::from(Random::announced("s3 down").bytes(BLOB));
    let acknowledged = 20 << 20;
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let (location, durable) =
        client.patch(&location, 0, blob.slice(..acknowledged)).await.expect("a first chunk");
    assert_eq!(durable, acknowledged as u64);

    let (reached, middle) = oneshot::channel();
    let (down, goes_on) = oneshot::channel();
    let pieces = [blob.slice(acknowledged..2 * acknowledged), blob.slice(2 * acknowledged..)];
    let [first, second] = pieces;
    let body = stream::once(async move { first }).chain(stream::once(async move {
        reached.send(()).expect("the test waits");
        goes_on.await.expect("the server's end");
        second
    }));
    let request = client.patch_request(&location, durable, blob.slice(acknowledged..));
    let request = request.body(reqwest::Body::wrap_stream(body.map(Ok::<_, Infallible>)));
    let stop = async {
        middle.await.expect("the middle of the body");
        bucket.server.stop();
        down.send(()).expect("a client that sends");
    };
    let (answer, ()) = tokio::join!(request.send(), stop);
    let refused = answer.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    registry.core().await_line("the S3 server can't be reached", super::PATIENCE);
    bucket.server.start_again().await;

    image.is_served_again(&registry).await;
    let (location, durable) = client.upload_status(&location).await.expect("GET of the upload");
    assert!(durable >= acknowledged as u64, "{durable} bytes are left");
    let rest = blob.slice(usize::try_from(durable).expect("a size")..);
    let (location, _) = client.patch(&location, durable, rest).await.expect("the rest");
    let digest = sha256(&blob);
    client.finish_upload(&location, &digest).await.expect("PUT");
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
    no_multipart_upload_is_left(&bucket.server).await;
}

async fn core_behind(bucket: &Bucket, front: &FaultyFront) -> (Driver, Registry) {
    let driver = bucket.driver_through("driver", &front.url());
    let registry = driver.core("").await;
    (driver, registry)
}
