//! The S3 driver over real servers, which differ in what they enforce: it declares what holds, and keeps that.

use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::{Implementation, S3Server};

use crate::hooks;
use crate::stand::{Report, Stand, Wire};

#[test]
fn the_s3_driver_passes_what_it_declares_over_versitygw() {
    let report = passes_what_it_declares(Implementation::Versitygw);
    // It declares all but `move`: copying bytes is what it is there to avoid.
    let skipped: Vec<_> = report.text.lines().filter(|line| line.starts_with("SKIP ")).collect();
    assert!(skipped.iter().all(|line| line.contains("move")), "{skipped:#?}");
}

#[cfg(feature = "full")]
#[test]
fn the_s3_driver_passes_what_it_declares_over_swift() {
    let _quiet = crate::processors::without_compilers();
    passes_what_it_declares(Implementation::Swift);
}

#[test]
fn the_s3_driver_passes_what_it_declares_over_rgw() {
    passes_what_it_declares(Implementation::Rgw);
}

#[cfg(feature = "full")]
#[test]
fn the_s3_driver_passes_what_it_declares_over_minio() {
    passes_what_it_declares(Implementation::Minio);
}

#[cfg(feature = "full")]
#[test]
fn the_s3_driver_passes_what_it_declares_over_garage() {
    passes_what_it_declares(Implementation::Garage);
}

/// With hooks, and with a second instance on the same bucket.
fn passes_what_it_declares(implementation: Implementation) -> Report {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(S3Server::start(implementation));
    let driver = scratch::binary("longshore-driver-s3");
    let stand = Stand::start_with(&driver, &hooks("s3"), Wire::Unix, environment(&server, implementation));
    let second = stand.second(|_| {
        vec![
            format!("endpoint={}", server.endpoint()),
            format!("bucket={}", server.bucket()),
            format!("max_parts={}", implementation.max_parts()),
        ]
    });
    let report = stand.check(Some(&second));
    assert_eq!(report.failed, 0, "{}", report.text);
    assert!(report.passed >= 200, "{}", report.text);
    // Nothing of the kit's is left, not even a multipart upload that nobody knows of.
    let left = runtime.block_on(server.keys(""));
    let left: Vec<_> = left.into_iter().filter(|key| key != ".driver/store-id").collect();
    assert_eq!(left, Vec::<String>::new(), "{implementation:?}");
    report
}

fn environment(server: &S3Server, implementation: Implementation) -> Vec<(String, String)> {
    let front = server.process_ids().first().copied().expect("the process at the endpoint");
    [
        ("S3_ENDPOINT", server.endpoint().to_owned()),
        ("BUCKET", server.bucket().to_owned()),
        ("AWS_ACCESS_KEY_ID", server.access_key().to_owned()),
        ("AWS_SECRET_ACCESS_KEY", server.secret_key().to_owned()),
        ("AWS_REGION", server.region().to_owned()),
        ("BACKEND_PID", front.to_string()),
        ("MAX_PARTS", implementation.max_parts().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
