//! Digests that are none, that nobody here can verify, and that do not fit the bytes.

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, blob_path, finish_path, manifest_path};
use longshore_end_to_end::sha256;
use longshore_end_to_end::wire::Request;

use super::Target;
use crate::{REPOSITORY, sha512};

/// Every place of the API where a digest stands.
fn places(digest: &str, upload: &str) -> Vec<Request> {
    let uploads = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let manifest = Bytes::from_static(b"{}");
    vec![
        Request::new("GET", &blob_path(REPOSITORY, digest)),
        Request::new("HEAD", &blob_path(REPOSITORY, digest)),
        Request::new("DELETE", &blob_path(REPOSITORY, digest)),
        Request::new("GET", &format!("/v2/{REPOSITORY}/referrers/{digest}")),
        Request::new("POST", &format!("{uploads}?digest={digest}")).body(Bytes::from_static(b"x")),
        Request::new("POST", &format!("{uploads}?mount={digest}")),
        Request::new("PUT", &finish_path(upload, digest)).body(Bytes::from_static(b"x")),
        Request::new("GET", &manifest_path(REPOSITORY, digest)),
        Request::new("DELETE", &manifest_path(REPOSITORY, digest)),
        Request::new("PUT", &manifest_path(REPOSITORY, digest))
            .header("Content-Type", OCI_MANIFEST)
            .body(manifest),
    ]
}

async fn refused_everywhere(target: &Target, digest: &str) {
    let upload = target.upload("").await;
    for request in places(digest, &upload) {
        target.refuses(request, 400, "DIGEST_INVALID").await;
    }
    assert_eq!(target.client.upload_status(&upload).await.unwrap().1, 0, "the upload is where it was");
}

#[tokio::test]
async fn a_malformed_digest_is_400_wherever_one_stands() {
    let target = Target::start().await;
    let hex = "ab".repeat(32);
    for digest in [
        "sha256:".to_owned(),
        format!(":{hex}"),
        "sha256:..".to_owned(),
        "sha256:%2e%2e%2f".to_owned(),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}a"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("SHA256:{hex}"),
        format!("sha256:{}g", &hex[1..]),
        format!("sha256:{}%00", &hex[1..]),
        format!("sha256:{hex}%00"),
        format!("sha256:{hex}%0a"),
        format!("sha256:{}%ff", &hex[1..]),
        format!("sha512:{hex}"),
        format!("sha256:sha256:{hex}"),
        format!("sha256:{}", "a".repeat(4096)),
        format!("{}:{hex}", "a".repeat(4096)),
    ] {
        refused_everywhere(&target, &digest).await;
    }
    target.unharmed().await;
}

#[tokio::test]
async fn a_digest_of_an_algorithm_that_is_not_supported_is_400_wherever_one_stands() {
    let target = Target::start().await;
    for digest in [
        format!("md5:{}", "0".repeat(32)),
        format!("sha1:{}", "0".repeat(40)),
        format!("sha384:{}", "0".repeat(96)),
        format!("blake3:{}", "0".repeat(64)),
        format!("sha256+b64:{}", "0".repeat(64)),
    ] {
        refused_everywhere(&target, &digest).await;
    }
    let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest-algorithm=md5");
    target.refuses(Request::new("POST", &path), 400, "DIGEST_INVALID").await;
    target.unharmed().await;
}

#[tokio::test]
async fn a_digest_that_does_not_fit_the_bytes_is_400_on_every_way_of_pushing() {
    let target = Target::start().await;
    let content = Bytes::from_static(b"these bytes");
    let length = content.len();
    for wrong in [sha256(b"other bytes"), sha512(b"other bytes"), target.layer()] {
        let body = |request: Request| request.body(content.clone());
        let (bad, code) = (400, "DIGEST_INVALID");
        let range = format!("0-{}", length - 1);

        let whole = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={wrong}");
        target.refuses(body(Request::new("POST", &whole)), bad, code).await;

        let upload = target.upload("").await;
        target.refuses(body(Request::new("PUT", &finish_path(&upload, &wrong))), bad, code).await;

        let upload = target.upload("").await;
        let chunk = body(Request::new("PATCH", &upload)).header("Content-Range", range.clone());
        assert_eq!(target.send(chunk).await.status, 202);
        target.refuses(Request::new("PUT", &finish_path(&upload, &wrong)), bad, code).await;

        let upload = target.upload("these").await;
        let last = Request::new("PUT", &finish_path(&upload, &wrong)).header("Content-Range", "5-10");
        target.refuses(last.body(content.slice(5..)), bad, code).await;

        let upload = target.upload("").await;
        assert_eq!(target.send(body(Request::new("PATCH", &upload))).await.status, 202);
        target.refuses(Request::new("PUT", &finish_path(&upload, &wrong)), bad, code).await;
    }
    for wrong in [sha256(b"another"), sha512(b"another"), target.layer()] {
        let request = Request::new("PUT", &manifest_path(REPOSITORY, &wrong)).body(target.manifest.clone());
        target.refuses(request.header("Content-Type", OCI_MANIFEST), 400, "DIGEST_INVALID").await;
    }
    let gone = target.client.head_blob(REPOSITORY, &sha256(&content)).await.unwrap();
    assert_eq!(gone.status(), 404, "nor is it there under its true digest");
    target.unharmed().await;
}
