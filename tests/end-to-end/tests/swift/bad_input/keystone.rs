//! Tokens that are revoked, end, or can't be had while everything runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::image::Image;
use longshore_end_to_end::servers::{Flavour, SwiftOptions};
use longshore_end_to_end::writer::goes_on_exactly;
use longshore_end_to_end::{Fault, Random, SwiftFront};
use reqwest::StatusCode;

use super::told;
use crate::REPOSITORY;
use crate::container::Container;

const BLOB: usize = 40 << 20;
/// Keystone is down for longer than that.
const TOKEN_LIFE: Duration = Duration::from_secs(12);
const DOWN: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_while_all_runs_is_replaced_and_no_client_sees_it() {
    // Swift asks Keystone about each token each time.
    let options = SwiftOptions { token_memory: None, ..SwiftOptions::default() };
    let container = Container::start_with(Flavour::SwiftKeystone, options).await;
    let used = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&used);
    let front = SwiftFront::before_with(&container.server, move |asked| {
        let token = asked.headers.get("x-auth-token").and_then(|token| token.to_str().ok());
        *seen.lock().expect("the token") = token.map(str::to_owned);
        Fault::Pass
    })
    .await;
    let driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push_small(&client, "1").await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let token: String = used.lock().expect("the token").clone().expect("a token");
        container.server.keystone().revoke(&token).await;
        tokens.push(token);
        // One that came just now is not replaced at once.
        tokio::time::sleep(Duration::from_secs(2)).await;
        client.get_manifest(REPOSITORY, "1").await.expect("a pull right after");
        client.push_blob(REPOSITORY, format!("push {}", tokens.len())).await.expect("a push");
        image.is_served_again(&registry).await;
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 3, "each time the driver had another token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keystone_that_is_down_for_longer_than_a_token_lives_costs_nothing_that_was_acknowledged() {
    let options = SwiftOptions { token_life: TOKEN_LIFE, ..SwiftOptions::default() };
    let mut container = Container::start_with(Flavour::SwiftKeystone, options).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;
    let blob = Bytes::from(Random::announced("swift keystone").bytes(BLOB));
    let half = BLOB / 2;
    let location = client.start_upload(REPOSITORY).await.expect("POST");
    let (location, durable) = client.patch(&location, 0, blob.slice(..half)).await.expect("a first half");
    assert_eq!(durable, half as u64);

    container.server.keystone_mut().stop();
    tokio::time::sleep(DOWN).await;
    let (status, body) = image.refusal(&registry).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    told(&registry, "BACKEND_UNAVAILABLE", "log in to Keystone: ");
    told(&registry, "BACKEND_UNAVAILABLE", "can't be reached");
    container.server.keystone_mut().start_again().await;

    image.is_served_again(&registry).await;
    goes_on_exactly(&client, &location, &blob, half).await;
}
