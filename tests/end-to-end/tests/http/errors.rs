//! The root, and the code of each kind of error. What a client must not send at all is in `bad_input`.

use longshore_end_to_end::{Registry, sha256};
use reqwest::{Method, StatusCode};

use crate::{code, header};

#[tokio::test]
async fn the_root_says_that_the_api_is_here() {
    let registry = Registry::start().await;
    for path in ["/v2/", "/v2"] {
        let response = registry.client().get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
        assert!(!header(&response, "x-request-id").is_empty());
    }
}

#[tokio::test]
async fn each_kind_of_bad_request_has_its_status_and_code() {
    let registry = Registry::start().await;
    let client = registry.client();
    let digest = sha256(b"x");
    let upload = "0a".repeat(16);
    for (method, path, status, expected) in [
        (Method::GET, "/v1/".to_owned(), 404, "UNSUPPORTED"),
        (Method::GET, "/v2/a".to_owned(), 404, "UNSUPPORTED"),
        (Method::POST, "/v2/a/tags/list".to_owned(), 405, "UNSUPPORTED"),
        (Method::POST, format!("/v2/a/blobs/{digest}"), 405, "UNSUPPORTED"),
        (Method::GET, "/v2/UPPER/tags/list".to_owned(), 400, "NAME_INVALID"),
        (Method::GET, format!("/v2/{}/tags/list", "a".repeat(256)), 400, "NAME_INVALID"),
        (Method::GET, "/v2/a%2f..%2fb/tags/list".to_owned(), 400, "NAME_INVALID"),
        (Method::GET, "/v2/a/blobs/sha256:short".to_owned(), 400, "DIGEST_INVALID"),
        (Method::GET, "/v2/a/blobs/md5:00".to_owned(), 400, "DIGEST_INVALID"),
        (Method::GET, format!("/v2/a/blobs/{}", digest.to_uppercase()), 400, "DIGEST_INVALID"),
        (Method::GET, "/v2/a/manifests/-bad".to_owned(), 400, "MANIFEST_INVALID"),
        (Method::GET, "/v2/a/manifests/unknown".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (Method::GET, format!("/v2/a/manifests/{digest}"), 404, "MANIFEST_UNKNOWN"),
        (Method::GET, format!("/v2/a/blobs/uploads/{upload}"), 404, "BLOB_UPLOAD_UNKNOWN"),
        (Method::PUT, format!("/v2/a/blobs/uploads/{upload}"), 400, "DIGEST_INVALID"),
        (Method::PUT, format!("/v2/a/blobs/uploads/{upload}?digest=sha256:zz"), 400, "DIGEST_INVALID"),
        (Method::POST, "/v2/a/blobs/uploads/?digest=nonsense".to_owned(), 400, "DIGEST_INVALID"),
    ] {
        let response = client.request(method.clone(), &path).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(code(response).await, expected, "{method} {path}");
    }
}
