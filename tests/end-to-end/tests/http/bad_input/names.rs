//! Names, tags and upload ids outside their grammar.

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, manifest_path};
use longshore_end_to_end::wire::Request;

use super::Target;
use crate::REPOSITORY;

fn long() -> String {
    "a".repeat(4096)
}

#[tokio::test]
async fn a_repository_name_outside_the_grammar_is_400_name_invalid_on_every_route() {
    let target = Target::start().await;
    let layer = target.layer();
    for name in [
        "..",
        "../..",
        "a/../b",
        "a/..",
        "%2e%2e",
        "a/%2e%2e/b",
        "a%2f..%2fb",
        "a%2fb",
        "a%00",
        "%00",
        "a/%00/b",
        "A",
        "Aa/b",
        "a//b",
        "/a",
        "-a",
        "a-",
        "a.",
        ".a",
        "a..b",
        "a___b",
        "_a",
        "a_",
        "a/_b",
        "a~b",
        "a%20b",
        "a+b",
        "a@b",
        "a%ff",
        "%c3%a9",
        "a\\b",
        "C:",
        &"a/".repeat(128),
        &"a".repeat(256),
        &long(),
        &"../".repeat(1365),
    ] {
        let put = Request::new("PUT", &format!("/v2/{name}/manifests/latest"));
        for request in [
            Request::new("GET", &format!("/v2/{name}/tags/list")),
            Request::new("GET", &format!("/v2/{name}/blobs/{layer}")),
            Request::new("DELETE", &format!("/v2/{name}/blobs/{layer}")),
            Request::new("GET", &format!("/v2/{name}/manifests/latest")),
            put.header("Content-Type", OCI_MANIFEST).body(target.manifest.clone()),
            Request::new("POST", &format!("/v2/{name}/blobs/uploads/")),
            Request::new("GET", &format!("/v2/{name}/blobs/uploads/{}", "0a".repeat(16))),
            Request::new("GET", &format!("/v2/{name}/referrers/{layer}")),
            Request::new("GET", &format!("/v2/{name}/_oci/ext/discover")),
            Request::new("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/?mount={layer}&from={name}")),
            Request::new("GET", &format!("/v2/_catalog?last={name}")),
        ] {
            // A slash that is written %2F is one in a query, where it parts no path.
            let in_query = request.target.contains("from=") || request.target.contains("last=");
            if !(in_query && name == "a%2fb") {
                target.refuses(request, 400, "NAME_INVALID").await;
            }
        }
    }
    target.unharmed().await;
}

#[tokio::test]
async fn a_tag_outside_the_grammar_is_400_manifest_invalid_on_every_route() {
    let target = Target::start().await;
    let digest = longshore_end_to_end::sha256(&target.manifest);
    for tag in [
        "..",
        "%2e%2e",
        "%2e",
        ".",
        "-x",
        ".x",
        "a%00",
        "%00",
        "a%2fb",
        "..%2f..%2fx",
        "a%20b",
        "a+b",
        "a~b",
        "%c3%a9",
        "a%ff",
        "a@b",
        "@",
        &"t".repeat(129),
        &long(),
    ] {
        let put = |reference: &str| {
            let request = Request::new("PUT", &manifest_path(REPOSITORY, reference));
            request.header("Content-Type", OCI_MANIFEST).body(target.manifest.clone())
        };
        for request in [
            Request::new("GET", &manifest_path(REPOSITORY, tag)),
            Request::new("HEAD", &manifest_path(REPOSITORY, tag)),
            Request::new("DELETE", &manifest_path(REPOSITORY, tag)),
            put(tag),
            put(&format!("{digest}?tag=good&tag={tag}")),
            Request::new("GET", &format!("/v2/{REPOSITORY}/tags/list?last={tag}")),
        ] {
            target.refuses(request, 400, "MANIFEST_INVALID").await;
        }
    }
    target.unharmed().await;
}

#[tokio::test]
async fn an_upload_id_outside_the_grammar_is_404_upload_unknown_for_every_method() {
    let target = Target::start().await;
    let id = "0a".repeat(16);
    for id in [
        "..",
        "%2e%2e",
        "..%2f..%2fx",
        ".",
        "%00",
        "x",
        &id[1..],
        &format!("{id}0"),
        &id.to_uppercase(),
        &format!("{}g", &id[1..]),
        &format!("{id}%00"),
        &format!("{}%00", &id[1..]),
        "%ff",
        &long(),
        &id,
    ] {
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/{id}");
        let digest = target.layer();
        for request in [
            Request::new("GET", &path),
            Request::new("PATCH", &path).body(Bytes::from_static(b"x")),
            Request::new("PUT", &format!("{path}?digest={digest}")).body(Bytes::from_static(b"x")),
            Request::new("DELETE", &path),
        ] {
            target.refuses(request, 404, "BLOB_UPLOAD_UNKNOWN").await;
        }
    }
    target.unharmed().await;
}

/// A request line of which nobody can make a URL never gets to the API: HTTP itself says 400.
#[tokio::test]
async fn a_raw_nul_or_a_space_in_a_path_is_400() {
    let target = Target::start().await;
    for path in ["/v2/a\0/tags/list", "/v2/\0", "/v2/a b/tags/list", "/v2/\u{7f}/tags/list"] {
        assert_eq!(target.send(Request::new("GET", path)).await.status, 400, "{path:?}");
    }
    target.unharmed().await;
}
