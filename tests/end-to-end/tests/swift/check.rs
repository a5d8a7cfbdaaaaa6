//! `longshore storage check` over a container.

use std::process::Command;

use longshore_end_to_end::process::run_command;
use longshore_end_to_end::registry::CORE;
use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::Flavour;

use crate::container::Container;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_a_container_can_do_and_leaves_nothing_in_it() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let driver = container.driver("checked");
    let before = container.server.names("").await;
    let mut check = Command::new(scratch::binary(CORE));
    let screen = run_command(check.args(["storage", "check", driver.endpoint(), "--size-mib", "40"]));
    for part in [
        "swift.longshore",
        "put_if_absent    no",
        "put_if_match     no",
        "delete_if_match  no",
        "an upload goes on at any core",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(!screen.contains("temp_url_sig"), "a signed URL is good for anyone: {screen}");
    assert_eq!(container.server.names("").await, before);
}
