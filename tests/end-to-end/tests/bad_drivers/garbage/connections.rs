//! What is no HTTP/2, or no good one.

use std::sync::Arc;
use std::time::Duration;

use longshore_end_to_end::Random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::bed::{Bed, CALLS};
use crate::front::Raw;
use crate::start::Start;

/// Says this over and over, until nobody listens any more.
fn saying(first: Vec<u8>, then: Vec<u8>) -> Raw {
    Arc::new(move |mut socket: UnixStream| {
        let (first, then) = (first.clone(), then.clone());
        Box::pin(async move {
            // HTTP/2 clients speak first, and this one has made a call when more than its settings has come.
            let mut heard = vec![0; 4096];
            for _ in 0..2 {
                let _ended = tokio::time::timeout(Duration::from_millis(100), socket.read(&mut heard)).await;
            }
            if socket.write_all(&first).await.is_err() {
                return;
            }
            while !then.is_empty() && socket.write_all(&then).await.is_ok() {}
            let _closed = socket.shutdown().await;
        })
    })
}

/// RFC 9113 4.1.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// HEADERS without END_HEADERS, and CONTINUATION for ever: each has literal fields without indexing (RFC 7541 6.2.2).
fn endless_header() -> Raw {
    let settings = frame(4, 0, 0, &[]);
    let mut field = vec![0, 1, b'x', 100];
    field.extend_from_slice(&[b'y'; 100]);
    let headers = frame(1, 0, 1, &[0x88]);
    saying([settings, headers].concat(), frame(9, 0, 1, &field.repeat(100)))
}

fn all() -> Vec<(&'static str, Raw)> {
    let mut random = Random::announced("garbage");
    let http1 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let huge_frame = [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1].to_vec();
    vec![
        ("random bytes", saying(random.bytes(10_000), Vec::new())),
        ("random bytes without end", saying(Vec::new(), random.bytes(65_536))),
        ("HTTP/1.1", saying(http1.clone(), Vec::new())),
        ("a frame of 16 MiB", saying([frame(4, 0, 0, &[]), huge_frame].concat(), vec![0; 65_536])),
        ("an endless header", endless_header()),
        ("nothing but an end", saying(Vec::new(), Vec::new())),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_speaks_no_http2_is_unavailable_until_it_does() {
    let mut bed = Bed::start("no HTTP/2").await;
    for (what, raw) in all() {
        let mut requests = Vec::new();
        for call in CALLS {
            requests.push((call, bed.request_with(call).await));
        }
        bed.front.spoil_connections(raw);
        bed.await_readiness(&["BACKEND_UNAVAILABLE"]).await;
        let ends = requests.into_iter().map(async |(call, request)| (call, bed.end_of(request).await));
        for (call, ended) in futures_util::future::join_all(ends).await {
            assert_eq!(ended.status, 503, "{what}, {call}: {ended:?}");
            bed.assert_refused(
                &format!("{what}, {call}"),
                &ended,
                &["connection to the driver", "the driver"],
            )
            .await;
        }
        bed.heal().await;
        bed.assert_nothing_lost().await;
    }
    bed.finish("no HTTP/2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_does_not_start_with_a_driver_that_speaks_no_http2() {
    let start = Start::prepare();
    start.front.spoil_connections(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Vec::new()));
    start.assert_refused("HTTP/1.1", &["BACKEND_UNAVAILABLE", "the driver", "at its log"]);
}
