//! kill -9 inside an open PATCH loses nothing that was acknowledged. Once the sessions are ended there is no segment that is of no
//! object.

use longshore_end_to_end::patch_kills::kills_inside_patches;
use longshore_end_to_end::servers::Flavour;

use crate::container::Container;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_inside_a_patch_lose_nothing_that_was_acknowledged_and_leave_no_segment() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let _sides = kills_inside_patches("swift", [container.driver("one"), container.driver("two")]).await;
    assert_eq!(container.uploads().await, Vec::<String>::new());
    container.no_segment_is_left_over().await;
}
