//! Connections to a store's server that break: in the middle of a download, and because the server dies in the middle of a push.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use tokio::sync::oneshot;

use crate::client::blob_path;
use crate::image::Image;
use crate::object_store::ObjectStore;
use crate::{Client, Random, sha256};

const REPOSITORY: &str = "team/app";
const BLOB: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A download whose connection breaks goes on where it was. As many reads at the server are cut off as `cuts` says.
pub async fn download_goes_on(name: &str, client: &Client, cuts: &AtomicUsize) {
    let blob = Bytes::from(Random::announced(&format!("{name} cut download")).bytes(BLOB));
    let digest = client.push_blob(REPOSITORY, blob.clone()).await.expect("a push");
    cuts.store(2, Ordering::SeqCst);
    let (mut got, mut requests) = (Vec::new(), 0);
    while got.len() < blob.len() {
        requests += 1;
        assert!(requests < 5, "no end of it: {} bytes", got.len());
        let range = format!("bytes={}-", got.len());
        let answer = client.get_blob_range(REPOSITORY, &digest, &range).await.expect("an answer");
        assert!(answer.status() == StatusCode::PARTIAL_CONTENT, "{}", answer.status());
        let mut body = answer.bytes_stream();
        while let Some(Ok(piece)) = body.next().await {
            got.extend_from_slice(&piece);
        }
    }
    assert!(got == blob, "other bytes");
    assert_eq!(cuts.load(Ordering::SeqCst), 0);
    let whole = client.get(&blob_path(REPOSITORY, &digest)).send().await.expect("GET");
    assert!(whole.bytes().await.expect("all of it") == blob);
}

/// A server that dies in the middle of a push costs no acknowledged byte. It is called so in the core's log.
pub async fn server_dies_in_the_middle_of_a_push(server: &str, mut store: impl ObjectStore) {
    let driver = store.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;
    let blob = Bytes::from(Random::announced(&format!("{server} down")).bytes(BLOB));
    let acknowledged = 20 << 20;
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let (location, durable) =
        client.patch(&location, 0, blob.slice(..acknowledged)).await.expect("a first chunk");
    assert_eq!(durable, acknowledged as u64);

    let (reached, middle) = oneshot::channel();
    let (down, goes_on) = oneshot::channel();
    let pieces = [blob.slice(acknowledged..2 * acknowledged), blob.slice(2 * acknowledged..)];
    let [first, second] = pieces;
    let body = stream::once(async move { first }).chain(stream::once(async move {
        reached.send(()).expect("the test waits");
        goes_on.await.expect("the server's end");
        second
    }));
    let request = client.patch_request(&location, durable, blob.slice(acknowledged..));
    let request = request.body(reqwest::Body::wrap_stream(body.map(Ok::<_, Infallible>)));
    let stop = async {
        middle.await.expect("the middle of the body");
        store.stop_server();
        down.send(()).expect("a client that sends");
    };
    let (answer, ()) = tokio::join!(request.send(), stop);
    let refused = answer.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    registry.core().await_line(&format!("the {server} server can't be reached"), PATIENCE);
    store.start_server_again().await;

    image.is_served_again(&registry).await;
    let (location, durable) = client.upload_status(&location).await.expect("GET of the upload");
    assert!(durable >= acknowledged as u64, "{durable} bytes are left");
    let rest = blob.slice(usize::try_from(durable).expect("a size")..);
    let (location, _) = client.patch(&location, durable, rest).await.expect("the rest");
    let digest = sha256(&blob);
    client.finish_upload(&location, &digest).await.expect("PUT");
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
    driver.end_all_uploads().await;
    store.nothing_is_left_of_uploads().await;
}
