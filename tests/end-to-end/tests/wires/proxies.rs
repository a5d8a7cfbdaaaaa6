//! Whom `X-Forwarded-*` is believed from, and what a proxy may rely on.

use std::time::Duration;

use longshore_end_to_end::client::location;
use longshore_end_to_end::{Client, Registry, scratch};
use reqwest::Method;

const PATIENCE: Duration = Duration::from_secs(5);

async fn ask(client: &Client, path: &str) {
    let request = client.get(path).header("X-Forwarded-For", "192.0.2.66, 192.0.2.7");
    request.send().await.expect("an answer");
}

/// What the log says of a request for this path.
async fn logged(config: &str, url: usize) -> String {
    let mut registry = Registry::start_listening(config, None).await;
    registry.stop_core(Duration::from_secs(15));
    registry.set_log_filter("info");
    registry.start_core();
    registry.await_ready(PATIENCE).await;
    ask(&Client::new(&registry.urls()[url]), "/v2/forwarded/app/tags/list").await;
    let said = |line: &str| line.contains("forwarded/app") && line.contains("status=");
    registry.core().await_line_where("the request with its client", said, PATIENCE)
}

#[tokio::test]
async fn x_forwarded_for_of_a_stranger_means_nothing() {
    let line = logged("listen = '127.0.0.1:0'\ntrusted_proxies = ['10.0.0.0/8']", 0).await;
    assert!(line.contains("127.0.0.1") && !line.contains("192.0.2."), "{line}");
}

#[tokio::test]
async fn x_forwarded_for_of_a_trusted_proxy_names_the_client() {
    let line = logged("listen = '127.0.0.1:0'\ntrusted_proxies = ['127.0.0.0/8']", 0).await;
    assert!(line.contains("192.0.2.7") && !line.contains("192.0.2.66"), "{line}");
}

#[tokio::test]
async fn a_proxy_on_the_unix_socket_is_trusted_if_it_is_named() {
    let sockets = scratch::socket_directory();
    let listen = format!("listen = ['127.0.0.1:0', 'unix://{}/http.sock']", sockets.path().display());
    let line = logged(&format!("{listen}\ntrusted_proxies = ['unix']"), 1).await;
    assert!(line.contains("192.0.2.7"), "{line}");
    let line = logged(&listen, 1).await;
    assert!(!line.contains("192.0.2."), "{line}");
}

#[tokio::test]
async fn locations_are_relative_whatever_the_proxy_says() {
    let config = "listen = '127.0.0.1:0'\ntrusted_proxies = ['127.0.0.0/8']";
    let registry = Registry::start_listening(config, None).await;
    let request = registry.client().request(Method::POST, "/v2/forwarded/app/blobs/uploads/");
    let request = request.header("X-Forwarded-Host", "evil.example").header("X-Forwarded-Proto", "https");
    let response = request.send().await.expect("an answer");
    let location = location(&response).expect("a Location");
    assert!(location.starts_with("/v2/forwarded/app/blobs/uploads/"), "{location}");
}
