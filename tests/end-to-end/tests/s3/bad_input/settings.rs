//! Settings that do not fit the server: another region, an authority that is not trusted. The driver reads them at its
//! start; the core over it goes on.

use std::sync::Arc;

use longshore_end_to_end::Authority;
use longshore_end_to_end::servers::{Implementation, Options};
use reqwest::StatusCode;

use crate::bucket::Bucket;
use longshore_end_to_end::image::Image;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_in_another_region_is_told_with_the_right_one() {
    let options = Options { region: Some("eu-west-1"), ..Options::default() };
    let bucket = Bucket::start_with(Implementation::Versitygw, options, &[]).await;
    a_wrong_setting_is_told(
        &bucket,
        "region=eu-west-1",
        "region=us-west-2",
        "the bucket is in another region; mend `region`: set region=eu-west-1",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_an_unknown_authority_is_told_and_ca_file_names_it() {
    let authority = Arc::new(Authority::new());
    authority.issue(1);
    let options = Options { authority: Some(Arc::clone(&authority)), ..Options::default() };
    let trust = format!("ca_file={}", authority.certificate().display());
    let bucket = Bucket::start_with(Implementation::Versitygw, options, &[&trust]).await;
    let stranger = Authority::new();
    a_wrong_setting_is_told(
        &bucket,
        &trust,
        &format!("ca_file={}", stranger.certificate().display()),
        "the S3 server's certificate is signed by nobody who is trusted; name its CA with `ca_file`",
    )
    .await;
    // Without the setting, the system's authorities are trusted, and this is none of them.
    let mut untrusting = bucket.new_driver("another", |_| ());
    untrusting.spawn();
    untrusting.await_line("name its CA with `ca_file`");
}

async fn a_wrong_setting_is_told(bucket: &Bucket, right: &str, wrong: &str, line: &str) {
    let mut right = bucket.driver_with("driver", |command| {
        command.arg(right);
    });
    let registry = right.core("").await;
    let image = Image::push(&registry.client()).await;
    right.kill();
    let mut wrong = bucket.new_driver("driver", |command| {
        command.arg(wrong);
    });
    wrong.spawn();
    let said = wrong.await_line("the store can't be used yet");
    assert!(said.contains("BACKEND_UNAVAILABLE") && said.contains(line), "{said}");
    let (status, body) = image.refusal(&registry).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    wrong.kill();
    right.start();
    image.is_served_again(&registry).await;
}
