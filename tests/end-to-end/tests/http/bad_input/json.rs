//! JSON that is deep, broken, or no manifest.

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST, manifest_path};
use longshore_end_to_end::wire::Request;

use super::Target;
use crate::REPOSITORY;

fn nested(open: &str, close: &str, levels: usize) -> String {
    format!("{}{}", open.repeat(levels), close.repeat(levels))
}

#[tokio::test]
async fn json_10000_levels_deep_is_400_manifest_invalid_wherever_it_is_deep() {
    let target = Target::start().await;
    let config = format!("{{\"digest\":\"{}\",\"size\":2}}", longshore_end_to_end::sha256(b"{}"));
    let image = |field: &str, deep: &str| {
        format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[],\"{field}\":{deep}}}")
    };
    for levels in [10_000, 1_000_000] {
        let objects = nested("{\"a\":", "}", levels).replace(":}", ":0}");
        let arrays = nested("[", "]", levels);
        for body in [
            arrays.clone(),
            "[".repeat(levels),
            objects.clone(),
            "{\"a\":".repeat(levels),
            image("annotations", &objects),
            image("unknown", &objects),
            image("unknown", &arrays),
            image("manifests", &arrays),
            image("subject", &objects),
        ] {
            if body.len() > 4 * 1024 * 1024 {
                continue;
            }
            for content_type in [OCI_MANIFEST, OCI_INDEX] {
                let request = Request::new("PUT", &manifest_path(REPOSITORY, "deep"));
                let request = request.header("Content-Type", content_type).body(Bytes::from(body.clone()));
                target.refuses(request, 400, "MANIFEST_INVALID").await;
            }
        }
    }
    let brackets = image("annotations", &format!("{{\"a\":\"{}\"}}", "[{\\\"".repeat(10_000)));
    let request = Request::new("PUT", &manifest_path(REPOSITORY, "flat"));
    let request = request.header("Content-Type", OCI_MANIFEST).body(Bytes::from(brackets));
    assert_eq!(target.send(request).await.status, 201, "brackets in a text are not levels");
    let delete = Request::new("DELETE", &manifest_path(REPOSITORY, "flat"));
    assert_eq!(target.send(delete).await.status, 202);
    target.intact().await;
}

#[tokio::test]
async fn a_body_that_is_no_manifest_is_400_manifest_invalid() {
    let target = Target::start().await;
    for body in [
        &b""[..],
        b"{",
        b"null",
        b"[]",
        b"0",
        b"\"text\"",
        b"{}",
        b"{\"schemaVersion\":2}",
        b"{\"schemaVersion\":\"2\",\"config\":{},\"layers\":[]}",
        b"{\"schemaVersion\":2,\"config\":{},\"layers\":[]}",
        b"{\"schemaVersion\":2,\"config\":{\"digest\":\"../../x\",\"size\":1},\"layers\":[]}",
        b"{\"schemaVersion\":2,\"config\":{\"digest\":\"md5:00\",\"size\":1},\"layers\":[]}",
        b"{\"schemaVersion\":2,\"layers\":[{\"size\":-1}]}",
        b"{\"schemaVersion\":2,\"schemaVersion\":2}",
        b"\xff\xfe",
        b"\0\0\0\0",
        b"{\"schemaVersion\":2,\"annotations\":{\"a\":\"\xff\"}}",
    ] {
        let request = Request::new("PUT", &manifest_path(REPOSITORY, "broken"));
        let request = request.header("Content-Type", OCI_MANIFEST).body(Bytes::copy_from_slice(body));
        target.refuses(request, 400, "MANIFEST_INVALID").await;
    }
    target.unharmed().await;
}
