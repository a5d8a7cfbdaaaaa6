//! Pushing blobs: end-4, end-5, end-6, end-13, end-14.

use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::client::{durable_offset, finish_path, location};
use longshore_end_to_end::registry::Store;
use longshore_end_to_end::writer::patiently;
use longshore_end_to_end::{Random, Registry, sha256};
use reqwest::{Method, Response, StatusCode};

use crate::{REPOSITORY, code, header, sha512};

async fn put(
    client: &longshore_end_to_end::Client,
    location: &str,
    digest: &str,
    body: impl Into<Bytes>,
) -> Response {
    client.request(Method::PUT, &finish_path(location, digest)).body(body.into()).send().await.unwrap()
}

#[tokio::test]
async fn an_upload_in_one_post() {
    let registry = Registry::start().await;
    let client = registry.client();
    for digest in [sha256(b"whole"), sha512(b"whole")] {
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
        let response = client.request(Method::POST, &path).body("whole").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "docker-content-digest"), digest);
        assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), "whole");
    }
}

#[tokio::test]
async fn an_upload_of_post_and_put() {
    let registry = Registry::start().await;
    let client = registry.client();
    for (content, digest) in
        [("monolith", sha256(b"monolith")), ("monolith", sha512(b"monolith")), ("", sha256(b""))]
    {
        let location = client.start_upload(REPOSITORY).await.unwrap();
        assert_eq!(put(&client, &location, &digest, content).await.status(), StatusCode::CREATED);
        assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), content);
    }
}

