//! TLS: both versions of HTTP over it, and certificates that are replaced while it runs.

use std::time::{Duration, Instant};

use longshore_end_to_end::{Authority, Client, Registry};
use reqwest::{StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::push_and_pull;

const PATIENCE: Duration = Duration::from_secs(5);

async fn start(authority: &Authority) -> Registry {
    authority.issue(1);
    let config = format!("listen = '127.0.0.1:0'\n{}", authority.tls());
    Registry::start_listening(&config, Some(&authority.certificate())).await
}

/// A client with a connection of its own, which also tells the serial number of the certificate it is shown.
async fn shown(registry: &Registry, authority: &Authority) -> u64 {
    let client =
        Client::built(registry.url(), Some(&authority.certificate()), |builder| builder.tls_info(true));
    let response = client.get("/v2/").send().await.expect("GET /v2/");
    let info = response.extensions().get::<reqwest::tls::TlsInfo>().expect("TLS");
    serial(info.peer_certificate().expect("a certificate"))
}

/// SEQUENCE { SEQUENCE { [0] { version }, INTEGER serial, ...: RFC 5280 4.1.
fn serial(der: &[u8]) -> u64 {
    let version = der.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).expect("version 3");
    let (tag, length) = (der[version + 5], usize::from(der[version + 6]));
    assert_eq!(tag, 2, "an INTEGER");
    der[version + 7..version + 7 + length].iter().fold(0, |serial, byte| serial << 8 | u64::from(*byte))
}

#[tokio::test]
async fn push_and_pull_over_tls_with_http_1_and_http_2() {
    let authority = Authority::new();
    let registry = start(&authority).await;
    assert!(registry.url().starts_with("https://127.0.0.1:"), "{}", registry.url());
    assert_eq!(push_and_pull(&registry.client(), "tls/two").await, Version::HTTP_2, "ALPN prefers it");
    let one =
        Client::built(registry.url(), Some(&authority.certificate()), reqwest::ClientBuilder::http1_only);
    assert_eq!(push_and_pull(&one, "tls/one").await, Version::HTTP_11);
}

#[tokio::test]
async fn push_and_pull_in_cleartext_with_http_2_by_prior_knowledge() {
    let registry = Registry::start().await;
    let client = Client::built(registry.url(), None, reqwest::ClientBuilder::http2_prior_knowledge);
    assert_eq!(push_and_pull(&client, "clear/two").await, Version::HTTP_2);
    assert_eq!(push_and_pull(&registry.client(), "clear/one").await, Version::HTTP_11);
}

#[tokio::test]
async fn new_connections_see_a_replaced_certificate_and_open_ones_live_on() {
    let authority = Authority::new();
    let registry = start(&authority).await;
    assert_eq!(shown(&registry, &authority).await, 1);
    let old = registry.client();
    push_and_pull(&old, "tls/old").await;
    authority.issue(2);
    registry.core().await_line("new connections get the new certificate", PATIENCE);
    assert_eq!(shown(&registry, &authority).await, 2);
    push_and_pull(&old, "tls/old").await;
}

#[tokio::test]
async fn a_broken_replacement_keeps_the_old_certificate_and_is_logged() {
    let authority = Authority::new();
    let registry = start(&authority).await;
    authority.break_key();
    registry.core().await_line("the old one stays in use", PATIENCE);
    assert_eq!(shown(&registry, &authority).await, 1);
    authority.issue(3);
    let end = Instant::now() + PATIENCE;
    while shown(&registry, &authority).await != 3 {
        assert!(Instant::now() < end, "a whole pair after a broken one is not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn plain_http_to_a_tls_port_is_told_so() {
    let registry = start(&Authority::new()).await;
    let mut stream = TcpStream::connect(registry.address()).await.expect("connect");
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("use https://"), "{answer:?}");
}

#[tokio::test]
async fn cleartext_and_tls_are_served_side_by_side() {
    let authority = Authority::new();
    authority.issue(1);
    let listen = "listen = ['https://127.0.0.1:0', 'http://127.0.0.1:0']";
    let config = format!("{listen}\n{}", authority.tls());
    let registry = Registry::start_listening(&config, Some(&authority.certificate())).await;
    let urls = registry.urls();
    assert!(urls[0].starts_with("https://") && urls[1].starts_with("http://"), "{urls:?}");
    let digest = registry.client().push_blob("side/by", "side").await.expect("push over TLS");
    let plain = Client::new(&urls[1]).head_blob("side/by", &digest).await.expect("HEAD");
    assert_eq!(plain.status(), StatusCode::OK);
}
