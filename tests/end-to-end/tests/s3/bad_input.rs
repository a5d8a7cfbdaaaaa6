//! What operators get wrong, and what servers do: each is said in one line, and goes away without a restart.

mod clock;
mod credentials;
mod cuts;
mod encryption;
mod ending;
mod lagging;
mod permissions;
mod settings;
mod swapped;
mod throttling;

use std::time::{Duration, Instant};

use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest, manifest_path};
use longshore_end_to_end::servers::{Implementation, S3Server};
use longshore_end_to_end::{Process, Registry, scratch};
use reqwest::StatusCode;

use crate::REPOSITORY;
use crate::bucket::{Bucket, IT_SERVES, driver_command};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_there_is_named_and_used_as_soon_as_it_is() {
    let server = S3Server::start(Implementation::Versitygw).await;
    let sockets = scratch::socket_directory();
    let (mut command, _) = driver_command(&server, sockets.path(), "another-bucket");
    let driver = Process::spawn("driver", &mut command);
    driver.await_line("the bucket does not exist; make it, or mend `bucket`", PATIENCE);
    server.create_bucket("another-bucket").await;
    driver.await_line(IT_SERVES, PATIENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_the_server_refuses_are_told() {
    let server = S3Server::start(Implementation::Versitygw).await;
    let sockets = scratch::socket_directory();
    let (mut command, _) = driver_command(&server, sockets.path(), server.bucket());
    let wrong_secret = Process::spawn("driver", command.env("AWS_SECRET_ACCESS_KEY", "wrong"));
    let line = wrong_secret.await_line("the store can't be used yet", PATIENCE);
    assert!(line.contains("BACKEND_CREDENTIALS") && line.contains("mend the credentials"), "{line}");
    drop(wrong_secret);
    let unknown_key = Process::spawn("driver", command.env("AWS_ACCESS_KEY_ID", "nobody"));
    let line = unknown_key.await_line("the store can't be used yet", PATIENCE);
    assert!(line.contains("BACKEND_CREDENTIALS"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let mut bucket = Bucket::start(Implementation::Versitygw).await;
    bucket.server.stop();
    let (mut command, endpoint) = driver_command(&bucket.server, bucket.sockets(), bucket.server.bucket());
    let driver = Process::spawn("driver", &mut command);
    let line = driver.await_line("the store can't be used yet", PATIENCE);
    assert!(line.contains("can't be reached") && line.contains("refused"), "{line}");
    bucket.server.start_again().await;
    driver.await_line(IT_SERVES, PATIENCE);
    let registry = Registry::start_over(&format!("[storage.main]\nendpoint = \"{endpoint}\"\n")).await;
    registry.client().push_blob(REPOSITORY, "a blob").await.expect("a push");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_was_emptied_is_no_store_in_which_nothing_is() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let config = client.push_blob(REPOSITORY, "{}").await.expect("a configuration");
    let manifest = image_manifest((&config, 2), &[]);
    client.put_manifest(REPOSITORY, "1", OCI_MANIFEST, manifest.clone()).await.expect("a manifest");

    let mut away = Vec::new();
    for key in bucket.server.keys("").await {
        let content = bucket.server.get(&key).await.expect("an object");
        bucket.server.delete(&key).await;
        away.push((key, content));
    }
    // What was looked at within the last second is believed for so long.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let answer = client.get(&manifest_path(REPOSITORY, "1")).send().await.expect("GET");
    assert_eq!(
        answer.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "an emptied bucket says that nothing is there"
    );
    for (key, content) in away {
        bucket.server.put(&key, content).await;
    }
    let begin = Instant::now();
    while client.get_manifest(REPOSITORY, "1").await.ok() != Some(manifest.clone()) {
        assert!(begin.elapsed() < PATIENCE, "it does not serve what came back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