#[tokio::test]
async fn chunks_in_order_make_the_blob_and_the_last_may_come_with_the_put() {
    let registry = Registry::start().await;
    let client = registry.client();
    let content = Bytes::from(Random::from_seed(7).bytes(700_001));
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let (location, durable) = client.patch(&location, 0, content.slice(..300_000)).await.unwrap();
    assert_eq!(durable, 300_000);
    let (location, durable) =
        client.patch(&location, durable, content.slice(300_000..600_000)).await.unwrap();
    assert_eq!(durable, 600_000);
    assert_eq!(client.upload_status(&location).await.unwrap().1, 600_000);
    let request = client.request(Method::PUT, &finish_path(&location, &sha256(&content)));
    let response =
        request.header("Content-Range", "600000-700000").body(content.slice(600_000..)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(client.get_blob(REPOSITORY, &sha256(&content)).await.unwrap(), content);
}

#[tokio::test]
async fn a_streamed_patch_needs_no_range() {
    let registry = Registry::start().await;
    let client = registry.client();
    let content = Bytes::from(Random::from_seed(8).bytes(3_000_000));
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        content.chunks(10_007).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let response = client.request(Method::PATCH, &location).body(body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(header(&response, "range"), "0-2999999");
    client.finish_upload(&location, &sha256(&content)).await.unwrap();
    assert_eq!(client.get_blob(REPOSITORY, &sha256(&content)).await.unwrap(), content);
}

#[tokio::test]
async fn a_chunk_at_the_wrong_offset_is_416_with_the_true_one() {
    let registry = Registry::start().await;
    let client = registry.client();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    client.patch(&location, 0, Bytes::from_static(b"0123456789")).await.unwrap();
    for offset in [0, 5, 11, 1_000_000] {
        let response =
            client.patch_request(&location, offset, Bytes::from_static(b"abc")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE, "offset {offset}");
        assert_eq!(header(&response, "range"), "0-9");
        assert_eq!(self::location(&response).unwrap(), location);
        assert_eq!(code(response).await, "BLOB_UPLOAD_INVALID");
    }
    assert_eq!(client.upload_status(&location).await.unwrap().1, 10, "nothing was lost or added");
    client.finish_upload(&location, &sha256(b"0123456789")).await.unwrap();
}

#[tokio::test]
async fn a_range_that_does_not_fit_its_body_or_is_none_is_refused() {
    let registry = Registry::start().await;
    let client = registry.client();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let send = |range: &'static str| {
        client.request(Method::PATCH, &location).header("Content-Range", range).body("abc").send()
    };
    let response = send("0-9").await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "SIZE_INVALID");
    for range in ["2-0", "x", "0-", "-3"] {
        assert_eq!(send(range).await.unwrap().status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
    }
    assert_eq!(client.upload_status(&location).await.unwrap().1, 0);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_the_upload_can_still_be_finished() {
    let registry = Registry::start().await;
    let client = registry.client();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let (location, _) = client.patch(&location, 0, Bytes::from_static(b"right")).await.unwrap();
    for wrong in [sha256(b"wrong"), sha512(b"wrong")] {
        let location = client.start_upload(REPOSITORY).await.unwrap();
        let response = put(&client, &location, &wrong, "right").await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(code(response).await, "DIGEST_INVALID");
        assert_eq!(client.head_blob(REPOSITORY, &wrong).await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(put(&client, &location, &sha256(b"wrong"), "").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(client.upload_status(&location).await.unwrap().1, 5);
    client.finish_upload(&location, &sha256(b"right")).await.unwrap();
}

#[tokio::test]
async fn sha512_may_be_named_only_at_the_end() {
    let registry = Registry::start().await;
    let client = registry.client();
    let content = Bytes::from(Random::from_seed(9).bytes(1_000_000));
    let push = async |digest: String| {
        let location = client.start_upload(REPOSITORY).await.unwrap();
        let (location, _) = client.patch(&location, 0, content.clone()).await.unwrap();
        put(&client, &location, &digest, "").await
    };
    assert_eq!(push(sha512(&content)).await.status(), StatusCode::CREATED);
    assert_eq!(client.get_blob(REPOSITORY, &sha512(&content)).await.unwrap(), content);
    let wrong = sha512(b"something else");
    assert_eq!(push(wrong.clone()).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(client.head_blob(REPOSITORY, &wrong).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_algorithm_may_be_named_at_the_start() {
    let registry = Registry::start().await;
    let client = registry.client();
    let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest-algorithm=sha512");
    let response = client.request(Method::POST, &path).send().await.unwrap();
    let (location, _) =
        client.patch(&location(&response).unwrap(), 0, Bytes::from_static(b"hinted")).await.unwrap();
    client.finish_upload(&location, &sha512(b"hinted")).await.unwrap();
    let response = client.request(Method::POST, &path.replace("sha512", "md5")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_repeated_finalise_is_answered_alike_and_another_digest_is_refused() {
    let registry = Registry::start().await;
    let client = registry.client();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let (location, _) = client.patch(&location, 0, Bytes::from_static(b"once")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(put(&client, &location, &sha256(b"once"), "").await.status(), StatusCode::CREATED);
    }
    let response = put(&client, &location, &sha256(b"twice"), "").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "DIGEST_INVALID");
    let response = client.patch_request(&location, 4, Bytes::from_static(b"more")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await, "BLOB_UPLOAD_INVALID");
}

#[tokio::test]
async fn a_repeated_finalise_of_a_blob_that_was_deleted_since_is_no_201() {
    let registry = Registry::start().await;
    let client = registry.client();
    client.push_blob(REPOSITORY, "gone").await.unwrap();
    let location = client.start_upload("other/app").await.unwrap();
    let (location, _) = client.patch(&location, 0, Bytes::from_static(b"gone")).await.unwrap();
    let digest = sha256(b"gone");
    client.finish_upload(&location, &digest).await.unwrap();
    for repository in [REPOSITORY, "other/app"] {
        let path = longshore_end_to_end::client::blob_path(repository, &digest);
        client.request(Method::DELETE, &path).send().await.unwrap();
    }
    let response = put(&client, &location, &digest, "").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND, "the object that it adopted is condemned");
    assert_eq!(code(response).await, "BLOB_UPLOAD_UNKNOWN");
    client.push_blob("other/app", "gone").await.unwrap();
    assert_eq!(client.get_blob("other/app", &digest).await.unwrap(), "gone");
}

#[tokio::test]
async fn finalises_at_once_all_succeed_or_say_how_to_go_on() {
    let registry = Registry::start().await;
    let client = registry.client();
    let content = Bytes::from(Random::from_seed(10).bytes(2_000_000));
    let digest = sha256(&content);
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let (location, _) = client.patch(&location, 0, content.clone()).await.unwrap();
    let answers = futures_util::future::join_all((0..4).map(|_| put(&client, &location, &digest, ""))).await;
    let created = answers.iter().filter(|answer| answer.status() == StatusCode::CREATED).count();
    assert!(created >= 1, "{answers:?}");
    assert!(answers.iter().all(|answer| [201, 416].contains(&answer.status().as_u16())), "{answers:?}");
    assert_eq!(put(&client, &location, &digest, "").await.status(), StatusCode::CREATED);
    assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), content);
}

#[tokio::test]
async fn pushes_of_one_layer_at_once_all_succeed_and_keep_one_object() {
    let registry = Registry::start().await;
    let client = registry.client();
    let content = Bytes::from(Random::from_seed(11).bytes(1_000_000));
    let pushes = (0..16).map(|number| {
        let (client, content) = (client.clone(), content.clone());
        async move { client.push_blob(&format!("team/app{}", number % 4), content).await }
    });
    for pushed in futures_util::future::join_all(pushes).await {
        assert_eq!(pushed.unwrap(), sha256(&content));
    }
    assert_eq!(registry.kept().blobs().await, 1);
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository() {
    let registry = Registry::start().await;
    let client = registry.client();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    client.patch(&location, 0, Bytes::from_static(b"mine")).await.unwrap();
    let stolen = location.replace(REPOSITORY, "other/app");
    for (method, path) in [
        (Method::GET, stolen.clone()),
        (Method::PATCH, stolen.clone()),
        (Method::PUT, finish_path(&stolen, &sha256(b"mine"))),
        (Method::DELETE, stolen.clone()),
    ] {
        let response = client.request(method.clone(), &path).body("theirs").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
        assert_eq!(code(response).await, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(client.upload_status(&location).await.unwrap().1, 4, "the owner goes on as before");
}

#[tokio::test]
async fn a_cancelled_upload_is_gone_with_its_bytes() {
    let registry = Registry::start().await;
    let client = registry.client();
    let location = client.start_upload(REPOSITORY).await.unwrap();
    client.patch(&location, 0, Bytes::from(vec![1; 100_000])).await.unwrap();
    let cancel = || client.request(Method::DELETE, &location).send();
    assert_eq!(cancel().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(client.get(&location).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(cancel().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(sessions(&registry).await, 0);
}

async fn sessions(registry: &Registry) -> usize {
    registry.kept().names(".driver/uploads").await.len()
}

#[tokio::test]
async fn a_client_that_breaks_off_goes_on_where_it_was() {
    use tokio::io::AsyncWriteExt as _;
    let registry = Registry::start().await;
    let client = registry.client();
    let content = Bytes::from(Random::from_seed(12).bytes(4_000_000));
    let location = client.start_upload(REPOSITORY).await.unwrap();
    let mut connection = tokio::net::TcpStream::connect(registry.address()).await.unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&content[..1_500_000]).await.unwrap();
    drop(connection);
    let mut durable = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let response = client.get(&location).send().await.unwrap();
        durable = durable_offset(response.headers()).unwrap();
        if durable > 0 {
            break;
        }
    }
    assert!(durable > 0 && durable <= 1_500_000, "{durable}: what came before the break is kept");
    let durable = client.upload_status(&location).await.unwrap().1;
    let rest = content.slice(usize::try_from(durable).unwrap()..);
    let (location, durable) = client.patch(&location, durable, rest).await.unwrap();
    assert_eq!(durable, content.len() as u64);
    client.finish_upload(&location, &sha256(&content)).await.unwrap();
    assert_eq!(client.get_blob(REPOSITORY, &sha256(&content)).await.unwrap(), content);
}

#[tokio::test]
async fn abandoned_uploads_expire_and_their_space_comes_back() {
    let pace = Store::pace();
    let config = format!(
        "[uploads]\nttl = \"{}ms\"\nfinished_ttl = \"{}ms\"\nsweep_every = \"200ms\"\n\
         [leases]\nwindow = \"{}ms\"\ngrace = \"{}ms\"\n",
        2000 * pace,
        200 * pace,
        400 * pace,
        10_000 * pace
    );
    let registry = Registry::start_with_config(&config).await;
    let client = registry.client();
    let abandoned = client.start_upload(REPOSITORY).await.unwrap();
    client.patch(&abandoned, 0, Bytes::from(vec![1; 1_000_000])).await.unwrap();
    let push = async || client.push_blob(REPOSITORY, "finished").await;
    // On a server the last steps of a push may take longer than half a window, a second: it is refused then, and made again.
    let finished = if pace > 1 { patiently(push).await } else { push().await.unwrap() };
    let begin = std::time::Instant::now();
    loop {
        let left = sessions(&registry).await;
        if left == 0 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10) * pace, "{left} sessions are left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get(&abandoned).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(client.get_blob(REPOSITORY, &finished).await.unwrap(), "finished");
}
