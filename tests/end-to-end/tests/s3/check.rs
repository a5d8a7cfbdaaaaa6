//! `longshore storage check` over a bucket.

use std::process::Command;

use longshore_end_to_end::process::run_command;
use longshore_end_to_end::registry::CORE;
use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::Implementation;

use crate::bucket::Bucket;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_a_bucket_can_do_and_leaves_nothing_in_it() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("checked");
    let before = bucket.server.keys("").await;
    let mut check = Command::new(scratch::binary(CORE));
    let screen = run_command(check.args(["storage", "check", driver.endpoint(), "--size-mib", "40"]));
    for part in [
        "s3.longshore",
        "put_if_absent    yes",
        "put_if_match     yes",
        "delete_if_match  yes",
        "an upload goes on at any core",
        &format!("clients fetch blobs from {}", bucket.server.endpoint()),
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(!screen.contains("Signature"), "a signed URL is good for anyone: {screen}");
    assert_eq!(bucket.server.keys("").await, before);
}
