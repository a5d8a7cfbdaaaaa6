//! Extensions: their discovery, and which of many digests a repository has.

use longshore_end_to_end::client::OCI_MANIFEST;
use longshore_end_to_end::{Client, Registry, sha256};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{REPOSITORY, code, push_image, sha512};

async fn ask(client: &Client, content_type: Option<&str>, body: impl Into<reqwest::Body>) -> Response {
    let path = format!("/v2/{REPOSITORY}/_longshore/content/availability");
    let request = client.request(Method::POST, &path).body(body);
    let request = if let Some(content_type) = content_type {
        request.header("Content-Type", content_type)
    } else {
        request
    };
    request.send().await.unwrap()
}

async fn availability(client: &Client, digests: &[String]) -> Value {
    let response = ask(client, Some("application/json"), json!({"digests": digests}).to_string()).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

#[tokio::test]
async fn extensions_are_discovered_and_each_endpoint_named_is_there() {
    let registry = Registry::start().await;
    let client = registry.client();
    let mut names = Vec::new();
    for path in ["/v2/_oci/ext/discover".to_owned(), format!("/v2/{REPOSITORY}/_oci/ext/discover")] {
        let body: Value = client.get(&path).send().await.unwrap().json().await.unwrap();
        for extension in body["extensions"].as_array().unwrap() {
            assert!(extension["url"].is_string() && extension["description"].is_string());
            names.push(extension["name"].as_str().unwrap().to_owned());
            for endpoint in extension["endpoints"].as_array().unwrap() {
                let response =
                    client.request(Method::OPTIONS, endpoint.as_str().unwrap()).send().await.unwrap();
                assert_eq!(
                    response.status(),
                    StatusCode::METHOD_NOT_ALLOWED,
                    "{endpoint} is no unknown path"
                );
            }
        }
    }
    assert_eq!(names, ["_oci", "_catalog", "_oci", "_longshore"]);
    let response = client.get("/v2/_nobody/knows/this").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(code(response).await, "UNSUPPORTED");
}

#[tokio::test]
async fn one_call_tells_which_of_many_digests_are_here() {
    let registry = Registry::start().await;
    let client = registry.client();
    let manifest = push_image(&client, REPOSITORY, "v1", "layer").await;
    let long = client.push_blob(REPOSITORY, vec![7; 300_000]).await.unwrap();
    let elsewhere = client.push_blob("other/app", "elsewhere").await.unwrap();
    let (missing, missing_512) = (sha256(b"missing"), sha512(b"missing"));
    let bad = "sha256:zz".to_owned();
    let asked = [
        sha256(b"layer"),
        sha256(&manifest),
        elsewhere.clone(),
        missing.clone(),
        missing_512.clone(),
        bad.clone(),
        long.clone(),
        long.clone(),
    ];
    let answer = availability(&client, &asked).await;
    let found = |digest: &str| {
        let found: Vec<_> =
            answer["available"].as_array().unwrap().iter().filter(|one| one["digest"] == digest).collect();
        assert_eq!(found.len(), 1, "{digest} once in {answer}");
        (found[0]["size"].clone(), found[0]["mediaType"].clone())
    };
    assert_eq!(found(&sha256(b"layer")), (json!(5), json!("application/octet-stream")));
    assert_eq!(found(&long), (json!(300_000), json!("application/octet-stream")));
    assert_eq!(found(&sha256(&manifest)), (json!(manifest.len()), json!(OCI_MANIFEST)));
    let failures = answer["failures"].as_array().unwrap();
    assert_eq!((answer["available"].as_array().unwrap().len(), failures.len()), (3, 4), "{answer}");
    for (digest, code) in [
        (elsewhere, "BLOB_UNKNOWN"),
        (missing, "BLOB_UNKNOWN"),
        (missing_512, "BLOB_UNKNOWN"),
        (bad, "DIGEST_INVALID"),
    ] {
        let failure = failures.iter().find(|failure| failure["digest"] == *digest).unwrap();
        assert_eq!(failure["code"], code);
        assert!(!failure["reason"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_thousand_digests_are_answered_and_more_are_refused() {
    let registry = Registry::start().await;
    let client = registry.client();
    let here = client.push_blob(REPOSITORY, "here").await.unwrap();
    let digests = |count: usize| -> Vec<String> {
        let others = (1..count).map(|number| sha512(number.to_string().as_bytes()));
        others.chain([here.clone()]).collect()
    };
    let answer = availability(&client, &digests(1000)).await;
    assert_eq!(answer["available"].as_array().unwrap().len(), 1);
    assert_eq!(answer["failures"].as_array().unwrap().len(), 999);
    let json = Some("application/json");
    let empty: Value = ask(&client, json, "{\"digests\":[]}").await.json().await.unwrap();
    assert_eq!(empty, json!({"available": [], "failures": []}));
    let nested = format!("{{\"digests\":{}", "[".repeat(10_000));
    for (content_type, body, status) in [
        (json, json!({"digests": digests(1001)}).to_string(), 400),
        (json, "{}".to_owned(), 400),
        (json, "{\"digests\":[1]}".to_owned(), 400),
        (json, "[".repeat(10_000), 400),
        (json, nested, 400),
        (json, format!("{{\"digests\":[\"{}\"]}}", "x".repeat(300_000)), 413),
        (Some("text/plain"), "{\"digests\":[]}".to_owned(), 415),
        (None, "{\"digests\":[]}".to_owned(), 415),
    ] {
        let response = ask(&client, content_type, body).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(code(response).await, "UNSUPPORTED");
    }
}
