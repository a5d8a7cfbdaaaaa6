//! Two cores and two drivers over one container.

use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::two_cores::chunks_go_to_two_cores_by_turns;

use crate::container::Container;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_go_to_two_cores_by_turns_over_swift() {
    over(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_go_to_two_cores_by_turns_over_swift_with_keystone() {
    over(Flavour::SwiftKeystone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_go_to_two_cores_by_turns_over_rgw() {
    over(Flavour::RgwSwift).await;
}

async fn over(flavour: Flavour) {
    let store = Container::start(flavour).await;
    chunks_go_to_two_cores_by_turns(&format!("swift on {flavour:?}"), &store).await;
}
