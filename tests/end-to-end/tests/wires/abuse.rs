//! HTTP/2 abuse: each kind ends in the end of the connection, with the core's memory flat and a good client served.

use std::time::{Duration, Instant};

use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::{Registry, figure, sha256};

use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, field, frame, get};
use crate::good::GoodClient;

/// RFC 9113 7: ENHANCE_YOUR_CALM.
const CALM: u32 = 11;
const GROWTH: u64 = 48 << 20;
/// So many bytes the sockets of both ends may take before a busy registry has looked at the first.
const SOCKETS: usize = 16 << 20;
const DEFAULT_WINDOW: u32 = 65_535;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rapid_reset_flood_is_sent_away() {
    let registry = Registry::start().await;
    let good = GoodClient::start(&registry).await;
    let path = blob_path("reset/flood", &sha256(b"nothing"));
    let mut peer = Peer::connect(registry.address(), DEFAULT_WINDOW).await;
    let (mut stream, begin) = (1, Instant::now());
    // Many in one write, as the attack does it: the server sees a request and its reset at the same time.
    loop {
        let mut burst = Vec::new();
        for _ in 0..500 {
            burst.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(&path)));
            burst.extend(frame(RST_STREAM, 0, stream, &CANCEL));
            stream += 2;
        }
        if !peer.send(&burst).await {
            break;
        }
        assert!(stream < 400_000, "200,000 resets were taken");
    }
    let said = peer.ended().await;
    figure!("rapid reset: sent away after {} resets in {:.1?}: {said:?}", stream / 2, begin.elapsed());
    assert!(said.goaway.is_none_or(|code| code == CALM), "{said:?}");
    good_for_a_while(good, "rapid reset").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_continuation_ends_the_connection() {
    let registry = Registry::start().await;
    let good = GoodClient::start(&registry).await;
    for piece in [Vec::new(), field("x-a", &"a".repeat(1000)), field("x-a", &"a".repeat(16_000))] {
        let mut peer = Peer::connect(registry.address(), DEFAULT_WINDOW).await;
        let mut sent = peer.send(&frame(HEADERS, END_STREAM, 1, &get("/v2/"))).await;
        let continuation = frame(CONTINUATION, 0, 1, &piece);
        let most = (SOCKETS / continuation.len()).max(100_000);
        let mut frames = 0;
        while sent && frames < most {
            sent = peer.send(&continuation.repeat(16)).await;
            frames += 16;
        }
        assert!(frames < most, "{frames} frames of {} bytes were taken", piece.len());
        let said = peer.ended().await;
        figure!("continuation of {} bytes: ended within {frames} frames: {said:?}", piece.len());
    }
    good_for_a_while(good, "endless continuation").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_mib_of_headers_are_431_or_the_end_over_http_2() {
    let registry = Registry::start().await;
    let good = GoodClient::start(&registry).await;
    let mut peer = Peer::connect(registry.address(), DEFAULT_WINDOW).await;
    let mut sent = peer.send(&frame(HEADERS, END_STREAM, 1, &get("/v2/"))).await;
    let piece = field("x-a", &"a".repeat(16_000));
    for _ in 0..1100 {
        sent = sent && peer.send(&frame(CONTINUATION, 0, 1, &piece)).await;
    }
    assert!(!sent, "16 MiB were taken");
    assert_eq!(peer.ended().await.resets, 0);
    good_for_a_while(good, "16 MiB of headers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_opens_its_window_is_cut_off() {
    const LAYER: usize = 4 << 20;
    let limits = "listen = '127.0.0.1:0'\n[limits]\nwrite_stall = '2s'";
    let registry = Registry::start_listening(limits, None).await;
    let digest = registry.client().push_blob("window/shut", vec![3; LAYER]).await.expect("push");
    let path = blob_path("window/shut", &digest);
    let good = GoodClient::start(&registry).await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::connect(registry.address(), 0).await;
        for number in 0..100 {
            let request = frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get(&path));
            assert!(peer.send(&request).await, "the connection is open");
        }
        peers.push(peer);
    }
    let begin = Instant::now();
    for peer in peers {
        let said = peer.ended().await;
        assert!(said.answers > 0, "the heads of the responses need no window: {said:?}");
    }
    let after = begin.elapsed();
    figure!("zero windows: 4 connections of 100 downloads each cut off after {after:.1?}");
    assert!(after > Duration::from_secs(1) && after < Duration::from_secs(12), "cut off after {after:?}");
    good.unharmed("zero windows", 4 * 16 * (1536 << 10)).await;
}

#[tokio::test]
async fn one_response_that_nobody_takes_does_not_end_the_others_on_its_connection() {
    let limits = "listen = '127.0.0.1:0'\n[limits]\nwrite_stall = '1s'";
    let registry = Registry::start_listening(limits, None).await;
    let setup = registry.client();
    let blob = setup.push_blob("window/two", vec![5; 16 << 20]).await.expect("push");
    let client = longshore_end_to_end::Client::built(registry.url(), None, |builder| {
        // Windows smaller than the blob, so that what is not read stays in the registry.
        builder.http2_prior_knowledge().http2_initial_stream_window_size(1 << 20)
    });
    let path = blob_path("window/two", &blob);
    let _untaken = client.get(&path).send().await.expect("a response that is not read");
    let mut taken = client.get(&path).send().await.expect("a response that is read, slowly");
    let mut length = 0;
    let begin = Instant::now();
    while let Some(piece) = taken.chunk().await.expect("the other response goes on") {
        length += piece.len();
        if begin.elapsed() < Duration::from_secs(4) {
            // A frame of 16 KiB at a time: a whole piece of 256 KiB takes longer than the limit.
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
    }
    assert_eq!(length, 16 << 20);
    assert!(begin.elapsed() > Duration::from_secs(2), "it outlived the limit: {:?}", begin.elapsed());
}

/// The attack may be over before the good client has done much.
async fn good_for_a_while(good: GoodClient, what: &str) {
    good.has_worked().await;
    good.unharmed(what, GROWTH).await;
}
