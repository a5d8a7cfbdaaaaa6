//! A driver whose clock is wrong, as libfaketime makes it.

use std::path::PathBuf;

use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::Implementation;
use reqwest::StatusCode;

use super::PATIENCE;
use crate::bucket::Bucket;
use longshore_end_to_end::image::Image;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_are_told_until_they_agree_again() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let directory = scratch::data_directory();
    let offset = directory.path().join("offset");
    let set = |text: &str| std::fs::write(&offset, text).expect("write an offset");
    set("+0");
    let driver = bucket.driver_with("driver", |command| {
        command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", &offset);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    });
    let registry = driver.core("").await;
    let image = Image::push(&registry.client()).await;
    for wrong in ["+20m", "-20m"] {
        set(wrong);
        let (status, body) = image.refusal(&registry).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
        let line = "this machine's clock and the server's differ too much; mend the clock";
        let said = registry.core().await_line(line, PATIENCE);
        assert!(said.contains("BACKEND_CREDENTIALS"), "{said}");
        set("+0");
        image.is_served_again(&registry).await;
    }
}

/// Beside the program of the same package.
fn library() -> PathBuf {
    scratch::tool("faketime", "faketime");
    let libraries = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let candidates = libraries.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.expect("libfaketimeMT.so.1 in /usr/lib/*/faketime")
}
