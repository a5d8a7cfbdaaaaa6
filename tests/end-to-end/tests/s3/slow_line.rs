//! A line to the server that is slower than the client.

use longshore_end_to_end::bucket::Bucket;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::slow_line::{SlowLine, a_push_waits_for_the_line};

use crate::REPOSITORY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_over_a_slow_line_takes_its_time_and_is_done() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let line = SlowLine::before(bucket.server.endpoint()).await;
    let driver = bucket.driver_through("slow", &line.url());
    let registry = driver.core("").await;
    a_push_waits_for_the_line(&registry.client(), REPOSITORY).await;
}
