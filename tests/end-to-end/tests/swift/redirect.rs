//! Downloads that the store serves itself: the core gives a URL away, and no credentials.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::servers::{Flavour, SwiftServer};
use longshore_end_to_end::{Random, Registry, sha256};
use reqwest::header::LOCATION;
use reqwest::{Client, StatusCode};

use crate::REPOSITORY;
use crate::container::{Container, Driver};

const BLOB: usize = 24 << 20;
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(600);
/// A key that is new is not used at once.
const SETTLED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_redirected_to_swift() {
    is_redirected(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_redirected_to_rgw() {
    is_redirected(Flavour::RgwSwift).await;
}

async fn is_redirected(flavour: Flavour) {
    let container = Container::start(flavour).await;
    let driver = container.driver("driver");
    let registry = driver.core("redirect = true\n").await;
    let blob = Bytes::from(Random::announced("swift redirect").bytes(BLOB));
    let digest = registry.client().push_blob(REPOSITORY, blob.clone()).await.expect("push");
    let plain = plain_client();
    let url = redirected(&plain, &registry, &digest).await;
    assert!(url.starts_with(container.server.endpoint()), "{url}");

    let got = plain.get(&url).send().await.expect("GET at the store");
    assert_eq!(got.status(), StatusCode::OK);
    assert_eq!(sha256(&got.bytes().await.expect("the bytes")), digest);
    let part = plain.get(&url).header("range", "bytes=5-9").send().await.expect("GET of a range");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.expect("the bytes"), blob.slice(5..10));

    what_is_tampered_with_is_refused(&plain, &url, &driver, &container.server).await;
    what_has_expired_is_refused(&plain, &driver, &container.server).await;
}

/// Until the key is there, downloads go through the core.
async fn redirected(plain: &Client, registry: &Registry, digest: &str) -> String {
    let (url, begin) = (format!("{}{}", registry.url(), blob_path(REPOSITORY, digest)), Instant::now());
    loop {
        let answer = plain.get(&url).send().await.expect("GET");
        if answer.status() == StatusCode::TEMPORARY_REDIRECT {
            return answer.headers()[LOCATION].to_str().expect("text").to_owned();
        }
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(sha256(&answer.bytes().await.expect("the bytes")), digest);
        assert!(begin.elapsed() < SETTLED, "it is never redirected");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn plain_client() -> Client {
    let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client that follows nothing")
}

/// Another signature, a longer life, another object.
async fn what_is_tampered_with_is_refused(plain: &Client, url: &str, driver: &Driver, server: &SwiftServer) {
    let (before, after) = url.split_once("temp_url_sig=").expect("a signature");
    let (signature, rest) = after.split_once('&').expect("more than that");
    let forged = format!("{before}temp_url_sig={}&{rest}", signature.replace(char::is_numeric, "0"));
    let prolonged = url.replace("temp_url_expires=", "temp_url_expires=9");
    server.put("objects/another", "what nobody gave away").await;
    let another = driver.sign("objects/another", LONG).await.url;
    assert_eq!(plain.get(&another).send().await.expect("GET").status(), StatusCode::OK);
    let (_, query) = url.split_once('?').expect("a query");
    let (path, _) = another.split_once('?').expect("a query");
    let elsewhere = format!("{path}?{query}");
    for (what, tampered) in [("forged", forged), ("prolonged", prolonged), ("elsewhere", elsewhere)] {
        let refused = plain.get(tampered).send().await.expect("GET of a tampered URL").status();
        let is_refused = matches!(refused, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        assert!(is_refused, "{:?} serves what is {what}: {refused}", server.flavour());
    }
    server.delete("objects/another").await;
}

async fn what_has_expired_is_refused(plain: &Client, driver: &Driver, server: &SwiftServer) {
    let names = server.names("objects/").await;
    let [name] = &names[..] else { panic!("one blob: {names:?}") };
    let (short, long) = (driver.sign(name, SHORT).await, driver.sign(name, LONG).await);
    // The server counts in whole seconds.
    let end = short.expires + Duration::from_secs(1);
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
    for (url, is_good) in [(short.url, false), (long.url, true)] {
        let answer = plain.get(url).header("range", "bytes=0-9").send().await.expect("GET");
        assert_eq!(answer.status() == StatusCode::PARTIAL_CONTENT, is_good, "{:?}", server.flavour());
    }
}
