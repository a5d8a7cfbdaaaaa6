//! SIGTERM: what is under way ends well, nothing new begins, and whoever does nothing is not waited for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::wire::{Open, Outcome, Request};
use longshore_end_to_end::{Client, Registry};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::raw::connect;

const PATIENCE: Duration = Duration::from_secs(15);

async fn refuses(address: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if TcpStream::connect(address).await.is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn an_upload_under_way_ends_well_and_no_new_connection_is_taken() {
    let mut registry = Registry::start().await;
    let location = registry.client().start_upload("drain/up").await.expect("POST");
    let request = Request::new("PATCH", &location)
        .header("Content-Type", "application/octet-stream")
        .body(Bytes::from(vec![1; 1 << 20]))
        .pace(Duration::from_millis(100));
    let upload = Open::send(registry.address(), request).await;
    while upload.body_sent() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    registry.core().signal(Signal::TERM);
    assert!(refuses(registry.address()).await, "a new connection is taken while it stops");
    assert!(!upload.finished(), "the upload is still under way");
    match upload.outcome(PATIENCE).await {
        Outcome::Complete(answer) => assert_eq!(answer.status, 202, "{answer:?}"),
        Outcome::Cut { why, .. } => panic!("the upload was cut off: {why}"),
    }
    registry.stop_core(PATIENCE);
}

#[tokio::test]
async fn a_download_under_way_over_http_2_ends_well() {
    let mut registry = Registry::start().await;
    let content = vec![9; 24 << 20];
    let digest = registry.client().push_blob("drain/down", content.clone()).await.expect("push");
    let client = Client::built(registry.url(), None, |builder| {
        builder.http2_prior_knowledge().http2_initial_stream_window_size(1 << 20)
    });
    let mut response = client.get(&blob_path("drain/down", &digest)).send().await.expect("GET");
    let mut length = response.chunk().await.expect("a piece").expect("the first").len();
    registry.core().signal(Signal::TERM);
    assert!(refuses(registry.address()).await, "a new connection is taken while it stops");
    while let Some(piece) = response.chunk().await.expect("a GOAWAY does not end what is under way") {
        length += piece.len();
    }
    assert_eq!(length, content.len());
    registry.stop_core(PATIENCE);
}

// With threads, so that the idle clients hear what they are told while this one waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_request_do_not_delay_the_stop() {
    let mut registry = Registry::start().await;
    let _silent = connect(registry.address()).await;
    let one = registry.client();
    let two = Client::built(registry.url(), None, reqwest::ClientBuilder::http2_prior_knowledge);
    for client in [&one, &two] {
        client.get("/v2/").send().await.expect("GET /v2/").bytes().await.expect("a body");
    }
    let begin = Instant::now();
    registry.stop_core(PATIENCE);
    assert!(begin.elapsed() < Duration::from_secs(5), "the stop took {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_cut_off() {
    let limits = "listen = '127.0.0.1:0'\n[limits]\ndrain = '1s'";
    let mut registry = Registry::start_listening(limits, None).await;
    let location = registry.client().start_upload("drain/long").await.expect("POST");
    let request = Request::new("PATCH", &location)
        .header("Content-Type", "application/octet-stream")
        .body(Bytes::from(vec![1; 64 << 20]))
        .pace(Duration::from_millis(100));
    let upload = Open::send(registry.address(), request).await;
    while upload.body_sent() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begin = Instant::now();
    registry.stop_core(PATIENCE);
    assert!(begin.elapsed() > Duration::from_millis(900), "it had a second");
    assert!(matches!(upload.outcome(PATIENCE).await, Outcome::Cut { .. }), "it was cut off");
}
