//! Every other test of this directory once more, over each S3 server: this executable runs them in a process of its own,
//! whose registries keep their stores in the server's bucket.

use std::process::{Command, Stdio};
use std::time::Instant;

use longshore_end_to_end::figure;
use longshore_end_to_end::servers::{Implementation, S3Server, STORE};
use tokio::sync::Mutex;

use crate::over_swift::OVER;

/// Held by who tries a Swift, over either of its APIs: it is interpreters, and two at once are so slow that its listings lag for
/// longer than any test waits.
pub(crate) static INTERPRETERS: Mutex<()> = Mutex::const_new(());

/// What the other tests mostly do is wait.
const AT_ONCE: &str = "--test-threads=8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_versitygw() {
    every_test_passes_over(Implementation::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_swift() {
    let _alone = INTERPRETERS.lock().await;
    every_test_passes_over(Implementation::Swift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_test_passes_over_rgw() {
    every_test_passes_over(Implementation::Rgw).await;
}

async fn every_test_passes_over(implementation: Implementation) {
    let server = S3Server::start(implementation).await;
    every_other_test_passes(STORE, &server.to_string(), &format!("{implementation:?}"));
}

/// With the environment variable that names a server.
pub(crate) fn every_other_test_passes(variable: &str, value: &str, name: &str) {
    let begin = Instant::now();
    let mut tests = Command::new(std::env::current_exe().expect("the path of this executable"));
    tests.args([AT_ONCE, "--skip", "over_s3::", "--skip", "over_swift::"]);
    let output = tests.env(variable, value).stdin(Stdio::null()).output().expect("the tests run");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "over {name}:\n{said}{complained}");
    let result = said.lines().find(|line| line.starts_with("test result: ok. ")).expect("a result");
    // None but those of these files is left out.
    let out = Implementation::ALL.len() + OVER.len();
    let others = format!("; 0 failed; 0 ignored; 0 measured; {out} filtered out;");
    assert!(result.contains(&others), "{result}");
    figure!("http over {name}: {result}, {:.1} s", begin.elapsed().as_secs_f64());
}
