//! A driver that hangs, in one call or in all, at once or half-way: every request ends within its deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_end_to_end::client::finish_path;
use longshore_end_to_end::{figure, sha256};
use prost::Message as _;
use reqwest::Method;
use tokio::io::AsyncReadExt as _;

use crate::bed::{ANSWERED_WITHIN, Bed, CALLS, Ended};
use crate::front::{Act, Raw, Step, framed};
use crate::start::Start;

/// While the breaker is open nobody is asked.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Takes what is sent and says nothing.
fn silence() -> Raw {
    Arc::new(|mut socket| {
        Box::pin(async move {
            let mut buffer = vec![0; 65_536];
            while socket.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        })
    })
}

/// One request for each call, with this call spoiled.
async fn each_call(bed: &mut Bed, what: &str, act: &Act) {
    let mut slowest = Duration::ZERO;
    for call in CALLS {
        // An upload that is opened is all that a POST needs.
        let half_way = what == "after the first message";
        let request = if *call == "WriteStream" && half_way {
            bed.patch_request().await
        } else {
            bed.request_with(call).await
        };
        bed.front.spoil(call, act.clone());
        let ended = bed.end_of(request).await;
        let what = format!("{call} hangs {what}");
        if *call == "ReadStream" && half_way {
            bed.assert_cut_off(&what, Some(&ended), "did not answer within").await;
        } else {
            assert_eq!(ended.status, 503, "{what}: {ended:?}");
            bed.assert_refused(&what, &ended, &["TIMEOUT: the driver did not answer within"]).await;
        }
        slowest = slowest.max(ended.took);
        bed.heal().await;
    }
    bed.assert_nothing_lost().await;
    figure!("hangs {what}: slowest refusal {slowest:.1?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_taken_and_never_answered_ends_within_its_deadline() {
    let mut bed = Bed::start("hangs at once").await;
    each_call(&mut bed, "at once", &Act::Hang).await;
    bed.finish("hangs at once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_hangs_after_its_first_message_ends_within_its_deadline() {
    let mut bed = Bed::start("hangs half-way").await;
    let act = Act::Edit(Arc::new(|_, message| vec![Step::Message(message), Step::Hang]));
    each_call(&mut bed, "after the first message", &act).await;
    bed.finish("hangs half-way").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_trickles_ends_within_its_deadline() {
    let mut bed = Bed::start("trickles").await;
    let act = Act::Edit(Arc::new(|_, message| vec![Step::Trickle(framed(&message))]));
    each_call(&mut bed, "a byte a second", &act).await;
    bed.finish("trickles").await;
}

/// Each piece comes in time, and all of them together say next to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_crawls_is_cut_off_after_half_a_minute() {
    let mut bed = Bed::start("crawls").await;
    let request = bed.request_with("ReadStream").await;
    bed.front.spoil(
        "ReadStream",
        Act::Edit(Arc::new(|count, message| {
            let piece = v1::ReadStreamResponse::decode(message.clone()).expect("a piece");
            if count == 0 {
                return vec![Step::Message(message)];
            }
            let one_byte = |(index, byte)| {
                let data = Bytes::copy_from_slice(&[byte]);
                let piece =
                    v1::ReadStreamResponse { offset: piece.offset + index, data, ..Default::default() };
                [Step::Message(piece.encode_to_vec().into()), Step::Rest]
            };
            (0..).zip(piece.data.iter().copied()).flat_map(one_byte).collect()
        })),
    );
    let ended = bed.end_of(request).await;
    bed.assert_cut_off("crawls", Some(&ended), "less than 1 KiB for each second").await;
    assert!(ended.took < Duration::from_secs(40), "{ended:?}");
    figure!("hangs: a read of a byte a second was cut off after {:.1?}", ended.took);
    bed.heal().await;
    bed.finish("crawls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_call_hangs_the_breaker_opens_and_closes_again() {
    let mut bed = Bed::start("breaker").await;
    let requests = requests(&mut bed).await;
    bed.front.spoil_every_call(Act::Hang);
    for (call, ended) in all(&bed, requests).await {
        assert_eq!(ended.status, 503, "{call}: {ended:?}");
        bed.assert_refused(call, &ended, &["did not answer within", "the driver does not answer"]).await;
    }
    bed.await_readiness(&["BACKEND_UNAVAILABLE"]).await;
    assert!(bed.registry.core().log_contains("calls are refused until a probe succeeds"), "the breaker");
    let begin = Instant::now();
    let refused = bed.end_of(bed.client.get("/v2/bad/app/tags/list")).await;
    assert_eq!(refused.status, 503);
    assert!(begin.elapsed() < AT_ONCE, "the breaker is open: {refused:?}");
    bed.assert_refused("the breaker is open", &refused, &["the driver does not answer"]).await;
    bed.front.relent();
    bed.await_well().await;
    bed.finish("breaker").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_accepts_and_says_nothing_is_refused_at_start_and_waited_for_later() {
    let start = Start::prepare();
    start.front.spoil_connections(silence());
    start.assert_refused("silence", &["did not answer within", "at its log"]);

    let mut bed = Bed::start("silence").await;
    for what in ["silent connection", "silent handshake"] {
        let requests = requests(&mut bed).await;
        if what == "silent connection" {
            bed.front.spoil_connections(silence());
        } else {
            bed.front.spoil("Handshake", Act::Hang);
            bed.front.cut();
        }
        for (call, ended) in all(&bed, requests).await {
            assert_eq!(ended.status, 503, "{what}, {call}: {ended:?}");
            let said = &["did not answer within", "connection to the driver"];
            bed.assert_refused(&format!("{what}, {call}"), &ended, said).await;
        }
        bed.await_readiness(&["BACKEND_UNAVAILABLE", "TIMEOUT"]).await;
        bed.heal().await;
        bed.assert_nothing_lost().await;
    }
    bed.finish("silence").await;
}

/// The driver did what it was asked: the core asks for the session before it answers (contract clause E3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_never_comes_is_asked_after_and_found_done() {
    let bed = Bed::start("commit").await;
    let content = Bytes::from_static(b"committed, and nobody was told");
    let digest = sha256(&content);
    let location = bed.client.start_upload("bad/app").await.expect("POST");
    let (location, _) = bed.client.patch(&location, 0, content.clone()).await.expect("PATCH");
    let opened_only =
        |count, message| if count == 0 { vec![Step::Message(message)] } else { vec![Step::Hang] };
    bed.front.spoil("WriteStream", Act::Edit(Arc::new(opened_only)));
    let ended = bed.end_of(bed.client.request(Method::PUT, &finish_path(&location, &digest))).await;
    assert_eq!(ended.status, 201, "{ended:?}");
    assert!(ended.took < ANSWERED_WITHIN, "{ended:?}");
    figure!("hangs: a commit was found done after {:.1?}", ended.took);
    assert_eq!(bed.client.get_blob("bad/app", &digest).await.expect("GET"), content);

    bed.heal().await;
    bed.client.finish_upload(&location, &digest).await.expect("PUT again");
    assert_eq!(bed.client.get_blob("bad/app", &digest).await.expect("GET"), content);
    bed.finish("commit").await;
}

/// A driver whose probe hangs shows, and is used as long as its other calls are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_hangs_shows_and_stops_nothing_else() {
    let bed = Bed::start("probe").await;
    bed.front.spoil("Probe", Act::Hang);
    bed.await_readiness(&["TIMEOUT"]).await;
    bed.assert_nothing_lost().await;
    bed.heal().await;
    bed.finish("probe").await;
}

/// The sweeper alone makes this call. Drain and Move are made by nobody yet, Sign of a driver that declares it alone:
/// tests/http/redirects.rs has one that hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_uploads_that_hangs_stops_nothing_else() {
    let bed = Bed::start("sweep").await;
    bed.front.spoil("ListUploads", Act::Hang);
    let begin = Instant::now();
    while !bed.front.saw("ListUploads") {
        assert!(begin.elapsed() < Duration::from_secs(10), "no sweep");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..8 {
        bed.assert_nothing_lost().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bed.heal().await;
    for call in ["Drain", "Move", "Sign"] {
        assert!(!bed.front.saw(call), "{call} is made, and needs a test of its own here");
    }
    bed.finish("sweep").await;
}

type Requests = Vec<(&'static str, reqwest::RequestBuilder)>;

async fn requests(bed: &mut Bed) -> Requests {
    let mut requests = Vec::new();
    for call in CALLS {
        requests.push((*call, bed.request_with(call).await));
    }
    requests
}

/// All at once.
async fn all(bed: &Bed, requests: Requests) -> Vec<(&'static str, Ended)> {
    let ends = requests.into_iter().map(async |(call, request)| (call, bed.end_of(request).await));
    futures_util::future::join_all(ends).await
}
