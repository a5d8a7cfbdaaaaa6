//! Stores that the driver makes by itself: in a container that is empty, and in no other.

use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::{Process, SwiftServer, scratch};
use tempfile::TempDir;

use crate::container::{driver_command, started};

const STORE_ID: &str = ".driver/store-id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_made_in_an_empty_container_once_and_beside_nothing_else() {
    let server = SwiftServer::start(Flavour::SwiftTempauth).await;
    let sockets = scratch::socket_directory();
    let never = driver(&server, &sockets, "init=never");
    assert!(server.get(STORE_ID).await.is_none());
    drop(never);

    server.put("photos/1.jpeg", "1").await;
    let refused = driver(&server, &sockets, "init=if-empty");
    assert!(refused.log_contains("no store is made: the container is not empty"), "{}", refused.log());
    assert!(server.get(STORE_ID).await.is_none());
    drop(refused);
    server.delete_all().await;

    let first = driver(&server, &sockets, "init=if-empty");
    assert!(first.log_contains("made a new store"), "{}", first.log());
    let id = server.get(STORE_ID).await.expect("a store");
    drop(first);
    let again = driver(&server, &sockets, "init=if-empty");
    assert!(!again.log_contains("made a new store"), "{}", again.log());
    assert_eq!(server.get(STORE_ID).await, Some(id));
}

/// One that has made its store, if it makes one.
fn driver(server: &SwiftServer, sockets: &TempDir, init: &str) -> Process {
    let (mut command, _) = driver_command(server, sockets.path());
    started(command.arg(init))
}
