//! A mixed load at two cores with a driver each over one container whose listings lag, every request of it in a ledger.

use std::time::Duration;

use longshore_end_to_end::SwiftFront;
use longshore_end_to_end::load::{self, Deletes};
use longshore_end_to_end::servers::Flavour;

use crate::container::Container;

const MINUTE: Duration = Duration::from_secs(60);
const LAG: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_listings_that_lag_a_mixed_load_at_two_cores_leaves_nothing_lost_and_nothing_wrong() {
    mixed_load(Flavour::SwiftTempauth, MINUTE).await;
}

async fn mixed_load(flavour: Flavour, duration: Duration) {
    let container = Container::start(flavour).await;
    let front = SwiftFront::before(&container.server).await;
    let access = front.access();
    let drivers = [container.driver_through("one", &access), container.driver_through("two", &access)];
    let cores = [drivers[0].core("").await, drivers[1].core("").await];
    front.lag_by(LAG).await;
    load::mixed_load(&format!("{flavour:?}"), &cores, Deletes::Unconditional, duration, 2 * LAG).await;
}
