//! Every other test of this directory once more, over Swift and RGW's, as `over_s3.rs` does over each S3 server. Who the
//! driver is to the server makes no difference here.

use longshore_end_to_end::servers::{Flavour, SWIFT_STORE, SwiftServer};

use crate::over_s3::{INTERPRETERS, every_other_test_passes};

pub(crate) const OVER: [Flavour; 2] = [Flavour::SwiftTempauth, Flavour::RgwSwift];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_the_api_of_swift() {
    let _alone = INTERPRETERS.lock().await;
    every_test_passes_over(OVER[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_the_swift_of_rgw() {
    every_test_passes_over(OVER[1]).await;
}

async fn every_test_passes_over(flavour: Flavour) {
    let server = SwiftServer::start(flavour).await;
    every_other_test_passes(SWIFT_STORE, &server.to_string(), &format!("{flavour:?}"));
}
