//! A driver that comes back with another store behind the same socket: nothing is read from it and nothing written to it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_end_to_end::{Process, scratch};
use prost::Message as _;

use crate::bed::{Bed, CALLS};
use crate::front::{Act, Step};

/// The answer to Handshake names this store, whatever store the core expects.
fn naming(store: &'static str) -> Act {
    Act::Edit(Arc::new(move |_, message| {
        let mut answer = v1::HandshakeResponse::decode(message).expect("a handshake");
        store.clone_into(&mut answer.store_id);
        vec![Step::Message(Bytes::from(answer.encode_to_vec()))]
    }))
}

/// Every file below a directory, with its content.
fn files(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = std::fs::read(&path).expect("a file");
            found.push((path, content));
        }
    }
    found.sort();
    found
}

async fn all_is_refused(bed: &mut Bed, what: &str, spoil: impl FnOnce(&Bed), said: &[&str]) {
    let mut requests = Vec::new();
    for call in CALLS {
        requests.push((call, bed.request_with(call).await));
    }
    spoil(bed);
    bed.await_readiness(&["STORE_MISMATCH"]).await;
    let bed = &*bed;
    let ends = requests.into_iter().map(async |(call, request)| (call, bed.end_of(request).await));
    for (call, ended) in futures_util::future::join_all(ends).await {
        assert_eq!(ended.status, 503, "{what}, {call}: {ended:?}");
        bed.assert_refused(&format!("{what}, {call}"), &ended, said).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_at_another_store_is_neither_read_nor_written() {
    let mut bed = Bed::start("another store").await;
    let data = scratch::data_directory();
    let (root, socket) = (data.path().join("other"), bed.front.driver_socket().with_file_name("other.sock"));
    let mut command = Command::new(scratch::binary("longshore-driver-filesystem"));
    command.arg("--endpoint").arg(format!("unix://{}", socket.display()));
    command.arg(format!("root={}", root.display())).arg("init=if-absent");
    let other = Process::spawn("the driver of the other store", &mut command);
    other.await_line("listening", Duration::from_secs(5));
    let before = files(&root);
    assert!(!before.is_empty(), "the other store has its id");

    all_is_refused(&mut bed, "another store", |bed| bed.front.point_at(&socket), &["STORE_MISMATCH"]).await;
    assert_eq!(files(&root), before, "nothing was written to the other store");

    bed.front.point_at(&bed.front.driver_socket());
    bed.await_well().await;
    bed.finish("another store").await;
}

/// It does not look at `expected_store_id`, as contract clause H6 demands: the core looks itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_hides_that_its_store_is_another_one_is_found_out() {
    let mut bed = Bed::start("hidden store").await;
    for (what, store, said) in [
        ("another id", "another-store", "the driver is at another-store, and not at "),
        ("no id", "", "the driver is at a store without an id, and not at "),
    ] {
        let spoil = |bed: &Bed| {
            bed.front.spoil("Handshake", naming(store));
            bed.front.cut();
        };
        all_is_refused(&mut bed, what, spoil, &[said]).await;
        bed.heal().await;
        bed.assert_nothing_lost().await;
    }
    bed.finish("hidden store").await;
}
