//! A server that asks for fewer requests. None of the real ones here does so when it is told to: a front in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Response;
use longshore_end_to_end::client::Failure;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Client, Fault, FaultyFront, sha256};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use super::PATIENCE;
use crate::REPOSITORY;
use crate::bucket::Bucket;
use longshore_end_to_end::image::Image;

const NOBODY: usize = 0;
const EVERYBODY: usize = 1;
/// Two of three.
const MANY: usize = 2;

fn slow_down(number: usize) -> Fault {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your \
                request rate.</Message></Error>";
    let mut answer = Response::builder().status(503).header("content-type", "application/xml");
    if number.is_multiple_of(2) {
        answer = answer.header(RETRY_AFTER, "1");
    }
    Fault::Answer(answer.body(text.to_owned()).expect("a response"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_less_is_given_less_and_clients_are_told_when_to_come_back() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let (refuses, asked) = (Arc::new(AtomicUsize::new(NOBODY)), Arc::new(AtomicUsize::new(0)));
    let refusing = Arc::clone(&refuses);
    let front = FaultyFront::before(bucket.server.endpoint(), move |_| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        match refusing.load(Ordering::SeqCst) {
            EVERYBODY => slow_down(number),
            MANY if !number.is_multiple_of(3) => slow_down(number / 3),
            _ => Fault::Pass,
        }
    })
    .await;
    let driver = bucket.driver_through("driver", &front.url());
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;

    refuses.store(EVERYBODY, Ordering::SeqCst);
    let answer = client.head_blob(REPOSITORY, &sha256(b"missing")).await.expect("an answer");
    assert!(is_told_to_wait(answer.status()), "{}", answer.status());
    assert!(answer.headers().contains_key(RETRY_AFTER), "{answer:?}");
    let line = registry.core().await_line("the server asks for fewer requests", PATIENCE);
    assert!(line.contains("RATE_LIMITED"), "{line}");

    refuses.store(MANY, Ordering::SeqCst);
    let calm = Arc::new(AtomicBool::new(false));
    let pushes = (0..4).map(|number| push_for_long(&client, number, &calm));
    let pushes = futures_util::future::join_all(pushes);
    let pause = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        refuses.store(NOBODY, Ordering::SeqCst);
        calm.store(true, Ordering::SeqCst);
    };
    let (pushed, ()) = tokio::join!(pushes, pause);
    for (digest, content) in pushed.into_iter().flatten() {
        assert!(client.get_blob(REPOSITORY, &digest).await.expect("a blob that was pushed") == content);
    }
    image.is_served_again(&registry).await;
}

fn is_told_to_wait(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}

/// Pushes one blob after the other, each until it is taken; what was acknowledged.
async fn push_for_long(client: &Client, number: usize, calm: &AtomicBool) -> Vec<(String, String)> {
    let mut pushed = Vec::new();
    for round in 0.. {
        let content = format!("blob {round} of {number}");
        let begin = Instant::now();
        let digest = loop {
            match client.push_blob(REPOSITORY, content.clone()).await {
                Ok(digest) => break digest,
                Err(Failure::Status { status, body, what }) => {
                    assert!(is_told_to_wait(status), "{what}: {status}: {body}");
                }
                Err(other) => panic!("{other}"),
            }
            assert!(begin.elapsed() < PATIENCE, "it does not get through");
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        pushed.push((digest, content));
        if calm.load(Ordering::SeqCst) {
            break;
        }
    }
    pushed
}
