//! Content types that are missing, or are another thing than what comes.

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST, finish_path, manifest_path};
use longshore_end_to_end::sha256;
use longshore_end_to_end::wire::Request;
use serde_json::json;

use super::Target;
use crate::REPOSITORY;

#[tokio::test]
async fn a_manifest_of_a_wrong_or_without_any_content_type_is_400_manifest_invalid() {
    let target = Target::start().await;
    let bare = Bytes::from(json!({"schemaVersion": 2, "layers": [], "manifests": null}).to_string());
    let put = || Request::new("PUT", &manifest_path(REPOSITORY, "typed"));
    target.refuses(put().body(bare.clone()), 400, "MANIFEST_INVALID").await;
    let long = format!("application/{}+json", "x".repeat(4096));
    for content_type in [
        "",
        ";",
        "text/plain",
        "text/html",
        "image/svg+xml",
        "application/octet-stream",
        "application/json",
        "application/x-www-form-urlencoded",
        "nonsense",
        "a/b/c+json",
        "+json",
        "te xt/x+json",
        "\u{e9}/x+json",
        &long,
        OCI_MANIFEST,
        OCI_INDEX,
    ] {
        let request = put().header("Content-Type", content_type).body(bare.clone());
        target.refuses(request, 400, "MANIFEST_INVALID").await;
    }
    for content_type in [OCI_INDEX, "text/html", "application/json", "application/vnd.other+json", "\u{e9}"] {
        let request = put().header("Content-Type", content_type).body(target.manifest.clone());
        target.refuses(request, 400, "MANIFEST_INVALID").await;
    }
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    target.refuses(put().header("Content-Type", schema1).body(bare), 400, "UNSUPPORTED").await;
    assert_eq!(target.client.get(&manifest_path(REPOSITORY, "typed")).send().await.unwrap().status(), 404);
    // What is good stays so beside parameters (spec, "Pushing Manifests").
    let good = format!("{OCI_MANIFEST}; charset=utf-8");
    let request = Request::new("PUT", &manifest_path(REPOSITORY, super::TAG)).header("Content-Type", good);
    assert_eq!(target.send(request.body(target.manifest.clone())).await.status, 201);
    target.intact().await;
}

#[tokio::test]
async fn a_chunk_is_bytes_whatever_its_content_type_says() {
    let target = Target::start().await;
    let content = Bytes::from_static(b"a=b&c=d");
    for content_type in [None, Some("application/x-www-form-urlencoded"), Some("text/html"), Some("nonsense")]
    {
        let location = target.upload("").await;
        let mut chunk = Request::new("PATCH", &location).body(content.clone());
        chunk.headers.extend(content_type.map(|value| ("Content-Type", value.to_owned())));
        assert_eq!(target.send(chunk).await.status, 202);
        let finish = Request::new("PUT", &finish_path(&location, &sha256(&content)));
        assert_eq!(target.send(finish).await.status, 201);
        assert_eq!(target.client.get_blob(REPOSITORY, &sha256(&content)).await.unwrap(), content);
    }
    target.intact().await;
}
