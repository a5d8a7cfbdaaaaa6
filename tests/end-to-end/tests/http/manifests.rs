//! Pushing, pulling and deleting manifests: end-3, end-7, end-9.

use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST, image_manifest, manifest_path};
use longshore_end_to_end::{Registry, sha256};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::{REPOSITORY, code, header, index_of, push_image, sha512};

async fn put(
    registry: &Registry,
    reference: &str,
    media_type: Option<&str>,
    body: impl Into<bytes::Bytes>,
) -> Response {
    let request =
        registry.client().request(Method::PUT, &manifest_path(REPOSITORY, reference)).body(body.into());
    let request =
        if let Some(media_type) = media_type { request.header("Content-Type", media_type) } else { request };
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "v1", "layer").await;
    for reference in ["v1", &sha256(&manifest)] {
        let response = client.get(&manifest_path(REPOSITORY, reference)).send().await.unwrap();
        assert_eq!(header(&response, "content-type"), OCI_MANIFEST);
        assert_eq!(header(&response, "docker-content-digest"), sha256(&manifest));
        assert_eq!(response.bytes().await.unwrap(), manifest);
        let response =
            client.request(Method::HEAD, &manifest_path(REPOSITORY, reference)).send().await.unwrap();
        assert_eq!(header(&response, "content-length"), manifest.len().to_string());
    }
}

#[tokio::test]
async fn a_manifest_may_be_pushed_by_digest_also_of_sha512() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "v1", "layer").await;
    for digest in [sha256(&manifest), sha512(&manifest)] {
        let response = put(&registry, &digest, Some(OCI_MANIFEST), manifest.clone()).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "location"), manifest_path(REPOSITORY, &digest));
        assert_eq!(client.get_manifest(REPOSITORY, &digest).await.unwrap(), manifest);
    }
    let response = put(&registry, &sha256(b"another"), Some(OCI_MANIFEST), manifest).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "DIGEST_INVALID");
}

#[tokio::test]
async fn several_tags_may_be_set_at_once_up_to_64() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "v1", "layer").await;
    for (digest, count) in [(sha256(&manifest), 2), (sha256(&manifest), 64), (sha512(&manifest), 10)] {
        let tags: Vec<_> = (0..count).map(|number| format!("t{count}-{number}")).collect();
        let reference = format!("{digest}?tag={}", tags.join("&tag="));
        let response = put(&registry, &reference, Some(OCI_MANIFEST), manifest.clone()).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "docker-content-digest"), digest);
        let told: Vec<_> =
            response.headers().get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap()).collect();
        assert_eq!(told, tags);
        for tag in tags {
            let response = client.get(&manifest_path(REPOSITORY, &tag)).send().await.unwrap();
            assert_eq!(header(&response, "docker-content-digest"), digest);
            assert_eq!(response.bytes().await.unwrap(), manifest);
        }
    }
    let reference = format!("{}?{}", sha256(&manifest), "tag=x&".repeat(65));
    let response = put(&registry, &reference, Some(OCI_MANIFEST), manifest).await;
    assert_eq!(response.status(), StatusCode::URI_TOO_LONG);
    assert_eq!(code(response).await, "MANIFEST_INVALID");
    let response = client.get(&manifest_path(REPOSITORY, "x")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND, "none of too many tags is set");
}

#[tokio::test]
async fn an_index_needs_its_children() {
    let registry = Registry::start().await;
    let client = registry.client();
    let child = push_image(&client, REPOSITORY, "amd64", "layer").await;
    let response = put(&registry, "multi", Some(OCI_INDEX), index_of(&[&child])).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let stranger = bytes::Bytes::from_static(b"{}");
    let response = put(&registry, "multi", Some(OCI_INDEX), index_of(&[&child, &stranger])).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(
        client.get_manifest(REPOSITORY, "multi").await.unwrap(),
        index_of(&[&child]),
        "the tag is as it was"
    );
}

