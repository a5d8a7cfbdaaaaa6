//! Ranges of a pull and of a chunk that can't be.

use bytes::Bytes;
use longshore_end_to_end::client::{blob_path, finish_path};
use longshore_end_to_end::sha256;
use longshore_end_to_end::wire::Request;

use super::{LAYER, Target};
use crate::REPOSITORY;

#[tokio::test]
async fn a_range_that_is_inverted_or_behind_the_end_is_416_with_the_size() {
    let target = Target::start().await;
    let (path, size) = (blob_path(REPOSITORY, &target.layer()), LAYER.len());
    for range in [
        "bytes=9-5".to_owned(),
        "bytes=1-0".to_owned(),
        format!("bytes={size}-"),
        "bytes=100-200".to_owned(),
        format!("bytes={}-{}", u64::MAX - 1, u64::MAX),
        format!("bytes={}-", u64::MAX),
    ] {
        let request = Request::new("GET", &path).header("Range", range);
        let answer = target.refuses(request, 416, "SIZE_INVALID").await;
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes */{size}")));
    }
    target.unharmed().await;
}

#[tokio::test]
async fn ranges_out_of_order_or_not_understood_are_ignored() {
    let target = Target::start().await;
    let path = blob_path(REPOSITORY, &target.layer());
    for range in [
        "bytes=10-12,0-3".to_owned(),
        "bytes=0-0,0-0,0-0".to_owned(),
        "bytes=-".to_owned(),
        "bytes=".to_owned(),
        "bytes".to_owned(),
        "lines=0-1".to_owned(),
        "bytes=0x1-2".to_owned(),
        "bytes=99999999999999999999999-".to_owned(),
        format!("bytes={}", "0-0,".repeat(1024)),
    ] {
        let answer = target.send(Request::new("GET", &path).header("Range", range.clone())).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, LAYER.as_bytes()), "{range:.60}");
    }
    target.unharmed().await;
}

#[tokio::test]
async fn a_chunk_at_the_wrong_offset_is_416_with_the_true_one_and_the_upload_goes_on_there() {
    let target = Target::start().await;
    let location = target.upload("0123456789").await;
    for (start, end) in [(0, 2), (9, 11), (11, 13), (1_000_000, 1_000_002), (u64::MAX - 3, u64::MAX - 1)] {
        for (method, path) in
            [("PATCH", location.clone()), ("PUT", finish_path(&location, &sha256(b"0123456789abc")))]
        {
            let request = Request::new(method, &path).header("Content-Range", format!("{start}-{end}"));
            let request = request.body(Bytes::from_static(b"abc"));
            let answer = target.refuses(request, 416, "BLOB_UPLOAD_INVALID").await;
            assert_eq!(answer.header("range"), Some("0-9"), "{method} {start}");
            assert_eq!(answer.header("location"), Some(&*location), "{method} {start}");
        }
    }
    assert_eq!(target.client.upload_status(&location).await.unwrap().1, 10);
    let (location, durable) = target.client.patch(&location, 10, Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(durable, 13);
    let cancel = Request::new("DELETE", &location);
    assert_eq!(target.send(cancel).await.status, 204);
    target.unharmed().await;
}

#[tokio::test]
async fn a_content_range_that_is_none_or_does_not_fit_its_body_is_refused() {
    let target = Target::start().await;
    let location = target.upload("").await;
    let chunk = |range: &str| {
        let request = Request::new("PATCH", &location).header("Content-Range", range);
        request.body(Bytes::from_static(b"abc"))
    };
    for range in
        ["2-0", "x", "", "0-", "-3", "0-2-4", "0--2", "0 - 2", "99999999999999999999999-0", "0,2", "bytes"]
    {
        target.refuses(chunk(range), 416, "BLOB_UPLOAD_INVALID").await;
    }
    for range in ["0-9", "0-0", "0-18446744073709551614"] {
        target.refuses(chunk(range), 400, "SIZE_INVALID").await;
    }
    assert_eq!(target.client.upload_status(&location).await.unwrap().1, 0);
    target.unharmed().await;
}
