//! Two cores and two drivers over one bucket.

use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::two_cores::chunks_go_to_two_cores_by_turns;

use crate::bucket::Bucket;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_go_to_two_cores_by_turns_over_versitygw() {
    over(Implementation::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_go_to_two_cores_by_turns_over_swift() {
    over(Implementation::Swift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_go_to_two_cores_by_turns_over_rgw() {
    over(Implementation::Rgw).await;
}

async fn over(implementation: Implementation) {
    let store = Bucket::start(implementation).await;
    chunks_go_to_two_cores_by_turns(&format!("s3 on {implementation:?}"), &store).await;
}