#[tokio::test]
async fn missing_blobs_are_all_named_unless_they_may_be_missing() {
    let registry = Registry::start().await;
    let (one, two) = (sha256(b"one"), sha256(b"two"));
    let manifest = image_manifest((&one, 3), &[(&two, 3)]);
    let response = put(&registry, "v1", Some(OCI_MANIFEST), manifest.clone()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let text = response.text().await.unwrap();
    assert!(text.contains("MANIFEST_BLOB_UNKNOWN") && text.contains(&one) && text.contains(&two), "{text}");

    let registry = Registry::start_with_config("[manifests]\nallow_missing_references = true\n").await;
    let response = put(&registry, "v1", Some(OCI_MANIFEST), manifest).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let warning = header(&response, "warning");
    assert!(warning.starts_with("299 - \"") && warning.ends_with('"'), "{warning}");
    assert!(warning.contains(&one) && warning.contains(&two), "it names what is missing: {warning}");
}

#[tokio::test]
async fn a_warning_of_hundreds_of_missing_blobs_stays_below_4096_bytes() {
    let registry = Registry::start_with_config("[manifests]\nallow_missing_references = true\n").await;
    let digests: Vec<_> = (0..300).map(|number| sha256(format!("{number}").as_bytes())).collect();
    let layers: Vec<_> = digests.iter().map(|digest| (digest.as_str(), 1)).collect();
    let response = put(&registry, "v1", Some(OCI_MANIFEST), image_manifest(layers[0], &layers)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let warning = header(&response, "warning");
    assert!(warning.contains(" 300 of what it names") && warning.len() <= 4096, "{}", warning.len());
}

#[tokio::test]
async fn a_client_that_has_the_manifest_gets_304_until_the_tag_moves() {
    let registry = Registry::start().await;
    let client = registry.client();
    let old = push_image(&client, REPOSITORY, "v1", "old").await;
    let ask = |method: Method, reference: &str, tag: &str| {
        let request = client.request(method, &manifest_path(REPOSITORY, reference));
        request.header("If-None-Match", tag).send()
    };
    let digest = sha256(&old);
    let response = client.get(&manifest_path(REPOSITORY, "v1")).send().await.unwrap();
    let tag = header(&response, "etag").to_owned();
    assert_eq!(tag, format!("\"{digest}\""));
    for reference in ["v1", &digest] {
        for wanted in [&tag, "*", &format!("\"other\", W/{tag}")] {
            for method in [Method::GET, Method::HEAD] {
                let response = ask(method, reference, wanted).await.unwrap();
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{reference} {wanted}");
                assert_eq!(header(&response, "etag"), tag);
                assert_eq!(header(&response, "docker-content-digest"), digest);
                assert!(response.bytes().await.unwrap().is_empty());
            }
        }
    }
    assert_eq!(ask(Method::GET, "v1", "\"other\"").await.unwrap().status(), StatusCode::OK);
    assert_eq!(ask(Method::GET, "unknown", "*").await.unwrap().status(), StatusCode::NOT_FOUND);
    let new = push_image(&client, REPOSITORY, "v1", "new").await;
    let response = ask(Method::GET, "v1", &tag).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.bytes().await.unwrap(), new);
}

#[tokio::test]
async fn a_proxy_parameter_is_ignored_on_pulls() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "v1", "layer").await;
    let layer = sha256(b"layer");
    for path in [manifest_path(REPOSITORY, "v1"), longshore_end_to_end::client::blob_path(REPOSITORY, &layer)]
    {
        let response = client.get(&format!("{path}?ns=docker.io")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "oci-namespace"), "", "the request was not scoped by it");
    }
    assert_eq!(client.get_manifest(REPOSITORY, "v1?ns=docker.io").await.unwrap(), manifest);
}

#[tokio::test]
async fn a_blob_of_another_repository_is_missing_here() {
    let registry = Registry::start().await;
    let elsewhere = registry.client().push_blob("other/app", "secret").await.unwrap();
    let response = put(&registry, "v1", Some(OCI_MANIFEST), image_manifest((&elsewhere, 6), &[])).await;
    assert_eq!(code(response).await, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn docker_schema_2_and_lists_are_taken_and_schema_1_is_not() {
    let registry = Registry::start().await;
    let client = registry.client();
    let config = client.push_blob(REPOSITORY, "{}").await.unwrap();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let image = json!({"schemaVersion": 2, "mediaType": docker, "layers": [],
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config, "size": 2}});
    assert_eq!(put(&registry, "v2", Some(docker), image.to_string()).await.status(), StatusCode::CREATED);
    let list_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    let child = json!({"mediaType": docker, "digest": sha256(image.to_string().as_bytes()), "size": image.to_string().len()});
    let list = json!({"schemaVersion": 2, "mediaType": list_type, "manifests": [child]});
    assert_eq!(put(&registry, "list", Some(list_type), list.to_string()).await.status(), StatusCode::CREATED);
    let schema1 = json!({"schemaVersion": 1, "name": "x", "tag": "y"}).to_string();
    let response =
        put(&registry, "v1", Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), schema1)
            .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "UNSUPPORTED");
}

