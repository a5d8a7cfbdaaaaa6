//! Listing referrers: end-12.

use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST, manifest_path};
use longshore_end_to_end::{Client, Registry, sha256};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{REPOSITORY, header, push_image};

async fn referrers(client: &Client, subject: &str, query: &str) -> (Value, String) {
    let response = client.get(&format!("/v2/{REPOSITORY}/referrers/{subject}{query}")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), OCI_INDEX);
    let filters = header(&response, "oci-filters-applied").to_owned();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    (body["manifests"].clone(), filters)
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_gone_with_their_manifest() {
    let registry = Registry::start().await;
    let client = registry.client();
    let subject = push_image(&client, REPOSITORY, "v1", "layer").await;
    let digest = sha256(&subject);
    assert_eq!(referrers(&client, &digest, "").await.0, json!([]));
    let config = client.push_blob(REPOSITORY, "{}").await.unwrap();
    let mut pushed = Vec::new();
    for kind in ["application/vnd.example.sbom", "application/vnd.example.signature"] {
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind, "layers": [],
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "annotations": {"kind": kind},
            "subject": {"mediaType": OCI_MANIFEST, "digest": digest, "size": subject.len()}})
            .to_string();
        let own = sha256(manifest.as_bytes());
        let response = client.put_manifest(REPOSITORY, &own, OCI_MANIFEST, manifest).await.unwrap();
        assert_eq!(header(&response, "oci-subject"), digest);
        pushed.push(own);
    }
    let (all, filters) = referrers(&client, &digest, "").await;
    assert_eq!((all.as_array().unwrap().len(), filters.as_str()), (2, ""));
    let (some, filters) = referrers(&client, &digest, "?artifactType=application/vnd.example.sbom").await;
    assert_eq!(filters, "artifactType");
    assert_eq!(some[0]["digest"], pushed[0]);
    assert_eq!(some[0]["annotations"]["kind"], "application/vnd.example.sbom");
    assert_eq!(some.as_array().unwrap().len(), 1);
    client.request(Method::DELETE, &manifest_path(REPOSITORY, &pushed[0])).send().await.unwrap();
    let (left, _) = referrers(&client, &digest, "").await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["digest"], pushed[1]);
}

#[tokio::test]
async fn a_subject_may_be_missing_and_a_bad_digest_is_400() {
    let registry = Registry::start().await;
    let client = registry.client();
    assert_eq!(referrers(&client, &sha256(b"nothing"), "").await.0, json!([]));
    let response = client.get(&format!("/v2/{REPOSITORY}/referrers/sha256:zz")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}
