//! A server that asks for fewer requests: Swift's own 498, and a 498 or 429 of what stands before one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use longshore_end_to_end::client::Failure;
use longshore_end_to_end::image::Image;
use longshore_end_to_end::servers::{Flavour, SwiftOptions};
use longshore_end_to_end::swift_front::slow_down;
use longshore_end_to_end::{Client, Fault, SwiftFront, sha256};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use super::{PATIENCE, told};
use crate::REPOSITORY;
use crate::container::Container;

const NOBODY: usize = 0;
const EVERYBODY: usize = 1;
/// Two of three.
const MANY: usize = 2;
const LINE: &str = "the server asks for fewer requests";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_498_is_given_less_and_clients_are_told_when_to_come_back() {
    a_server_that_asks_for_less(498).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_429_is_given_less_and_clients_are_told_when_to_come_back() {
    a_server_that_asks_for_less(429).await;
}

async fn a_server_that_asks_for_less(status: u16) {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let (refuses, asked) = (Arc::new(AtomicUsize::new(NOBODY)), Arc::new(AtomicUsize::new(0)));
    let refusing = Arc::clone(&refuses);
    let front = SwiftFront::before_with(&container.server, move |_| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        let refuse = |number: usize| slow_down(status, number.is_multiple_of(2).then_some(1));
        match refusing.load(Ordering::SeqCst) {
            EVERYBODY => refuse(number),
            MANY if !number.is_multiple_of(3) => refuse(number / 3),
            _ => Fault::Pass,
        }
    })
    .await;
    let driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;

    refuses.store(EVERYBODY, Ordering::SeqCst);
    let answer = client.head_blob(REPOSITORY, &sha256(b"missing")).await.expect("an answer");
    assert!(is_told_to_wait(answer.status()), "{}", answer.status());
    assert!(answer.headers().contains_key(RETRY_AFTER), "{answer:?}");
    told(&registry, "RATE_LIMITED", LINE);

    refuses.store(MANY, Ordering::SeqCst);
    let calm = AtomicBool::new(false);
    let pushes = futures_util::future::join_all((0..4).map(|number| push_for_long(&client, number, &calm)));
    let pause = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        refuses.store(NOBODY, Ordering::SeqCst);
        calm.store(true, Ordering::SeqCst);
    };
    let (pushed, ()) = tokio::join!(pushes, pause);
    are_there(&client, pushed).await;
    image.is_served_again(&registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swift_that_limits_its_writes_loses_nothing_that_was_acknowledged() {
    let options = SwiftOptions { writes_per_second: Some(10), ..SwiftOptions::default() };
    let container = Container::start_with(Flavour::SwiftTempauth, options).await;
    let front = SwiftFront::before(&container.server).await;
    let driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    let client = registry.client();
    let calm = AtomicBool::new(false);
    let pushes = futures_util::future::join_all((0..4).map(|number| push_for_long(&client, number, &calm)));
    let pause = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        calm.store(true, Ordering::SeqCst);
    };
    let (pushed, ()) = tokio::join!(pushes, pause);
    let refusals: usize = pushed.iter().map(|one| one.refusals).sum();
    assert!(refusals + sent_again(&front) > 0, "nothing was refused");
    are_there(&client, pushed).await;
}

/// How often the driver itself wrote again what was refused: within a stream nobody else would.
fn sent_again(front: &SwiftFront) -> usize {
    let requests = front.requests();
    let puts = requests.iter().filter(|asked| asked.operation == "PUT object").map(|asked| &asked.name);
    let names: BTreeSet<_> = puts.clone().collect();
    puts.count() - names.len()
}

async fn are_there(client: &Client, pushed: Vec<Pushed>) {
    for (digest, content) in pushed.into_iter().flat_map(|one| one.blobs) {
        assert!(client.get_blob(REPOSITORY, &digest).await.expect("a blob that was pushed") == content);
    }
}

/// What was acknowledged, and how often something was not.
#[derive(Default)]
struct Pushed {
    blobs: Vec<(String, String)>,
    refusals: usize,
}

fn is_told_to_wait(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}

/// Pushes one blob after the other, each until it is taken.
async fn push_for_long(client: &Client, number: usize, calm: &AtomicBool) -> Pushed {
    let mut pushed = Pushed::default();
    for round in 0.. {
        let content = format!("blob {round} of {number}");
        let begin = Instant::now();
        let digest = loop {
            match client.push_blob(REPOSITORY, content.clone()).await {
                Ok(digest) => break digest,
                Err(Failure::Status { status, body, what }) => {
                    assert!(is_told_to_wait(status), "{what}: {status}: {body}");
                    pushed.refusals += 1;
                }
                Err(other) => panic!("{other}"),
            }
            assert!(begin.elapsed() < 2 * PATIENCE, "it does not get through");
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        pushed.blobs.push((digest, content));
        if calm.load(Ordering::SeqCst) {
            break;
        }
    }
    pushed
}
