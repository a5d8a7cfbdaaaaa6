//! Read-only mode: pulls go on, and nothing is written.

use longshore_end_to_end::client::{OCI_MANIFEST, blob_path, image_manifest, manifest_path};
use longshore_end_to_end::registry::Registry;
use longshore_end_to_end::sha256;
use reqwest::Method;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let content = std::fs::read(&path).expect("a file");
                found.push((path, content));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn pulls_go_on_while_pushes_and_deletes_are_refused_and_no_file_changes() {
    let mut registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob("calm/app", "a blob").await.expect("a push");
    let manifest = image_manifest((&digest, 6), &[(&digest, 6)]);
    client.put_manifest("calm/app", "v1", OCI_MANIFEST, manifest.clone()).await.expect("a manifest");
    let upload = client.start_upload("calm/app").await.expect("an upload");
    registry.stop_core(Duration::from_secs(30));
    let before = files(registry.store());
    registry.set_environment("LONGSHORE_READ_ONLY", "true");
    registry.start_core();
    registry.await_ready(Duration::from_secs(10)).await;

    let client = registry.client();
    assert_eq!(client.get_manifest("calm/app", "v1").await.expect("a pull"), manifest);
    client.get_blob("calm/app", &digest).await.expect("a pull");
    assert_eq!(client.head_blob("calm/app", &digest).await.expect("an answer").status(), 200);
    let (blob, tag) = (blob_path("calm/app", &digest), manifest_path("calm/app", "v1"));
    let other = manifest_path("calm/app", &sha256(&manifest));
    for (method, path) in [
        (Method::POST, "/v2/calm/app/blobs/uploads/"),
        (Method::PATCH, &upload),
        (Method::DELETE, &upload),
        (Method::PUT, &tag),
        (Method::DELETE, &tag),
        (Method::DELETE, &other),
        (Method::DELETE, &blob),
    ] {
        let response = client.request(method.clone(), path).send().await.expect("an answer");
        assert_eq!(response.status(), 405, "{method} {path}");
        assert_eq!(response.headers()["allow"], "GET, HEAD");
        let body = response.text().await.expect("a body");
        assert!(body.contains("UNSUPPORTED") && body.contains("read-only"), "{body}");
    }
    registry.stop_core(Duration::from_secs(30));
    assert!(before == files(registry.store()), "a file was changed");
}
