//! Listing referrers: end-12.

use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST, manifest_path};
use longshore_end_to_end::{Client, Registry, sha256};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{REPOSITORY, follow, header, push_image};

/// An artifact that refers to `subject`, with an annotation of this text.
fn artifact(subject: &str, config: &str, kind: &str, annotation: &str) -> String {
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind, "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "annotations": {"text": annotation},
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7}});
    manifest.to_string()
}

/// The digests of every page, the number of pages, and the largest of them in bytes.
async fn pages(client: &Client, subject: &str, query: &str) -> (Vec<String>, usize, usize) {
    let (mut digests, mut count, mut largest) = (Vec::new(), 0, 0);
    let mut path = Some(format!("/v2/{REPOSITORY}/referrers/{subject}{query}"));
    while let Some(next) = path {
        let response = client.get(&next).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{next}");
        assert_eq!(header(&response, "oci-filters-applied").is_empty(), !next.contains("artifactType"));
        path = follow(&response);
        let text = response.text().await.unwrap();
        (count, largest) = (count + 1, largest.max(text.len()));
        let body: Value = serde_json::from_str(&text).unwrap();
        digests.extend(
            body["manifests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["digest"].as_str().unwrap().to_owned()),
        );
    }
    (digests, count, largest)
}

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

#[tokio::test]
async fn referrers_come_in_pages_with_and_without_a_filter() {
    let registry = Registry::start().await;
    let client = registry.client();
    let config = client.push_blob(REPOSITORY, "{}").await.unwrap();
    let subject = sha256(b"a subject that is not here");
    let (mut all, mut boms) = (Vec::new(), Vec::new());
    for number in 0..70 {
        let kind = if number % 10 == 0 { "application/vnd.example.sbom+json" } else { "application/other" };
        let manifest = artifact(&subject, &config, kind, &number.to_string());
        let digest = sha256(manifest.as_bytes());
        client.put_manifest(REPOSITORY, &digest, OCI_MANIFEST, manifest).await.unwrap();
        all.push(digest.clone());
        boms.extend((number % 10 == 0).then_some(digest));
    }
    all.sort();
    boms.sort();
    assert_eq!(pages(&client, &subject, "").await.0, all);
    assert_eq!(pages(&client, &subject, "?n=0").await.0, Vec::<String>::new());
    for (size, expected) in [(1, 70), (7, 10), (64, 2), (69, 2), (70, 1), (1000, 1)] {
        let (found, count, _) = pages(&client, &subject, &format!("?n={size}")).await;
        assert_eq!((found, count), (all.clone(), expected), "pages of {size}");
    }
    let filter = "artifactType=application/vnd.example.sbom%2Bjson";
    for (query, expected) in [(format!("?{filter}"), 1), (format!("?n=3&{filter}"), 3)] {
        let (found, count, _) = pages(&client, &subject, &query).await;
        assert_eq!((found, count), (boms.clone(), expected), "{query}");
    }
    let response = client.get(&format!("/v2/{REPOSITORY}/referrers/{subject}?last=x")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_of_referrers_fits_into_a_manifest_of_4_mib() {
    let registry = Registry::start().await;
    let client = registry.client();
    let config = client.push_blob(REPOSITORY, "{}").await.unwrap();
    let subject = sha256(b"heavy");
    let mut all = Vec::new();
    for number in 0..9 {
        let manifest =
            artifact(&subject, &config, "application/heavy", &number.to_string().repeat(1_000_000));
        all.push(sha256(manifest.as_bytes()));
        client.put_manifest(REPOSITORY, &all[number], OCI_MANIFEST, manifest).await.unwrap();
    }
    all.sort();
    let (found, count, largest) = pages(&client, &subject, "").await;
    assert_eq!((found, count), (all, 3), "four of a million bytes each in a page");
    assert!(largest <= 4 * 1024 * 1024, "{largest}");
}

#[tokio::test]
async fn what_a_fallback_tag_lists_is_a_referrer_once_if_it_is_here_and_names_the_subject() {
    let registry = Registry::start().await;
    let client = registry.client();
    let config = client.push_blob(REPOSITORY, "{}").await.unwrap();
    for subject in [sha256(b"subject"), crate::sha512(b"subject")] {
        let artifacts: Vec<_> =
            (0..5).map(|number| artifact(&subject, &config, "application/x", &number.to_string())).collect();
        let strange = artifact(&sha256(b"another subject"), &config, "application/x", "");
        for manifest in artifacts.iter().chain([&strange]) {
            let digest = sha256(manifest.as_bytes());
            client.put_manifest(REPOSITORY, &digest, OCI_MANIFEST, manifest.clone()).await.unwrap();
        }
        let mut digests: Vec<_> = artifacts.iter().map(|manifest| sha256(manifest.as_bytes())).collect();
        // As in a store that was written before there were entries: two of them are known by the tag alone.
        for digest in &digests[..2] {
            let (algorithm, value) = subject.split_once(':').unwrap();
            let entries = format!("repositories/{REPOSITORY}/_referrers/{algorithm}/{value}");
            registry.kept().remove(&format!("{entries}/{}", digest.replace(':', "-"))).await;
        }
        let listed: Vec<_> =
            artifacts[..3].iter().chain([&strange]).cloned().map(bytes::Bytes::from).collect();
        let listed: Vec<_> = listed.iter().collect();
        let tag: String = subject.replace(':', "-").chars().take("sha256-".len() + 64).collect();
        digests.sort();
        assert_eq!(pages(&client, &subject, "").await.0.len(), 3, "without the tag");
        client.put_manifest(REPOSITORY, &tag, OCI_INDEX, crate::index_of(&listed)).await.unwrap();
        assert_eq!(pages(&client, &subject, "").await.0, digests);
        for size in 1..=5 {
            assert_eq!(pages(&client, &subject, &format!("?n={size}")).await.0, digests, "pages of {size}");
        }
        let (found, _) = referrers(&client, &subject, "?artifactType=application/x").await;
        assert_eq!(found.as_array().unwrap().len(), 5);
        assert!(
            found.as_array().unwrap().iter().all(|one| one["annotations"]["text"].is_string()),
            "{found}"
        );
        let gone = sha256(artifacts[0].as_bytes());
        client.request(Method::DELETE, &manifest_path(REPOSITORY, &gone)).send().await.unwrap();
        digests.retain(|digest| *digest != gone);
        assert_eq!(pages(&client, &subject, "").await.0, digests, "what is deleted is listed no more");
    }
}

#[tokio::test]
async fn a_fallback_tag_that_is_no_index_changes_nothing() {
    let registry = Registry::start().await;
    let client = registry.client();
    let subject = sha256(b"subject");
    push_image(&client, REPOSITORY, &subject.replace(':', "-"), "layer").await;
    assert_eq!(referrers(&client, &subject, "").await.0, json!([]));
}
