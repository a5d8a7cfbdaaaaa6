//! Listing tags: end-8.

use longshore_end_to_end::client::{OCI_INDEX, manifest_path};
use longshore_end_to_end::{Client, Registry};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{REPOSITORY, code, follow, header, index_of};

async fn page(client: &Client, path: &str) -> (Vec<String>, Option<String>) {
    let response = client.get(path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let link = follow(&response);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["name"], REPOSITORY);
    (serde_json::from_value(body["tags"].clone()).unwrap(), link)
}

async fn tag(client: &Client, tags: &[&str]) {
    for tag in tags {
        client.put_manifest(REPOSITORY, tag, OCI_INDEX, index_of(&[])).await.unwrap();
    }
}

#[tokio::test]
async fn every_tag_is_listed_once_in_order_for_any_page_size() {
    let registry = Registry::start().await;
    let client = registry.client();
    let mut tags = ["a", "a-b", "a.b", "a0", "A", "_x", "0.1.2", "0.1.20", "0.1", "z", "a_b", "latest"];
    tag(&client, &tags).await;
    tags.sort_unstable();
    assert_eq!(page(&client, &format!("/v2/{REPOSITORY}/tags/list")).await.0, tags);
    for size in 1..=tags.len() + 1 {
        let mut seen = Vec::new();
        let mut path = format!("/v2/{REPOSITORY}/tags/list?n={size}");
        loop {
            let (page, link) = page(&client, &path).await;
            assert!(page.len() <= size);
            seen.extend(page);
            let Some(next) = link else { break };
            path = next;
        }
        assert_eq!(seen, tags, "pages of {size}");
    }
}

#[tokio::test]
async fn head_tells_the_length_that_get_has() {
    let registry = Registry::start().await;
    let client = registry.client();
    tag(&client, &["a", "b"]).await;
    let subject = longshore_end_to_end::sha256(b"x");
    for path in [
        format!("/v2/{REPOSITORY}/tags/list"),
        format!("/v2/{REPOSITORY}/referrers/{subject}"),
        "/v2/_catalog".to_owned(),
        "/v2/_oci/ext/discover".to_owned(),
        "/v2/unknown/tags/list".to_owned(),
    ] {
        let head = client.request(Method::HEAD, &path).send().await.unwrap();
        let get = client.get(&path).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(header(&head, "content-length"), header(&get, "content-length"), "{path}");
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn last_is_exclusive_and_need_not_exist_and_n_0_is_empty() {
    let registry = Registry::start().await;
    let client = registry.client();
    tag(&client, &["a", "b", "c"]).await;
    let list = |query: &str| format!("/v2/{REPOSITORY}/tags/list?{query}");
    assert_eq!(page(&client, &list("last=a")).await.0, ["b", "c"]);
    assert_eq!(page(&client, &list("last=aa&n=1")).await.0, ["b"]);
    assert_eq!(page(&client, &list("last=z")).await.0, Vec::<String>::new());
    assert_eq!(page(&client, &list("n=0")).await, (vec![], None));
    assert_eq!(page(&client, &list("n=1000000000")).await.0.len(), 3);
    let response = client.get(&list("n=1000000000")).send().await.unwrap();
    assert!(header(&response, "warning").starts_with("299 - \"n is at most 1000"));
    for n in ["-1", "x"] {
        let response = client.get(&list(&format!("n={n}"))).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{n}");
    }
}

#[tokio::test]
async fn a_page_that_ends_with_the_last_tag_has_no_link() {
    let registry = Registry::start().await;
    let client = registry.client();
    tag(&client, &["a", "b", "c", "d"]).await;
    let list = |query: &str| format!("/v2/{REPOSITORY}/tags/list?{query}");
    let next = |last: &str| Some(list(&format!("n=2&last={last}")));
    assert_eq!(page(&client, &list("n=2")).await, (vec!["a".to_owned(), "b".to_owned()], next("b")));
    assert_eq!(page(&client, &list("n=2&last=b")).await, (vec!["c".to_owned(), "d".to_owned()], None));
    assert_eq!(page(&client, &list("n=4")).await.1, None);
    client.request(Method::DELETE, &manifest_path(REPOSITORY, "d")).send().await.unwrap();
    assert_eq!(page(&client, &list("n=3")).await.1, None, "what was deleted makes no page");
}

#[tokio::test]
async fn a_deleted_tag_is_not_listed_and_an_unknown_repository_is_404() {
    let registry = Registry::start().await;
    let client = registry.client();
    tag(&client, &["a", "b"]).await;
    client.request(Method::DELETE, &manifest_path(REPOSITORY, "a")).send().await.unwrap();
    assert_eq!(page(&client, &format!("/v2/{REPOSITORY}/tags/list")).await.0, ["b"]);
    client.request(Method::DELETE, &manifest_path(REPOSITORY, "b")).send().await.unwrap();
    assert_eq!(page(&client, &format!("/v2/{REPOSITORY}/tags/list")).await.0, Vec::<String>::new());
    for unknown in ["no/such/repository", "team"] {
        let response = client.get(&format!("/v2/{unknown}/tags/list")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{unknown}");
        assert_eq!(code(response).await, "NAME_UNKNOWN");
    }
}

#[tokio::test]
async fn a_repository_without_tags_is_known_however_many_lie_below_its_name() {
    let registry = Registry::start().await;
    let client = registry.client();
    for number in 0..20 {
        client.push_blob(&format!("team/{number:02}"), "xy").await.unwrap();
    }
    let status =
        async |name: &str| client.get(&format!("/v2/{name}/tags/list")).send().await.unwrap().status();
    assert_eq!(status("team").await, StatusCode::NOT_FOUND);
    client.push_blob("team", "xy").await.unwrap();
    assert_eq!(status("team").await, StatusCode::OK);
}

#[tokio::test]
async fn repositories_go_to_the_storage_of_their_longest_prefix() {
    use longshore_end_to_end::registry::Storage;
    let storages = vec![Storage::default_one(), Storage::with_prefix("other", "team")];
    let registry = Registry::start_storages(storages).await;
    let client = registry.client();
    client.put_manifest("team/app", "v1", OCI_INDEX, index_of(&[])).await.unwrap();
    client.put_manifest("teams/app", "v1", OCI_INDEX, index_of(&[])).await.unwrap();
    let here = registry.kept().names("repositories").await;
    assert!(here.contains("teams") && !here.contains("team"), "{here:?}");
    let body: Value = json!({"name": "team/app", "tags": ["v1"]});
    let listed: Value = client.get("/v2/team/app/tags/list").send().await.unwrap().json().await.unwrap();
    assert_eq!(listed, body);
}
