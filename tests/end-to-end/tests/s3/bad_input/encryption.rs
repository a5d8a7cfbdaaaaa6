//! Objects that the server encrypts, and of a storage class: with a key of KMS an etag is no digest of what was written.

use bytes::Bytes;
use longshore_end_to_end::Random;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::writer::goes_on_exactly;
use reqwest::Method;

use crate::REPOSITORY;
use crate::bucket::{Bucket, no_multipart_upload_is_left};
use longshore_end_to_end::image::Image;

const BLOB: usize = 48 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_encrypts_is_pushed_resumed_and_pulled() {
    let bucket = Bucket::start(Implementation::Rgw).await;
    let kms = ["sse=aws:kms", "sse_kms_key=testkey", "storage_class=STANDARD"];
    is_pushed_resumed_and_pulled(&bucket, "kms", &kms, "aws:kms").await;
    for (name, wrong, said) in [
        ("key", "sse_kms_key=missing", "the server can't use this key of KMS; mend `sse_kms_key`"),
        (
            "class",
            "storage_class=NONE",
            "the server does not take an argument; mend `storage_class` and `sse`",
        ),
        // RGW 16 takes it and does nothing.
        ("sse", "sse=aes256", "NOT_SUPPORTED: the server takes `sse` and does not encrypt"),
    ] {
        let mut driver = bucket.new_driver(name, |command| {
            command.args(["sse=aws:kms", wrong]);
        });
        driver.spawn();
        let line = driver.await_line("the store can't be used yet");
        assert!(line.contains(said), "{line}");
    }
}

/// The store is at a prefix of this name.
async fn is_pushed_resumed_and_pulled(bucket: &Bucket, name: &str, settings: &[&str], how: &str) {
    let mut driver = bucket.driver_with(name, |command| {
        command.arg(format!("prefix={name}")).args(settings);
    });
    driver.init();
    let mut registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;
    let blob = Bytes::from(Random::announced("s3 encrypted").bytes(BLOB));
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let half = BLOB / 2;
    let (location, durable) = client.patch(&location, 0, blob.slice(..half)).await.expect("a first half");
    assert_eq!(durable, half as u64);
    driver.kill();
    driver.start();
    registry.await_ready(super::PATIENCE).await;
    goes_on_exactly(&client, &location, &blob, half).await;
    image.is_served_again(&registry).await;
    registry.stop_core(super::PATIENCE);
    no_multipart_upload_is_left(&bucket.server).await;
    all_are_encrypted(bucket, name, how).await;
}

/// The server says of each object how it lies.
async fn all_are_encrypted(bucket: &Bucket, prefix: &str, expected: &str) {
    let keys = bucket.server.keys(&format!("{prefix}/objects/")).await;
    assert!(!keys.is_empty());
    for key in keys {
        let target = format!("/{}/{key}", bucket.server.bucket());
        let answer = bucket.server.send(Method::HEAD, &target, Bytes::new()).await;
        let how = answer.headers().get("x-amz-server-side-encryption");
        let how = how.and_then(|value| value.to_str().ok());
        assert_eq!(how, Some(expected), "{key}: {answer:?}");
    }
}
