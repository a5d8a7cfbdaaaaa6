//! kill -9 inside an open PATCH loses nothing that was acknowledged. Once the sessions are ended nothing is left in the bucket.

use longshore_end_to_end::patch_kills::kills_inside_patches;
use longshore_end_to_end::servers::Implementation;

use crate::bucket::{Bucket, no_multipart_upload_is_left};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_inside_a_patch_lose_nothing_that_was_acknowledged() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let _sides = kills_inside_patches("s3", [bucket.driver("one"), bucket.driver("two")]).await;
    assert_eq!(bucket.server.keys(".driver/uploads/").await, Vec::<String>::new());
    no_multipart_upload_is_left(&bucket.server).await;
}
