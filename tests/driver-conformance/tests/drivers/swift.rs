//! The Swift driver over OpenStack's Swift, with its own users and with Keystone's, and over Ceph's.

use std::fs;

use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::{Flavour, SwiftServer};

use crate::stand::{Stand, Wire};
use crate::{hooks, processors};

#[test]
fn over_swift_tempauth() {
    let _quiet = processors::without_compilers();
    passes_what_it_declares(Flavour::SwiftTempauth);
}

/// The same Swift with other users, whose tokens the tests of the registry over it try in every run.
#[cfg(feature = "full")]
#[test]
fn over_swift_keystone() {
    let _quiet = processors::without_compilers();
    passes_what_it_declares(Flavour::SwiftKeystone);
}

#[test]
fn over_rgw_swift() {
    passes_what_it_declares(Flavour::RgwSwift);
}

/// With hooks, and with a second instance on the same container.
fn passes_what_it_declares(flavour: Flavour) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(SwiftServer::start(flavour));
    let notes = scratch::data_directory();
    let settings = notes.path().join("settings");
    fs::write(&settings, server.settings().iter().map(|line| format!("{line}\n")).collect::<String>())
        .expect("the settings");
    let front = server.process_ids().first().copied().expect("the process at the endpoint");
    let environment = vec![
        ("SETTINGS".to_owned(), settings.display().to_string()),
        ("BACKEND_PID".to_owned(), front.to_string()),
    ];
    let driver = scratch::binary("longshore-driver-swift");
    let stand = Stand::start_with(&driver, &hooks("swift"), Wire::Unix, environment);
    let second = stand.second(|_| server.settings());
    let report = stand.check(Some(&second));
    assert_eq!(report.failed, 0, "{}", report.text);
    assert!(report.passed >= 180, "{}", report.text);
    // Nothing of the kit's is left, not even a segment that nobody knows of.
    let left = runtime.block_on(server.names(""));
    let left: Vec<_> = left.into_iter().filter(|key| key != ".driver/store-id").collect();
    assert_eq!(left, Vec::<String>::new(), "{flavour:?}");
}
