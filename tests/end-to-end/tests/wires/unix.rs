//! Listening on a unix socket, and what lies at its path already.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use longshore_end_to_end::registry::CORE;
use longshore_end_to_end::{Client, Process, Registry, scratch};
use reqwest::StatusCode;

use crate::push_and_pull;

/// Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// A core that is told to listen there ends with an error that says this.
fn refused(socket: &Path, data: &Path, why: &str) {
    let mut command = Command::new(scratch::binary(CORE));
    command.args(["serve", "--listen", &format!("unix://{}", socket.display()), "--data"]).arg(data);
    let mut core = Process::spawn(CORE, &mut command);
    assert!(!core.wait(Duration::from_secs(10)).success());
    core.await_line(why, Duration::from_secs(5));
    assert!(!data.exists(), "no driver was started for it");
}

#[tokio::test]
async fn push_and_pull_over_a_unix_socket_beside_tcp() {
    let sockets = scratch::socket_directory();
    let path = sockets.path().join("run/http.sock");
    let config =
        format!("listen = ['127.0.0.1:0', 'unix://{}']\nlisten_socket_mode = '0600'", path.display());
    let mut registry = Registry::start_listening(&config, None).await;
    let urls = registry.urls();
    assert_eq!(urls[1], format!("unix://{}", path.display()));
    assert_eq!(std::fs::metadata(&path).expect("the socket").mode() & 0o777, 0o600);
    let client = Client::new(&urls[1]);
    push_and_pull(&client, "unix/socket").await;
    let digest = client.push_blob("unix/socket", "both").await.expect("push");
    let seen = registry.client().head_blob("unix/socket", &digest).await.expect("HEAD over TCP");
    assert_eq!(seen.status(), StatusCode::OK);
    registry.stop_core(Duration::from_secs(15));
    assert!(!path.exists(), "the socket goes with the registry");
}

#[tokio::test]
async fn a_socket_that_a_killed_registry_left_is_replaced() {
    let sockets = scratch::socket_directory();
    let path = sockets.path().join("http.sock");
    let config = format!("listen = ['127.0.0.1:0', 'unix://{}']", path.display());
    let mut registry = Registry::start_listening(&config, None).await;
    registry.kill_core();
    assert!(path.exists(), "a killed registry can't tidy up");
    registry.start_core();
    registry.await_ready(Duration::from_secs(10)).await;
    push_and_pull(&Client::new(&registry.urls()[1]), "unix/again").await;
}

#[test]
fn a_socket_in_use_is_refused_and_left() {
    let (sockets, data) = (scratch::socket_directory(), scratch::data_directory());
    let path = sockets.path().join("http.sock");
    let other = UnixListener::bind(&path).expect("bind");
    let inode = std::fs::metadata(&path).expect("the socket").ino();
    refused(&path, &data.path().join("data"), "another process listens at");
    assert_eq!(std::fs::metadata(&path).expect("the socket").ino(), inode);
    drop(other);
}

#[test]
fn a_file_that_is_no_socket_is_refused_and_left() {
    let (sockets, data) = (scratch::socket_directory(), scratch::data_directory());
    let path = sockets.path().join("http.sock");
    std::fs::write(&path, "precious").expect("write");
    refused(&path, &data.path().join("data"), "exists and is no socket");
    assert_eq!(std::fs::read(&path).expect("read"), b"precious");
}

#[test]
fn a_socket_of_another_user_is_refused_and_left() {
    let (sockets, data) = (scratch::socket_directory(), scratch::data_directory());
    let path = sockets.path().join("http.sock");
    drop(UnixListener::bind(&path).expect("bind"));
    std::os::unix::fs::chown(&path, Some(NOBODY), None).expect("chown, as root");
    refused(&path, &data.path().join("data"), "belongs to user 65534");
    assert_eq!(std::fs::metadata(&path).expect("the socket").uid(), NOBODY);
}

#[test]
fn a_directory_that_everyone_may_write_to_is_refused() {
    let (sockets, data) = (scratch::socket_directory(), scratch::data_directory());
    let open = sockets.path().join("open");
    std::fs::create_dir(&open).expect("mkdir");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("chmod");
    refused(&open.join("http.sock"), &data.path().join("data"), "writable by everyone");
}
