//! The watermark of free space: below it uploads are refused, and pulls and deletes go on.

use std::time::{Duration, Instant};

use longshore_end_to_end::Client;
use longshore_end_to_end::client::{OCI_MANIFEST, blob_path, image_manifest, manifest_path};
use longshore_end_to_end::loop_disk::LoopDisk;
use longshore_end_to_end::registry::{Registry, Storage};
use reqwest::{Method, StatusCode};

const MIB: usize = 1 << 20;
/// A second between two looks, and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

async fn until_uploads_are(status: StatusCode, client: &Client) {
    let begin = Instant::now();
    loop {
        let response =
            client.request(Method::POST, "/v2/full/app/blobs/uploads/").send().await.expect("an answer");
        if response.status() == status {
            assert_eq!(
                response.headers().contains_key("retry-after"),
                status == StatusCode::SERVICE_UNAVAILABLE
            );
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "still {} and not {status}", response.status());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn below_it_uploads_are_503_and_pulls_and_deletes_go_on_and_above_it_uploads_do_again() {
    let disk = LoopDisk::new(64 * MIB as u64);
    let mark = format!("min_free = {}", 30 * MIB);
    let storage = Storage::default_one().at(disk.path().join("store")).configured(&mark);
    let registry = Registry::start_storages(vec![storage]).await;
    let client = registry.client();
    let digest = client.push_blob("full/app", vec![1_u8; MIB]).await.expect("a push");
    let manifest = image_manifest((&digest, MIB as u64), &[(&digest, MIB as u64)]);
    client.put_manifest("full/app", "v1", OCI_MANIFEST, manifest.clone()).await.expect("a manifest");
    let upload = client.start_upload("full/app").await.expect("an upload");
    let (upload, _) = client.patch(&upload, 0, vec![2_u8; 1000].into()).await.expect("a chunk");

    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![3_u8; 32 * MIB]).expect("a large file");
    until_uploads_are(StatusCode::SERVICE_UNAVAILABLE, &client).await;
    registry.core().await_line("uploads are refused: little space is left", PATIENCE);
    let chunk = client.patch_request(&upload, 1000, vec![2_u8; 1000].into()).send().await.expect("an answer");
    assert_eq!(chunk.status(), 503);
    let put = client.request(Method::PUT, &manifest_path("full/app", "v2"));
    let put =
        put.header("Content-Type", OCI_MANIFEST).body(manifest.clone()).send().await.expect("an answer");
    assert_eq!(put.status(), 503);
    assert!(put.text().await.expect("a body").contains("UNAVAILABLE"));
    assert_eq!(client.get_manifest("full/app", "v1").await.expect("a pull"), manifest);
    client.get_blob("full/app", &digest).await.expect("a pull");
    assert_eq!(client.upload_status(&upload).await.expect("a status").1, 1000);
    for path in [manifest_path("full/app", "v1"), blob_path("full/app", &digest)] {
        let delete = client.request(Method::DELETE, &path).send().await.expect("an answer");
        assert_eq!(delete.status(), 202, "{path}");
    }

    std::fs::remove_file(&ballast).expect("the file goes");
    until_uploads_are(StatusCode::ACCEPTED, &client).await;
    registry.core().await_line("uploads are taken again", PATIENCE);
    client.patch(&upload, 1000, vec![2_u8; 1000].into()).await.expect("the upload goes on");
}
