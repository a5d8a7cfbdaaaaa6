//! A driver's server on a connection, and somebody at the other end who sends calls with bodies of any form, or bytes
//! that are hardly HTTP/2: every call is answered as the contract says, and the next one too.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1;
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{Driver, Key, KeyPrefix, ListQuery, Reason, fuzzing, wire};
use longshore_fuzz::grpc::{self, Answer, End};
use longshore_fuzz::requests;
use longshore_fuzz::script::Script;
use longshore_fuzz::{connection, tally};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;
use tonic::body::Body;

const CALLS: usize = 8;
/// How HTTP/2 begins (RFC 9113 3.4), with empty settings behind it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

type Client = hyper::client::conn::http2::SendRequest<Body>;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let accepted = match script.byte() {
        0xff => connection::run(raw(script)),
        _ => connection::run(calls(script)),
    };
    tally::count(accepted);
});

/// Whether a call succeeded.
async fn calls(mut script: Script<'_>) -> bool {
    let driver: Arc<dyn Driver> = Arc::new(MemoryDriver::default());
    let mut client = connect(&driver).await;
    let mut succeeded = false;
    for _ in 0..CALLS {
        if script.is_over() {
            break;
        }
        let (path, body) = requests::call(&mut script);
        let Some(request) = request(&mut script, &path, body) else { continue };
        let Ok(response) = client.send_request(request).await else { break };
        let answer = Answer::of(response).await;
        succeeded |= answer.code() == Some(Code::Ok);
        check(&path, &answer);
        listing_is_sound(&*driver).await;
    }
    still_serves(&mut client).await;
    succeeded
}

/// Bytes on the connection itself. Whether the server said anything.
async fn raw(mut script: Script<'_>) -> bool {
    let driver: Arc<dyn Driver> = Arc::new(MemoryDriver::default());
    let (mut ours, theirs) = connection::pair();
    let server = tokio::spawn(fuzzing::serve(driver.clone(), theirs));
    let mut sent = if script.flag() { PREFACE.to_vec() } else { Vec::new() };
    sent.extend_from_slice(script.rest());
    let written = ours.write_all(&sent).await;
    let _closed = ours.shutdown().await;
    let mut said = Vec::new();
    let wait = std::time::Duration::from_secs(60);
    let _ended = tokio::time::timeout(wait, ours.read_to_end(&mut said)).await;
    drop(ours);
    assert!(server.await.is_ok(), "the server panicked");
    let mut client = connect(&driver).await;
    still_serves(&mut client).await;
    written.is_ok() && !said.is_empty()
}

async fn connect(driver: &Arc<dyn Driver>) -> Client {
    let (ours, theirs) = connection::pair();
    tokio::spawn(fuzzing::serve(driver.clone(), theirs));
    connection::client(ours).await
}

fn request(script: &mut Script<'_>, path: &str, body: Vec<u8>) -> Option<Request<Body>> {
    let end = match script.byte() {
        0xff => End::Trailers(http::HeaderMap::new()),
        _ => End::Plain,
    };
    let cuts = script.bytes().to_vec();
    let mut request =
        Request::post(format!("http://driver{path}")).body(grpc::body(grpc::cut(body, &cuts), end)).ok()?;
    let headers = request.headers_mut();
    let content_type = if script.byte() == 0xff { script.text() } else { "application/grpc".to_owned() };
    headers.insert("content-type", content_type.parse().ok()?);
    headers.insert("te", http::HeaderValue::from_static("trailers"));
    let names = ["x-request-id", "grpc-encoding", "grpc-accept-encoding", "grpc-timeout"];
    for _ in 0..script.byte() % 3 {
        let name = script.pick(&names);
        if let Ok(value) = http::HeaderValue::from_bytes(script.bytes()) {
            headers.insert(name, value);
        }
    }
    if let Some(id) = fuzzing::request_id(headers) {
        assert!(id.as_str().len() <= 64);
    }
    Some(request)
}

/// The answer is one of the contract: a status, with a reason of the list that fits it, and never the blame of the driver.
fn check(path: &str, answer: &Answer) {
    let Some(status) = &answer.status else {
        return assert!(answer.bytes.is_empty(), "an answer of {path} with bytes and no status");
    };
    if status.code() == Code::Ok {
        assert!(grpc::split(&answer.bytes).1, "an answer of {path} with something else than messages in it");
        return;
    }
    let error = wire::from_status(status);
    let ours = tonic_details(status);
    assert!(!ours || !matches!(error.reason(), Reason::DriverBug | Reason::IoError), "{path}: {error}");
    if ours {
        assert_eq!(wire::code(error.reason()), status.code());
    }
    // Rule R4.
    assert!(status.details().len() < 4096 && error.message().len() < 4096, "{path}: {error}");
}

/// Whether the status carries details of ours: others come from HTTP's or gRPC's own rules.
fn tonic_details(status: &tonic::Status) -> bool {
    let domain = wire::ERROR_DOMAIN.as_bytes();
    status.details().windows(domain.len()).any(|window| window == domain)
}

/// Keys of the driver's own never show, and the order is that of bytes (contract clauses K3, L1).
async fn listing_is_sound(driver: &dyn Driver) {
    let query =
        ListQuery { prefix: KeyPrefix::all(), recursive: true, start_after: String::new(), limit: 1000 };
    let page = driver.list(&query).await.expect("a listing");
    let names: Vec<&str> = page.entries.iter().map(|entry| entry.name()).collect();
    assert!(names.is_sorted_by(|one, next| one < next));
    assert!(names.iter().all(|name| Key::parse(name).is_ok()), "{names:?}");
}

/// A call that nothing is wrong with.
async fn still_serves(client: &mut Client) {
    client.ready().await.expect("the server keeps the connection");
    let body = grpc::frame(&v1::ProbeRequest {}.encode_to_vec());
    let request = Request::post("http://driver/longshore.driver.v1.IdentityService/Probe")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(grpc::body(vec![Bytes::from(body)], End::Plain))
        .expect("a request");
    let answer = Answer::of(client.send_request(request).await.expect("an answer")).await;
    assert_eq!(answer.code(), Some(Code::Ok));
    let probe: Vec<v1::ProbeResponse> = answer.messages();
    assert_eq!(probe[0].state(), v1::probe_response::State::Ready);
}
