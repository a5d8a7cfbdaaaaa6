//! Clients that hold a connection and hardly use it: 2,000 slow heads and 2,000 slow bodies, silent handshakes, idle
//! connections, responses that nobody reads. The limits are shorter than the defaults, which unit tests look at.

use std::time::{Duration, Instant};

use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::{Authority, Registry, figure, sha256};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use crate::frames::{END_HEADERS, END_STREAM, HEADERS, Peer, frame, get};
use crate::good::GoodClient;
use crate::raw::{Trickled, closed, connect, send, trickle};

const SOCKETS: usize = 2000;
const MANY: &str = "listen = '127.0.0.1:0'\n[limits]\nconnections_per_ip = 3000\nidle = '30s'\n";
const PACE: Duration = Duration::from_millis(400);

/// 2,000 sockets are more than the usual 1,024 descriptors.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .expect("setrlimit");
    let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(have > 4096, "only {have} files may be open: raise the hard limit");
}

/// A queue of the kernel that overflows drops connections that the registry never sees.
async fn pause(number: usize) {
    if number.is_multiple_of(50) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All ended, none before `least` and none after `most`.
async fn all_ended(what: &str, slow: JoinSet<Trickled>, least: Duration, most: Duration) -> Vec<Trickled> {
    let ended = slow.join_all().await;
    let open = ended.iter().filter(|end| !end.in_time).count();
    assert_eq!(open, 0, "{open} of {} connections are still open", ended.len());
    let first = ended.iter().map(|end| end.after).min().expect("some");
    let last = ended.iter().map(|end| end.after).max().expect("some");
    figure!("{what}: {} sockets closed after {first:.1?} to {last:.1?}", ended.len());
    assert!(first >= least && last <= most, "closed after {first:?} to {last:?}, not {least:?} to {most:?}");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_heads_are_closed_in_time_while_a_good_client_works() {
    raise_descriptors();
    let registry = Registry::start_listening(&format!("{MANY}header_read = '4s'"), None).await;
    let good = GoodClient::start(&registry).await;
    let mut slow = JoinSet::new();
    for number in 0..SOCKETS {
        // Some send nothing at all, some not even what tells HTTP/2 from HTTP/1.
        let begin = ["", "PRI * HT", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "][number % 3];
        let drip: &[u8] = if number % 3 == 2 { b"a" } else { b"" };
        slow.spawn(trickle(registry.address().to_owned(), begin.to_owned(), drip, PACE));
        pause(number).await;
    }
    all_ended("slow heads", slow, Duration::from_millis(3000), Duration::from_secs(12)).await;
    good.unharmed("slow heads", 96 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_bodies_are_closed_in_time_while_a_good_client_works() {
    raise_descriptors();
    let limits = format!("{MANY}header_read = '3s'\nbody_rate_over = '3s'");
    let registry = Registry::start_listening(&limits, None).await;
    let good = GoodClient::start(&registry).await;
    let digest = sha256(b"never sent");
    let mut slow = JoinSet::new();
    for number in 0..SOCKETS {
        let target = match number % 20 {
            0 => format!("POST /v2/slow/r{number}/blobs/uploads/?digest={digest}"),
            _ => format!("PUT /v2/slow/r{number}/manifests/latest"),
        };
        let head = format!("{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{{");
        slow.spawn(trickle(registry.address().to_owned(), head, b" ", PACE));
        pause(number).await;
    }
    let ended = all_ended("slow bodies", slow, Duration::from_millis(2000), Duration::from_secs(16)).await;
    let told = ended.iter().filter(|end| end.said.contains("at least 3072 are asked for")).count();
    assert!(told * 10 > SOCKETS * 9, "{told} of {SOCKETS} were told why: {:?}", ended[1].said);
    good.unharmed("slow bodies", 192 << 20).await;
}

#[tokio::test]
async fn an_idle_connection_lives_longer_than_a_slow_head_and_not_for_ever() {
    let limits = "listen = '127.0.0.1:0'\n[limits]\nheader_read = '500ms'\nidle = '2s'";
    let registry = Registry::start_listening(limits, None).await;
    let mut stream = connect(registry.address()).await;
    for _ in 0..2 {
        send(&mut stream, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.expect("an answer");
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "a request after 1 s of rest is served");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (_, after) = closed(&mut stream).await;
    assert!(after > Duration::from_millis(700) && after < Duration::from_secs(5), "closed after {after:?}");

    let mut stream = connect(registry.address()).await;
    send(&mut stream, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let _answer = stream.read(&mut [0; 4096]).await.expect("an answer");
    send(&mut stream, "GET /v2/ HT").await;
    let (_, after) = closed(&mut stream).await;
    assert!(after < Duration::from_millis(1900), "the second head of a connection took {after:?}");
}

#[tokio::test]
async fn an_idle_http_2_connection_is_sent_away_and_then_closed() {
    let limits = "listen = '127.0.0.1:0'\n[limits]\nidle = '1s'";
    let registry = Registry::start_listening(limits, None).await;
    let mut peer = Peer::connect(registry.address(), 65_535).await;
    let begin = Instant::now();
    assert!(peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/v2/"))).await);
    let said = peer.ended().await;
    assert_eq!((said.answers, said.goaway), (1, Some(0)), "answered, then a GOAWAY without an error");
    let after = begin.elapsed();
    assert!(after > Duration::from_millis(900) && after < Duration::from_secs(10), "closed after {after:?}");
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_begin_or_end_is_closed() {
    let authority = Authority::new();
    authority.issue(1);
    let config = format!("listen = '127.0.0.1:0'\n[limits]\ntls_handshake = '1s'\n{}", authority.tls());
    let registry = Registry::start_listening(&config, Some(&authority.certificate())).await;
    for begin in [&b""[..], &[0x16, 3, 1, 2, 0, 1]] {
        let mut stream = connect(registry.address()).await;
        send(&mut stream, begin).await;
        let (_, after) = closed(&mut stream).await;
        assert!(
            after > Duration::from_millis(900) && after < Duration::from_secs(5),
            "closed after {after:?}"
        );
    }
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_cut_off() {
    const SIZE: usize = 64 << 20;
    let limits = "listen = '127.0.0.1:0'\n[limits]\nwrite_stall = '2s'";
    let registry = Registry::start_listening(limits, None).await;
    let digest = registry.client().push_blob("stall/read", vec![1; SIZE]).await.expect("push");
    let mut stream = connect(registry.address()).await;
    let target = blob_path("stall/read", &digest);
    send(&mut stream, format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    // A client that reads on after a rest shorter than the limit is served.
    let mut some = vec![0; 8 << 20];
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.read_exact(&mut some).await.expect("the blob goes on");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let begin = Instant::now();
    let (rest, _) = closed(&mut stream).await;
    assert!(rest.len() + 2 * some.len() < SIZE, "the whole blob came after {:?}", begin.elapsed());
}