#[tokio::test]
async fn what_two_clients_could_take_for_two_things_is_refused() {
    let registry = Registry::start().await;
    let both = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": []}).to_string();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
    let bare = json!({"schemaVersion": 2, "manifests": []}).to_string();
    for (body, media_type) in
        [(&both, Some(OCI_INDEX)), (&index, Some(OCI_MANIFEST)), (&bare, None), (&bare, Some(OCI_MANIFEST))]
    {
        let response = put(&registry, "v1", media_type, body.clone()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body} as {media_type:?}");
        assert_eq!(code(response).await, "MANIFEST_INVALID");
    }
    let parameters = format!("{OCI_INDEX}; charset=utf-8");
    assert_eq!(put(&registry, "v1", Some(&parameters), index).await.status(), StatusCode::CREATED);
    let response = registry.client().get(&manifest_path(REPOSITORY, "v1")).send().await.unwrap();
    assert_eq!(header(&response, "content-type"), OCI_INDEX, "served without parameters");
}

#[tokio::test]
async fn a_manifest_of_4_mib_is_taken_and_a_larger_one_is_413() {
    let registry = Registry::start().await;
    let config = registry.client().push_blob(REPOSITORY, "{}").await.unwrap();
    let sized = |size: usize| {
        let bare = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "annotations": {"x": ""},
            "config": {"mediaType": "application/json", "digest": config, "size": 2}});
        let text = bare.to_string();
        text.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "y".repeat(size - text.len())))
    };
    let limit = 4 * 1024 * 1024;
    assert_eq!(put(&registry, "full", Some(OCI_MANIFEST), sized(limit)).await.status(), StatusCode::CREATED);
    assert_eq!(registry.client().get_manifest(REPOSITORY, "full").await.unwrap().len(), limit);
    let response = put(&registry, "over", Some(OCI_MANIFEST), sized(limit + 1)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(code(response).await, "MANIFEST_INVALID");
}

#[tokio::test]
async fn a_deleted_tag_leaves_the_manifest() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "v1", "layer").await;
    let delete = || client.request(Method::DELETE, &manifest_path(REPOSITORY, "v1")).send();
    assert_eq!(delete().await.unwrap().status(), StatusCode::ACCEPTED);
    let response = delete().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(code(response).await, "MANIFEST_UNKNOWN");
    assert_eq!(client.get_manifest(REPOSITORY, &sha256(&manifest)).await.unwrap(), manifest);
}

#[tokio::test]
async fn a_deleted_manifest_takes_the_tags_that_still_point_at_it() {
    let registry = Registry::start().await;
    let client = registry.client();
    let old = push_image(&client, REPOSITORY, "moved", "old").await;
    push_image(&client, REPOSITORY, "stays", "old").await;
    let new = push_image(&client, REPOSITORY, "moved", "new").await;
    let response =
        client.request(Method::DELETE, &manifest_path(REPOSITORY, &sha256(&old))).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let status = async |reference: &str| {
        client.get(&manifest_path(REPOSITORY, reference)).send().await.unwrap().status()
    };
    assert_eq!(status(&sha256(&old)).await, StatusCode::NOT_FOUND);
    assert_eq!(status("stays").await, StatusCode::NOT_FOUND);
    assert_eq!(client.get_manifest(REPOSITORY, "moved").await.unwrap(), new);
    push_image(&client, REPOSITORY, "stays", "old").await;
    assert_eq!(status("stays").await, StatusCode::OK, "a re-push brings it back");
}

#[tokio::test]
async fn pushes_and_deletes_that_cross_leave_every_acknowledged_push_or_its_later_delete() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "race", "layer").await;
    let digest = sha256(&manifest);
    for _ in 0..60 {
        let push = put(&registry, "race", Some(OCI_MANIFEST), manifest.clone());
        let delete = client.request(Method::DELETE, &manifest_path(REPOSITORY, &digest)).send();
        let (pushed, deleted) = tokio::join!(push, delete);
        assert_eq!(pushed.status(), StatusCode::CREATED);
        assert!([202, 404].contains(&deleted.unwrap().status().as_u16()));
        let by_tag = client.get(&manifest_path(REPOSITORY, "race")).send().await.unwrap().status();
        let tags =
            client.get(&format!("/v2/{REPOSITORY}/tags/list")).send().await.unwrap().text().await.unwrap();
        assert_eq!(
            by_tag == StatusCode::OK,
            tags.contains("race"),
            "a tag is listed exactly when it leads to a manifest"
        );
    }
}
