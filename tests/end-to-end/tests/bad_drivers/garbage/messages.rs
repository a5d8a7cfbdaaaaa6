//! Every call of a client answered with what is no gRPC, or no message.

use std::sync::Arc;

use bytes::Bytes;
use longshore_end_to_end::Random;

use crate::bed::{Bed, CALLS};
use crate::front::{Act, Step, framed};
use crate::start::Start;

fn edit(edit: impl Fn(Bytes) -> Vec<Step> + Send + Sync + 'static) -> Act {
    Act::Edit(Arc::new(move |_, message| edit(message)))
}

fn all() -> Vec<(&'static str, Act)> {
    let html = Bytes::from_static(b"<html>It works!</html>");
    let random = Bytes::from(Random::announced("messages").bytes(5000));
    let zeros = Bytes::from(vec![0; 65_536]);
    // Field 1 has a length, and it is longer than all that follows.
    let undecodable = Bytes::from_static(&[0x0a, 0xff, 0xff, 0x7f, 1, 2, 3]);
    vec![
        ("a web page", Act::Http(200, "text/html", html.clone())),
        ("a web page of an error", Act::Http(500, "text/html", html)),
        ("random bytes as gRPC", Act::Http(200, "application/grpc", random)),
        ("no message and status OK", Act::Status("0")),
        ("a status that is none", Act::Status("soon")),
        ("no message and no status", edit(|_| vec![Step::End])),
        ("a message that can't be decoded", edit(move |_| vec![Step::Message(undecodable.clone())])),
        (
            "half a message",
            edit(|message| {
                let whole = framed(&message);
                vec![Step::Bytes(whole.slice(..whole.len() / 2)), Step::End]
            }),
        ),
        (
            "a message of 4 GiB",
            edit(move |_| {
                vec![
                    Step::Bytes(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])),
                    Step::Forever(zeros.clone()),
                ]
            }),
        ),
        (
            "a compressed message",
            edit(|message| {
                let mut whole = framed(&message).to_vec();
                whole[0] = 1;
                vec![Step::Bytes(whole.into())]
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_answered_with_garbage_is_an_error() {
    let mut bed = Bed::start("garbage").await;
    for (what, act) in all() {
        for call in CALLS {
            let request = bed.request_with(call).await;
            bed.front.spoil(call, act.clone());
            let ended = bed.end_of(request).await;
            bed.assert_refused(
                &format!("{call} is answered with {what}"),
                &ended,
                &["DRIVER_BUG", "BACKEND_UNAVAILABLE"],
            )
            .await;
            bed.front.relent();
        }
        bed.await_well().await;
        bed.assert_nothing_lost().await;
    }
    bed.finish("garbage").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_of_garbage_refuses_the_start_and_later_shows() {
    let start = Start::prepare();
    let mut bed = Bed::start("handshake").await;
    for (what, act) in all() {
        // What may be a driver that is still coming up is waited for, 15 s each.
        if ["a message that can't be decoded", "a web page"].contains(&what) {
            start.front.spoil("Handshake", act.clone());
            start.assert_refused(what, &["DRIVER_BUG", "install another version of it"]);
        }
        let request = bed.request_with("Get").await;
        bed.front.spoil("Handshake", act);
        bed.front.cut();
        bed.await_readiness(&["DRIVER_BUG", "BACKEND_UNAVAILABLE"]).await;
        let ended = bed.end_of(request).await;
        bed.assert_refused(what, &ended, &["DRIVER_BUG", "BACKEND_UNAVAILABLE"]).await;
        bed.heal().await;
        bed.assert_nothing_lost().await;
    }
    bed.finish("handshake").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_of_garbage_shows_and_stops_nothing_else() {
    let bed = Bed::start("probe of garbage").await;
    for (_, act) in all() {
        bed.front.spoil("Probe", act);
        bed.await_readiness(&["DRIVER_BUG", "BACKEND_UNAVAILABLE"]).await;
        bed.assert_nothing_lost().await;
        bed.front.relent();
        bed.await_well().await;
    }
    bed.finish("probe of garbage").await;
}
