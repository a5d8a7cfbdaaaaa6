//! Pulling and deleting blobs: end-2, end-10; mounting: end-11.

use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::{Registry, sha256};
use reqwest::{Method, StatusCode};

use crate::{REPOSITORY, code, header};

const CONTENT: &str = "0123456789abcdefghij";

#[tokio::test]
async fn a_blob_is_served_with_its_digest_and_length() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    let response = client.head_blob(REPOSITORY, &digest).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-length"), "20");
    assert_eq!(header(&response, "docker-content-digest"), digest);
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), CONTENT);
}

#[tokio::test]
async fn an_unknown_blob_is_404_with_its_code_and_digest() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = sha256(b"nobody pushed this");
    assert_eq!(client.head_blob(REPOSITORY, &digest).await.unwrap().status(), StatusCode::NOT_FOUND);
    let response = client.get(&blob_path(REPOSITORY, &digest)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(code(response).await, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn ranges_are_served_cut_or_refused() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    for (range, body, content_range) in [
        ("bytes=5-9", "56789", "bytes 5-9/20"),
        ("bytes=15-", "fghij", "bytes 15-19/20"),
        ("bytes=-3", "hij", "bytes 17-19/20"),
        ("bytes=18-90", "ij", "bytes 18-19/20"),
        ("bytes=0-0", "0", "bytes 0-0/20"),
    ] {
        let response = client.get_blob_range(REPOSITORY, &digest, range).await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(header(&response, "content-range"), content_range);
        assert_eq!(response.text().await.unwrap(), body, "{range}");
    }
    for range in ["bytes=20-", "bytes=9-5", "bytes=100-200"] {
        let response = client.get_blob_range(REPOSITORY, &digest, range).await.unwrap();
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(header(&response, "content-range"), "bytes */20");
    }
    for range in ["bytes=0-1,3-4", "lines=0-1", "bytes=x-"] {
        let response = client.get_blob_range(REPOSITORY, &digest, range).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{range}: a range that is not understood is ignored");
        assert_eq!(response.text().await.unwrap(), CONTENT);
    }
}

#[tokio::test]
async fn a_client_that_has_the_blob_gets_304() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    for method in [Method::GET, Method::HEAD] {
        let request = client.request(method, &blob_path(REPOSITORY, &digest));
        let request = request.header("If-None-Match", format!("\"{digest}\""));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_here_and_stays_elsewhere() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    client.push_blob("other/app", CONTENT).await.unwrap();
    let delete = || client.request(Method::DELETE, &blob_path(REPOSITORY, &digest)).send();
    assert_eq!(delete().await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(client.head_blob(REPOSITORY, &digest).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(delete().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(client.get_blob("other/app", &digest).await.unwrap(), CONTENT);
    client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), CONTENT, "a re-push brings it back");
}

#[tokio::test]
async fn a_blob_deleted_everywhere_can_be_pushed_again() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    for _ in 0..3 {
        let response = client.request(Method::DELETE, &blob_path(REPOSITORY, &digest)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        client.push_blob(REPOSITORY, CONTENT).await.unwrap();
        assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), CONTENT);
    }
}

#[tokio::test]
async fn a_layer_in_two_repositories_is_stored_once() {
    let registry = Registry::start().await;
    let client = registry.client();
    client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    client.push_blob("other/app", CONTENT).await.unwrap();
    assert_eq!(registry.kept().blobs().await, 1, "one object serves both repositories");
}

#[tokio::test]
async fn a_mount_needs_no_bytes_and_one_that_fails_is_an_upload() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    let mount = |digest: &str, from: &str| {
        client
            .request(Method::POST, &format!("/v2/other/app/blobs/uploads/?mount={digest}&from={from}"))
            .send()
    };
    let response = mount(&digest, REPOSITORY).await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&response, "location"), blob_path("other/app", &digest));
    assert_eq!(client.get_blob("other/app", &digest).await.unwrap(), CONTENT);

    let response = mount(&sha256(b"unknown"), REPOSITORY).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "the client is to upload it");
    assert!(header(&response, "location").starts_with("/v2/other/app/blobs/uploads/"));
    let response = mount(&digest, "no/such/repository").await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_mount_without_a_source_finds_one() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob(REPOSITORY, CONTENT).await.unwrap();
    let mount = |repository: &str, digest: &str| {
        client.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/?mount={digest}")).send()
    };
    for repository in ["other/app", REPOSITORY] {
        let response = mount(repository, &digest).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{repository}");
        assert_eq!(header(&response, "location"), blob_path(repository, &digest));
        assert_eq!(header(&response, "docker-content-digest"), digest);
        assert_eq!(client.get_blob(repository, &digest).await.unwrap(), CONTENT);
    }
    let response = mount("other/app", &sha256(b"nowhere")).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "the client is to upload it");
    for repository in [REPOSITORY, "other/app"] {
        client.request(Method::DELETE, &blob_path(repository, &digest)).send().await.unwrap();
    }
    let response = mount("third/app", &digest).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "nobody has it any more");
}

#[tokio::test]
async fn a_mount_between_storages_is_an_upload() {
    use longshore_end_to_end::registry::Storage;
    let storages = vec![Storage::default_one(), Storage::with_prefix("other", "team")];
    let registry = Registry::start_storages(storages).await;
    let client = registry.client();
    let digest = client.push_blob("team/app", CONTENT).await.unwrap();
    for from in ["", "&from=team/app"] {
        let path = format!("/v2/elsewhere/blobs/uploads/?mount={digest}{from}");
        let response = client.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
    }
}
