//! A driver of another protocol version: a core does not start with it, and one that runs serves nothing through it.

use std::sync::Arc;

use bytes::Bytes;
use longshore_driver_proto::v1;
use prost::Message as _;

use crate::bed::{Bed, CALLS};
use crate::front::{Act, Step};
use crate::start::Start;

/// The answer to Handshake selects this.
fn selecting(version: Option<(u32, u32)>) -> Act {
    Act::Edit(Arc::new(move |_, message| {
        let mut answer = v1::HandshakeResponse::decode(message).expect("a handshake");
        answer.selected = version.map(|(major, minor)| v1::Version { major, minor });
        vec![Step::Message(Bytes::from(answer.encode_to_vec()))]
    }))
}

fn others() -> Vec<(&'static str, Act, &'static str)> {
    vec![
        ("newer", selecting(Some((2, 0))), "it selected 2.0"),
        ("older", selecting(Some((0, 9))), "it selected 0.9"),
        ("zero", selecting(Some((0, 0))), "it selected 0.0"),
        ("missing", selecting(None), "it selected none"),
        ("another package", Act::Status("12"), "it has no longshore.driver.v1"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_does_not_start_with_a_driver_of_another_version() {
    let start = Start::prepare();
    for (what, act, said) in others() {
        start.front.spoil("Handshake", act);
        start.assert_refused(
            what,
            &["VERSION_MISMATCH", said, "this core offered 1.1", "install core and driver of one"],
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_comes_back_in_another_version_serves_nothing_until_the_right_one_is_back() {
    let mut bed = Bed::start("version").await;
    for (what, act, said) in others() {
        let mut requests = Vec::new();
        for call in CALLS {
            requests.push((call, bed.request_with(call).await));
        }
        bed.front.spoil("Handshake", act);
        bed.front.cut();
        bed.await_readiness(&["VERSION_MISMATCH"]).await;
        let ends = requests.into_iter().map(async |(call, request)| (call, bed.end_of(request).await));
        for (call, ended) in futures_util::future::join_all(ends).await {
            assert_eq!(ended.status, 503, "{what}, {call}: {ended:?}");
            bed.assert_refused(&format!("{what}, {call}"), &ended, &[said]).await;
        }
        bed.heal().await;
        bed.assert_nothing_lost().await;
    }
    bed.finish("version").await;
}

/// Within a major version, minor versions only add (contract clause H3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_minor_version_is_served() {
    let bed = Bed::start("minor version").await;
    bed.front.spoil("Handshake", selecting(Some((1, 7))));
    bed.front.cut();
    bed.await_well().await;
    bed.finish("minor version").await;
}
