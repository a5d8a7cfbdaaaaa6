//! The list of repositories: `_catalog`.

use longshore_end_to_end::client::{OCI_INDEX, manifest_path};
use longshore_end_to_end::registry::Storage;
use longshore_end_to_end::{Client, Registry, sha256};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{code, follow, header, index_of};

async fn page(client: &Client, path: &str) -> (Vec<String>, Option<String>) {
    let response = client.get(path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let next = follow(&response);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    (serde_json::from_value(body["repositories"].clone()).unwrap(), next)
}

async fn push(client: &Client, names: &[&str]) {
    for name in names {
        client.put_manifest(name, "v1", OCI_INDEX, index_of(&[])).await.unwrap();
    }
}

#[tokio::test]
async fn every_repository_of_every_storage_is_listed_once_in_order_for_any_page_size() {
    let registry = Registry::start_storages(vec![
        Storage::default_one(),
        Storage::with_prefix("team", "team"),
        Storage::with_prefix("deep", "team/app/deep"),
    ])
    .await;
    let client = registry.client();
    assert_eq!(page(&client, "/v2/_catalog").await, (vec![], None));
    // '/' stands behind every other character: `team-x` is before what lies below `team`.
    let names = [
        "a",
        "b/c",
        "b/c/d",
        "library/x",
        "team-x/y",
        "team",
        "team/app",
        "team/app/deep",
        "team/app/deep/er",
        "team/b",
        "teams",
        "z",
    ];
    push(&client, &names).await;
    let mut sorted = names;
    sorted.sort_by_key(|name| name.replace('/', "~"));
    assert_eq!(page(&client, "/v2/_catalog").await, (sorted.map(str::to_owned).to_vec(), None));
    for size in 1..=names.len() + 1 {
        let mut seen = Vec::new();
        let mut path = Some(format!("/v2/_catalog?n={size}"));
        while let Some(next) = path {
            let (names, link) = page(&client, &next).await;
            assert!(names.len() == size || link.is_none(), "{next}: {names:?}");
            seen.extend(names);
            path = link;
        }
        assert_eq!(seen, sorted, "pages of {size}");
    }
}

#[tokio::test]
async fn a_repository_is_listed_as_long_as_it_holds_a_manifest() {
    let registry = Registry::start().await;
    let client = registry.client();
    client.push_blob("only/a/blob", "xy").await.unwrap();
    push(&client, &["a", "b", "c"]).await;
    assert_eq!(page(&client, "/v2/_catalog").await.0, ["a", "b", "c"]);
    let delete =
        |name: &str| client.request(Method::DELETE, &manifest_path(name, &sha256(&index_of(&[])))).send();
    for name in ["b", "c"] {
        assert_eq!(delete(name).await.unwrap().status(), StatusCode::ACCEPTED);
    }
    assert_eq!(page(&client, "/v2/_catalog?n=1").await, (vec!["a".to_owned()], None), "no page is left");
    push(&client, &["b"]).await;
    assert_eq!(page(&client, "/v2/_catalog").await.0, ["a", "b"], "a push brings it back");
}

#[tokio::test]
async fn last_is_exclusive_and_need_not_exist_and_n_is_cut_with_a_warning() {
    let registry = Registry::start().await;
    let client = registry.client();
    push(&client, &["a", "b", "c"]).await;
    assert_eq!(page(&client, "/v2/_catalog?last=a").await.0, ["b", "c"]);
    assert_eq!(page(&client, "/v2/_catalog?last=aa&n=1").await.0, ["b"]);
    assert_eq!(page(&client, "/v2/_catalog?last=z").await, (vec![], None));
    assert_eq!(page(&client, "/v2/_catalog?n=0").await, (vec![], None));
    let response = client.get("/v2/_catalog?n=1000000000").send().await.unwrap();
    assert!(header(&response, "warning").starts_with("299 - \"n is at most 1000"));
    for (query, expected) in [("n=-1", "UNSUPPORTED"), ("last=../etc", "NAME_INVALID")] {
        let response = client.get(&format!("/v2/_catalog?{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(code(response).await, expected);
    }
}

#[tokio::test]
async fn a_storage_that_is_down_makes_no_catalog_with_a_gap() {
    let storages = vec![Storage::default_one(), Storage::with_prefix("team", "team")];
    let mut registry = Registry::start_storages(storages).await;
    let client = registry.client();
    push(&client, &["a", "team/b"]).await;
    assert_eq!(page(&client, "/v2/_catalog").await.0, ["a", "team/b"]);
    registry.driver().kill();
    let response = client.get("/v2/_catalog").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code(response).await, "UNAVAILABLE");
}
