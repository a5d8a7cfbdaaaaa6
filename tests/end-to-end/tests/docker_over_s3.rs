//! A real docker engine pushes a layer of 1 GiB to a registry over each S3 server, and pulls it back.

use longshore_end_to_end::bucket::{Bucket, Driver};
use longshore_end_to_end::docker_round::{GIB, Place, pushes_and_pulls};
use longshore_end_to_end::servers::Implementation;

async fn start(implementation: Implementation) -> Place<Driver, Bucket> {
    let bucket = Bucket::start(implementation).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("").await;
    Place::new(registry, driver, bucket, format!("{implementation:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls_a_layer_of_1_gib_over_each_s3_server() {
    let [one, two, three] = Implementation::ALL.map(start);
    let (one, two, three) = tokio::join!(one, two, three);
    pushes_and_pulls(vec![one, two, three], GIB);
}
