//! A container that is not there, not yet reached, emptied, or removed under the driver.

use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::client::manifest_path;
use longshore_end_to_end::image::Image;
use longshore_end_to_end::servers::{Flavour, encode};
use longshore_end_to_end::{Process, Registry, SwiftServer, scratch};
use reqwest::{Method, StatusCode};

use super::{NOT_YET, PATIENCE, told};
use crate::REPOSITORY;
use crate::container::{Container, IT_SERVES, driver_command};

/// What was looked at within the last second is believed for so long.
const BELIEVED: Duration = Duration::from_millis(1200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_not_there_is_named_and_used_as_soon_as_it_is() {
    for flavour in [Flavour::SwiftTempauth, Flavour::RgwSwift] {
        let server = SwiftServer::start(flavour).await;
        let sockets = scratch::socket_directory();
        let other = server.in_container("another");
        let (mut command, _) = driver_command(&other, sockets.path());
        let driver = Process::spawn("driver", &mut command);
        let text = "the container another does not exist; make it, or mend `container`";
        let fits = |line: &str| line.contains(NOT_YET) && line.contains(text);
        let line = driver.await_line_where(text, fits, PATIENCE);
        assert!(line.contains("BACKEND_UNAVAILABLE"), "{line}");
        other.create_container().await;
        driver.await_line(IT_SERVES, PATIENCE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let mut container = Container::start(Flavour::SwiftTempauth).await;
    container.server.stop();
    let (mut command, endpoint) = driver_command(&container.server, container.sockets());
    let driver = Process::spawn("driver", &mut command);
    let line = driver.await_line(NOT_YET, PATIENCE);
    assert!(line.contains("can't be reached") && line.contains("refused"), "{line}");
    container.server.start_again().await;
    driver.await_line(IT_SERVES, PATIENCE);
    let registry = Registry::start_over(&format!("[storage.main]\nendpoint = \"{endpoint}\"\n")).await;
    registry.client().push_blob(REPOSITORY, "a blob").await.expect("a push");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_emptied_under_the_driver_is_no_store_in_which_nothing_is() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    let image = Image::push_small(&registry.client(), "1").await;
    let server = &container.server;
    // Segments first, so that each manifest finds its own.
    let mut away = Vec::new();
    for name in server.names("").await {
        let is_blob = name.starts_with("objects/");
        let manifest = if is_blob { server.manifest(&name).await } else { None };
        let content = match manifest {
            Some(manifest) => (put_again(&manifest), "?multipart-manifest=put"),
            None => (server.get(&name).await.expect("an object"), ""),
        };
        away.push((name, content));
    }
    server.delete_all().await;
    tokio::time::sleep(BELIEVED).await;
    let (status, body) = image.refusal(&registry).await;
    assert_eq!(
        status,
        StatusCode::SERVICE_UNAVAILABLE,
        "an emptied container says that nothing is there: {body}"
    );
    told(&registry, "BACKEND_UNAVAILABLE", "is not the store that it was");
    for (name, (content, query)) in away {
        let target = format!("/{}/{}{query}", server.container(), encode(&name, true));
        let put = server.send(Method::PUT, &target, content).await;
        assert!(put.status().is_success(), "{target}: {}", put.status());
    }
    image.is_served_again(&registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_removed_under_the_driver_is_told_and_never_a_404() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    Image::push_small(&client, "1").await;
    container.server.delete_container().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let answer = client.get(&manifest_path(REPOSITORY, "1")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    told(
        &registry,
        "BACKEND_UNAVAILABLE",
        "the container registry does not exist; make it, or mend `container`",
    );
    let pushed = client.push_blob(REPOSITORY, "into nothing").await.expect_err("a push");
    assert_eq!(pushed.status(), Some(StatusCode::SERVICE_UNAVAILABLE), "{pushed}");
}

/// What `multipart-manifest=get` shows, as `multipart-manifest=put` takes it.
fn put_again(manifest: &str) -> Bytes {
    let segments: serde_json::Value = serde_json::from_str(manifest).expect("a manifest");
    let again = segments.as_array().expect("segments").iter().map(|segment| {
        serde_json::json!({"path": segment["name"], "etag": segment["hash"], "size_bytes": segment["bytes"]})
    });
    serde_json::Value::from(again.collect::<Vec<_>>()).to_string().into()
}
