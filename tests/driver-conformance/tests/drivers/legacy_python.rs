//! The driver for old drivers: over `file` under Python 3 and 2.7, over `swift` to a real Swift, and over `s3` to Ceph's RGW.

use std::fs;
use std::path::Path;

use longshore_end_to_end::old_store::{Python, swift_settings};
use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::{Flavour, SwiftServer};

use crate::stand::{Stand, Wire};
use crate::{files, hooks, processors};

#[test]
fn over_the_old_driver_file_under_python_3() {
    over_files(Python::Three, "over_the_old_driver_file_under_python_3");
}

#[test]
fn over_the_old_driver_file_under_python_2() {
    over_files(Python::Two, "over_the_old_driver_file_under_python_2");
}

fn over_files(python: Python, test: &str) {
    let Some(python) = python.of_test(test) else { return };
    let place = scratch::data_directory();
    let settings = settings(&python, "file", &["listing=current".to_owned()]);
    let stand = start(place.path(), &settings, None);
    let report = stand.check(None);
    assert_eq!(report.failed, 0, "{}", report.text);
    assert!(report.passed >= 240, "{}", report.text);
    assert_eq!(files(&stand.root()), Vec::<String>::new(), "nothing of the kit's is left");
}

#[test]
fn over_the_old_driver_swift_to_a_real_one() {
    let _quiet = processors::without_compilers();
    let server = runtime().block_on(SwiftServer::start(Flavour::SwiftTempauth));
    // Swift's names have as many bytes as keys may have: nothing may stand before them.
    let whole = ["config.storage_path=/".to_owned()];
    over_a_server("swift", &[&swift_settings(&server)[..], &whole].concat(), &server.process_ids());
}

#[cfg(feature = "full")]
#[test]
fn over_the_old_driver_s3_to_a_real_one() {
    use longshore_end_to_end::old_store::s3_settings;
    use longshore_end_to_end::servers::{Implementation, S3Server};

    let server = runtime().block_on(S3Server::start(Implementation::Rgw));
    // As with Swift.
    let whole = ["path=/".to_owned()];
    over_a_server("s3", &[&s3_settings(&server)[..], &whole].concat(), &server.process_ids());
}

/// The process at its endpoint is the first.
fn over_a_server(driver: &str, server: &[String], processes: &[u32]) {
    let python = Python::Three.of_test("").expect("Python 3");
    let place = scratch::data_directory();
    let stand = start(place.path(), &settings(&python, driver, server), processes.first().copied());
    let report = stand.check(None);
    assert_eq!(report.failed, 0, "{}", report.text);
    assert!(report.passed >= 180, "{}", report.text);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn settings(python: &Path, driver: &str, more: &[String]) -> String {
    let own = [format!("driver={driver}"), format!("python={}", python.display())];
    own.iter().chain(more).map(|line| format!("{line}\n")).collect()
}

fn start(place: &Path, settings: &str, backend: Option<u32>) -> Stand {
    let file = place.join("settings");
    fs::write(&file, settings).expect("the settings");
    let mut environment = vec![
        ("SETTINGS".to_owned(), file.display().to_string()),
        ("SPOOL".to_owned(), place.join("spool").display().to_string()),
    ];
    environment.extend(backend.map(|process| ("BACKEND_PID".to_owned(), process.to_string())));
    let driver = scratch::binary("longshore-driver-legacy-python");
    Stand::start_with(&driver, &hooks("legacy-python"), Wire::Unix, environment)
}
