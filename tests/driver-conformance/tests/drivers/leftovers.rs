//! What the kit clears away in a store: leftovers of old runs, and nothing that is somebody else's or of a run that may
//! still be under way.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use longshore_driver_check::bed::ROOT;
use longshore_driver_check::connection::Connection;
use longshore_driver_check::writer::fence;
use longshore_driver_sdk::endpoint::{Endpoint, TrustedPeer};

use crate::stand::{Stand, Wire};

/// The name of a run that began so many seconds ago.
fn run(ago: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    format!("{:08x}0badcafe", now - ago)
}

#[test]
fn leftovers_of_old_runs_go_and_those_of_a_run_under_way_stay() {
    let driver = longshore_end_to_end::scratch::binary("longshore-driver-filesystem");
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks/filesystem");
    let stand = Stand::start(&driver, &hooks, Wire::Unix);
    let (old, young) = (run(2 * 3600), run(600));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let endpoint: Endpoint = stand.endpoint().parse().expect("an endpoint");
    // Of somebody who chose an id that begins like the old run's.
    let foreign = format!("{old}{}", "f".repeat(16));
    let sessions = [
        (format!("{old}{}", "1".repeat(16)), format!("{ROOT}/{old}/check/u")),
        (format!("{young}{}", "1".repeat(16)), format!("{ROOT}/{young}/check/u")),
        (foreign.clone(), "somebody/else".to_owned()),
    ];
    let objects = [
        format!("{ROOT}/{old}/check/a"),
        format!("{ROOT}/{young}/check/a"),
        format!("{ROOT}/photographs/a"),
        format!(".driverless/{ROOT}/{old}/check/a"),
        ".driverless/x".to_owned(),
    ];
    runtime.block_on(async {
        let (connection, _) = Connection::open(&endpoint, TrustedPeer { uid: None }).await.expect("a driver");
        for key in &objects {
            connection.put_key(key, "x").await.expect("Put");
        }
        for (id, key) in &sessions {
            drop(connection.create_upload(id, key, fence(1)).await.expect("create"));
        }
    });
    let report = stand.check_only("=object.put-then-get");
    assert_eq!((report.passed, report.failed), (1, 0), "{}", report.text);
    runtime.block_on(async {
        let (connection, _) = Connection::open(&endpoint, TrustedPeer { uid: None }).await.expect("a driver");
        for (key, stays) in objects.iter().zip([false, true, true, false, true]) {
            assert_eq!(connection.stat_key(key).await.is_ok(), stays, "{key}");
        }
        for ((id, key), stays) in sessions.iter().zip([false, true, true]) {
            assert_eq!(connection.upload(id).await.is_ok(), stays, "session {id} for {key}");
        }
    });
}

#[test]
fn two_runs_on_one_store_leave_each_other_alone() {
    let driver = longshore_end_to_end::scratch::binary("longshore-driver-filesystem");
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks/filesystem");
    let stand = Stand::start(&driver, &hooks, Wire::Unix);
    std::thread::scope(|scope| {
        let long = scope.spawn(|| stand.check_only("list."));
        // One that begins and ends again and again while the other lists what it made.
        while !long.is_finished() {
            let report = stand.check_only("=object.put-then-get");
            assert_eq!((report.passed, report.failed), (1, 0), "{}", report.text);
        }
        let report = long.join().expect("the long run");
        assert_eq!(report.failed, 0, "{}", report.text);
        assert!(report.passed >= 20, "{}", report.text);
    });
}
