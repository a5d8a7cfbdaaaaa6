//! Downloads that the store serves itself: the core gives a URL away, and no credentials.

use bytes::Bytes;
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Random, sha256};
use reqwest::StatusCode;
use reqwest::header::LOCATION;

use crate::REPOSITORY;
use crate::bucket::Bucket;

const BLOB: usize = 24 << 20;

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
    let plain = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client that follows nothing");
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

    let (head, signature) = url.split_once("X-Amz-Signature=").expect("a signature");
    let forged = format!("{head}X-Amz-Signature={}", signature.replace(char::is_numeric, "0"));
    let refused = plain.get(forged).send().await.expect("GET of a forged URL");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{implementation:?} serves a forged URL");
}
