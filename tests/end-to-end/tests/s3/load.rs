//! A mixed load at two cores with a driver each over one bucket, every request of it in a ledger.

use std::time::Duration;

use longshore_end_to_end::load::{self, Deletes};
use longshore_end_to_end::servers::Implementation;

use crate::bucket::Bucket;

const ORDINARY: Duration = Duration::from_secs(60);
#[cfg(feature = "full")]
const FULL: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_load_at_two_cores_over_versitygw_leaves_nothing_lost_and_nothing_wrong() {
    mixed_load(Implementation::Versitygw, Deletes::Conditional, ORDINARY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_load_at_two_cores_over_rgw_leaves_nothing_lost_and_nothing_wrong() {
    mixed_load(Implementation::Rgw, Deletes::Unconditional, ORDINARY).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_of_mixed_load_over_versitygw_leave_nothing_lost_and_nothing_wrong() {
    mixed_load(Implementation::Versitygw, Deletes::Conditional, FULL).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_of_mixed_load_over_rgw_leave_nothing_lost_and_nothing_wrong() {
    mixed_load(Implementation::Rgw, Deletes::Unconditional, FULL).await;
}

async fn mixed_load(implementation: Implementation, deletes: Deletes, duration: Duration) {
    let bucket = Bucket::start(implementation).await;
    let drivers = [bucket.driver("one"), bucket.driver("two")];
    let cores = [drivers[0].core("").await, drivers[1].core("").await];
    load::mixed_load(&format!("{implementation:?}"), &cores, deletes, duration, Duration::ZERO).await;
}
