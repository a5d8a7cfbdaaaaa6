//! Listings that lag behind what was written, by seconds, as Swift's may: what `listing=lagging` promises holds.

use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::lagging_listings::{a_delete_takes_what_was_tagged_a_moment_ago, nothing_is_lost};
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::writer::goes_on_exactly;
use longshore_end_to_end::{Random, SwiftFront};

use crate::REPOSITORY;
use crate::container::Container;

const BLOB: usize = 40 << 20;
const LAG: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_lags_loses_nothing_and_an_upload_goes_on_where_it_began() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let front = SwiftFront::before(&container.server).await;
    let mut driver = container.driver_through("driver", &front.access());
    let registry = driver.core("").await;
    front.lag_by(LAG).await;
    a_delete_takes_what_was_tagged_a_moment_ago(&registry).await;
    nothing_is_lost("swift", &mut driver, registry).await;
    tokio::time::sleep(2 * LAG).await;
    driver.end_all_uploads().await;
    front.catch_up();
    container.no_segment_is_left_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_another_driver_once_the_listing_has_caught_up() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let front = SwiftFront::before(&container.server).await;
    let access = front.access();
    let mut here = container.driver_through("here", &access);
    let there = container.driver_through("there", &access);
    let (near, far) = (here.core("").await, there.core("").await);
    front.lag_by(LAG).await;
    let blob = Bytes::from(Random::announced("swift lagging elsewhere").bytes(BLOB));
    let half = BLOB / 2;
    let location = near.client().start_upload(REPOSITORY).await.expect("POST");
    let (location, durable) =
        near.client().patch(&location, 0, blob.slice(..half)).await.expect("a first half");
    assert_eq!(durable, half as u64);
    here.kill();
    tokio::time::sleep(2 * LAG).await;
    goes_on_exactly(&far.client(), &location, &blob, half).await;
    tokio::time::sleep(2 * LAG).await;
    there.end_all_uploads().await;
    front.catch_up();
    container.no_segment_is_left_over().await;
}
