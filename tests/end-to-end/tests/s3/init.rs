//! Stores that the driver makes by itself: in a bucket that is empty, and in no other.

use bytes::Bytes;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Process, S3Server, scratch};
use tempfile::TempDir;

use crate::bucket::{driver_command, started};

const STORE_ID: &str = ".driver/store-id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_made_in_an_empty_bucket_once() {
    let server = S3Server::start(Implementation::Versitygw).await;
    let sockets = scratch::socket_directory();
    let never = driver(&server, &sockets, "init=never");
    assert!(server.get(STORE_ID).await.is_none());
    drop(never);

    let first = driver(&server, &sockets, "init=if-empty");
    assert!(first.log_contains("made a new store"), "{}", first.log());
    let id = server.get(STORE_ID).await.expect("a store");
    drop(first);
    let again = driver(&server, &sockets, "init=if-empty");
    assert!(!again.log_contains("made a new store"), "{}", again.log());
    assert_eq!(server.get(STORE_ID).await, Some(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_store_is_made_beside_what_somebody_else_keeps() {
    let server = S3Server::start(Implementation::Versitygw).await;
    let sockets = scratch::socket_directory();
    server.put("photos/1.jpeg", Bytes::from_static(b"1")).await;
    let refused = driver(&server, &sockets, "init=if-empty");
    assert!(refused.log_contains("no store is made: the bucket is not empty"), "{}", refused.log());
    assert!(server.get(STORE_ID).await.is_none());
}

/// One that has made its store, if it makes one.
fn driver(server: &S3Server, sockets: &TempDir, init: &str) -> Process {
    let (mut command, _) = driver_command(server, sockets.path(), server.bucket());
    started(command.arg(init))
}
