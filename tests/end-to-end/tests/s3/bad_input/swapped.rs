//! A bucket in whose place there is another store's.

use std::fs;

use longshore_end_to_end::servers::Implementation;
use reqwest::StatusCode;

use super::PATIENCE;
use crate::REPOSITORY;
use crate::bucket::Bucket;
use longshore_end_to_end::image::Image;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_was_swapped_is_not_believed_until_it_is_put_back() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("").await;
    let image = Image::push(&registry.client()).await;
    bucket.server.create_bucket("other").await;
    let other = bucket.driver_with("other", |command| {
        command.arg("bucket=other");
    });
    other.init();
    let others = Image::push_small(&other.core("").await.client(), "1").await;

    // As a mount or a link that was mixed up does it: versitygw's buckets are directories.
    let objects = bucket.server.directory().join("objects");
    let exchange = || {
        let (ours, theirs, aside) = (objects.join("registry"), objects.join("other"), objects.join("aside"));
        for (from, to) in [(&ours, &aside), (&theirs, &ours), (&aside, &theirs)] {
            fs::rename(from, to).expect("rename a bucket");
        }
    };
    exchange();
    // What was looked at within the last second is believed for so long.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let client = registry.client();
    let answer = client.get(&format!("/v2/{REPOSITORY}/manifests/absent")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "another store says what is absent here");
    let line = registry.core().await_line("is not the store that it was", PATIENCE);
    assert!(line.contains("BACKEND_UNAVAILABLE") && line.contains("bring the old one back"), "{line}");
    let pushed = client.push_blob(REPOSITORY, "into the wrong bucket").await.expect_err("a push");
    assert_eq!(pushed.status(), Some(StatusCode::SERVICE_UNAVAILABLE), "{pushed}");

    exchange();
    image.is_served_again(&registry).await;
    drop(registry);
    others.is_served_again(&other.core("").await).await;
}
