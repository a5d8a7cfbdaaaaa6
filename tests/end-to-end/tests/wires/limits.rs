//! How many connections one client may have, and how large the head of a request may be.

use std::time::Duration;

use longshore_end_to_end::{Client, Registry};
use reqwest::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::raw::{closed, connect, send};

async fn served(stream: &mut TcpStream) -> bool {
    send(stream, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = [0; 1024];
    matches!(stream.read(&mut answer).await, Ok(length) if answer[..length].starts_with(b"HTTP/1.1 200"))
}

#[tokio::test]
async fn connections_beyond_the_limit_of_an_address_are_closed_at_once() {
    let limits = "listen = '127.0.0.1:0'\n[limits]\nconnections_per_ip = 8";
    let registry = Registry::start_listening(limits, None).await;
    let mut open = Vec::new();
    // The client that waited for the start has a connection too, for a moment.
    while open.len() < 7 {
        let mut stream = connect(registry.address()).await;
        if served(&mut stream).await {
            open.push(stream);
        }
    }
    let mut refused = 0;
    for _ in 0..10 {
        let mut stream = connect(registry.address()).await;
        let probe = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0])).await;
        if matches!(probe, Ok(Ok(0) | Err(_))) {
            refused += 1;
        } else {
            open.push(stream);
        }
    }
    assert!(refused >= 9, "{refused} of 10 connections were closed at once");
    registry.core().await_line("connections refused", Duration::from_secs(5));
    drop(open);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(served(&mut connect(registry.address()).await).await, "places are given back");
}

#[tokio::test]
async fn a_head_of_more_than_64_fields_or_16_kib_is_431() {
    let registry = Registry::start().await;
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    for (extra, status) in [
        (fields(63), "200"),
        (fields(64), "431"),
        (format!("X-Long: {}\r\n", "a".repeat(16_000)), "200"),
        (format!("X-Long: {}\r\n", "a".repeat(17_000)), "431"),
    ] {
        let mut stream = connect(registry.address()).await;
        send(&mut stream, format!("GET /v2/ HTTP/1.1\r\n{extra}Connection: close\r\n\r\n")).await;
        let (said, _) = closed(&mut stream).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
    }
    let client = Client::built(registry.url(), None, reqwest::ClientBuilder::http2_prior_knowledge);
    for (count, status) in [(50, StatusCode::OK), (65, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let mut request = client.get("/v2/");
        for number in 0..count {
            request = request.header(format!("x-{number}"), "a");
        }
        assert_eq!(request.send().await.expect("an answer").status(), status, "{count} fields");
    }
}

#[tokio::test]
async fn sixteen_mib_of_headers_are_431_or_the_end_over_http_1() {
    let registry = Registry::start().await;
    let mut stream = connect(registry.address()).await;
    send(&mut stream, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Endless: ").await;
    let (mut read, mut write) = stream.into_split();
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let piece = [b'a'; 64 * 1024];
        let mut sent = 0;
        while sent < 16 << 20 && write.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        sent
    });
    let mut said = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut said)).await;
    assert!(end.is_ok(), "the connection is still open");
    let sent = flood.await.expect("no panic");
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&said));
    assert!(sent < 16 << 20, "all of it was taken");
}
