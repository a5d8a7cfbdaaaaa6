//! Every other test of this directory once more, over each S3 server: this executable runs them in a process of its own,
//! whose registries keep their stores in the server's bucket.

use std::process::{Command, Stdio};
use std::time::Instant;

use longshore_end_to_end::figure;
use longshore_end_to_end::servers::{Implementation, S3Server, STORE};

/// What the other tests mostly do is wait.
const AT_ONCE: &str = "--test-threads=8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_versitygw() {
    every_test_passes_over(Implementation::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_swift() {
    every_test_passes_over(Implementation::Swift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_rgw() {
    every_test_passes_over(Implementation::Rgw).await;
}

async fn every_test_passes_over(implementation: Implementation) {
    let server = S3Server::start(implementation).await;
    let begin = Instant::now();
    let mut tests = Command::new(std::env::current_exe().expect("the path of this executable"));
    tests.args([AT_ONCE, "--skip", "over_s3::"]).env(STORE, server.to_string()).stdin(Stdio::null());
    let output = tests.output().expect("the tests run");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "over {implementation:?}:\n{said}{complained}");
    let result = said.lines().find(|line| line.starts_with("test result: ok. ")).expect("a result");
    // None but those of this file is left out.
    let others = format!("; 0 failed; 0 ignored; 0 measured; {} filtered out;", Implementation::ALL.len());
    assert!(result.contains(&others), "{result}");
    figure!("http over {implementation:?}: {result}, {:.1} s", begin.elapsed().as_secs_f64());
}
