//! Paths and methods that are not of this API.

use longshore_end_to_end::wire::Request;

use super::Target;
use crate::REPOSITORY;

#[tokio::test]
async fn an_unknown_route_is_404_unsupported_with_a_sentence() {
    let target = Target::start().await;
    let long = format!("/v2/{}", "a".repeat(4096));
    for path in [
        "/",
        "/v1/",
        "/v1/_ping",
        "/v2x",
        "/v3/",
        "/v2/a",
        "/v2/a/",
        "/v2/a/b/c",
        "/v2/_catalog/",
        "/v2/_catalog/x",
        "/v2/a/_catalog",
        "/v2/tags/list",
        "/v2/a/tags",
        "/v2/a/tags/list/",
        "/v2/a/manifests",
        "/v2/a/blobs",
        "/v2/a/manifests/",
        "/v2/_oci/ext",
        "/v2/_oci/ext/discover/",
        "/v2/_longshore/content/availability",
        "/v2/a/_other/x/y",
        "//v2/",
        "/V2/",
        "/v2/a/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v2/%2e%2e",
        "/.git/config",
        &long,
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let answer = target.send(Request::new(method, path)).await;
            // An empty reference is one outside the grammar.
            let expected = if path == "/v2/a/manifests/" { [400, 405] } else { [404, 404] };
            assert!(expected.contains(&answer.status), "{method} {path:.60}: {}", answer.status);
        }
        if path != "/v2/a/manifests/" {
            target.refuses(Request::new("GET", path), 404, "UNSUPPORTED").await;
        }
    }
    target.unharmed().await;
}

#[tokio::test]
async fn an_unknown_method_is_405_unsupported_and_tells_which_there_are() {
    let target = Target::start().await;
    let (layer, upload) = (target.layer(), "0a".repeat(16));
    for (path, allowed) in [
        ("/v2/".to_owned(), "GET, HEAD"),
        ("/v2/_catalog".to_owned(), "GET, HEAD"),
        ("/v2/_oci/ext/discover".to_owned(), "GET, HEAD"),
        (format!("/v2/{REPOSITORY}/_oci/ext/discover"), "GET, HEAD"),
        (format!("/v2/{REPOSITORY}/_longshore/content/availability"), "POST"),
        (format!("/v2/{REPOSITORY}/tags/list"), "GET, HEAD"),
        (format!("/v2/{REPOSITORY}/referrers/{layer}"), "GET, HEAD"),
        (format!("/v2/{REPOSITORY}/blobs/{layer}"), "GET, HEAD, DELETE"),
        (format!("/v2/{REPOSITORY}/manifests/{}", super::TAG), "GET, HEAD, PUT, DELETE"),
        (format!("/v2/{REPOSITORY}/blobs/uploads/"), "POST"),
        (format!("/v2/{REPOSITORY}/blobs/uploads/{upload}"), "GET, PATCH, PUT, DELETE"),
    ] {
        let methods = [
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "PROPFIND",
            "FOO",
            "get",
            "G",
            "AVERYLONGMETHODTHATNOBODYKNOWS",
        ];
        for method in methods {
            if allowed.split(", ").any(|one| one == method) {
                continue;
            }
            let answer = target.refuses(Request::new(method, &path), 405, "UNSUPPORTED").await;
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    target.unharmed().await;
}
