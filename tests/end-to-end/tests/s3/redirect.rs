//! Downloads that the store serves itself: the core gives a URL away, and no credentials.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::servers::{Implementation, S3Server};
use longshore_end_to_end::{Random, sha256};
use reqwest::header::LOCATION;
use reqwest::{Client, StatusCode};

use crate::REPOSITORY;
use crate::bucket::{Bucket, Driver};

const BLOB: usize = 24 << 20;
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_redirected_to_versitygw() {
    is_redirected(Implementation::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_redirected_to_swift() {
    is_redirected(Implementation::Swift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_redirected_to_rgw() {
    is_redirected(Implementation::Rgw).await;
}

async fn is_redirected(implementation: Implementation) {
    let bucket = Bucket::start(implementation).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("redirect = true\n").await;
    let blob = Bytes::from(Random::announced("s3 redirect").bytes(BLOB));
    let digest = registry.client().push_blob(REPOSITORY, blob.clone()).await.expect("push");
    let plain = plain_client();
    let url = format!("{}{}", registry.url(), blob_path(REPOSITORY, &digest));
    let answer = plain.get(url).send().await.expect("GET");
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    let url = answer.headers()[LOCATION].to_str().expect("text").to_owned();
    assert!(url.starts_with(bucket.server.endpoint()), "{url}");
    assert!(!url.contains(bucket.server.secret_key()), "{url}");

    let got = plain.get(&url).send().await.expect("GET at the store");
    assert_eq!(got.status(), StatusCode::OK);
    assert_eq!(sha256(&got.bytes().await.expect("the bytes")), digest);
    let part = plain.get(&url).header("range", "bytes=5-9").send().await.expect("GET of a range");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.expect("the bytes"), blob.slice(5..10));

    what_is_tampered_with_is_refused(&plain, &url, &driver, &bucket.server).await;
    what_has_expired_is_refused(&plain, &driver, &bucket.server).await;
}

fn plain_client() -> Client {
    let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client that follows nothing")
}

/// Another signature, a longer life, another object.
async fn what_is_tampered_with_is_refused(plain: &Client, url: &str, driver: &Driver, server: &S3Server) {
    let (head, signature) = url.split_once("X-Amz-Signature=").expect("a signature");
    let forged = format!("{head}X-Amz-Signature={}", signature.replace(char::is_numeric, "0"));
    let (before, after) = url.split_once("X-Amz-Expires=").expect("a life");
    let prolonged = format!("{before}X-Amz-Expires=9{after}");
    server.put("objects/another", "what nobody gave away").await;
    let another = driver.sign("objects/another", LONG).await.url;
    assert_eq!(plain.get(&another).send().await.expect("GET").status(), StatusCode::OK);
    let (_, query) = url.split_once('?').expect("a query");
    let (path, _) = another.split_once('?').expect("a query");
    let elsewhere = format!("{path}?{query}");
    for (what, tampered) in [("forged", forged), ("prolonged", prolonged), ("elsewhere", elsewhere)] {
        let refused = plain.get(tampered).send().await.expect("GET of a tampered URL");
        let implementation = server.implementation();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{implementation:?} serves what is {what}");
    }
    server.delete("objects/another").await;
}

async fn what_has_expired_is_refused(plain: &Client, driver: &Driver, server: &S3Server) {
    let keys = server.keys("objects/").await;
    let [key] = &keys[..] else { panic!("one blob: {keys:?}") };
    let (short, long) = (driver.sign(key, SHORT).await, driver.sign(key, LONG).await);
    // The server counts in whole seconds.
    let end = short.expires + Duration::from_secs(1);
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
    for (url, expected) in [(short.url, StatusCode::FORBIDDEN), (long.url, StatusCode::PARTIAL_CONTENT)] {
        let answer = plain.get(url).header("range", "bytes=0-9").send().await.expect("GET");
        assert_eq!(answer.status(), expected, "{:?}", server.implementation());
    }
}
