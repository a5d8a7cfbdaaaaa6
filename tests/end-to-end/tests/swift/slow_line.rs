//! A line to the server that is slower than the client.

use longshore_end_to_end::container::Container;
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::slow_line::{SlowLine, a_push_waits_for_the_line};

use crate::REPOSITORY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_over_a_slow_line_takes_its_time_and_is_done() {
    let container = Container::start(Flavour::RgwSwift).await;
    let line = SlowLine::before(container.server.endpoint()).await;
    let driver = container.driver_through("slow", &container.server.reached_at(&line.url()));
    let registry = driver.core("").await;
    a_push_waits_for_the_line(&registry.client(), REPOSITORY).await;
}
