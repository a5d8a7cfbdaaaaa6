//! What the programs in fuzz/ reach of this crate and nobody else may: the parts that take in what the other side wrote,
//! without a socket around them. Only with the feature `fuzzing`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use longshore_driver_proto::v1;
use tokio::io::DuplexStream;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;

use crate::client::{Remote, RemoteDriver};
use crate::driver::Driver;
use crate::error::Result;
use crate::request_id::RequestId;
use crate::server::{self, MAX_MESSAGE};
use crate::streams::Incoming;
use crate::streams::pieces::{self, Rope};
use crate::wire;

/// The storage service as it is behind HTTP/2: a request and the bytes of its body, as they come.
pub fn storage(
    driver: Arc<dyn Driver>,
    sums: bool,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Future<Output = std::result::Result<Response<Body>, Infallible>> + Send,
> + Clone {
    server::storage_alone(driver, sums)
}

/// Serves one connection, with the HTTP/2 settings of a driver.
///
/// # Errors
/// When the connection fails.
pub async fn serve(
    driver: Arc<dyn Driver>,
    connection: DuplexStream,
) -> std::result::Result<(), tonic::transport::Error> {
    server::serve_over(driver, connection).await
}

/// A driver behind a connection that is there already. The handshake is made over it.
///
/// # Errors
/// When the answer to the handshake is not to be relied on.
pub async fn remote(channel: Channel, remote: &Remote) -> Result<RemoteDriver> {
    RemoteDriver::over(channel, remote).await
}

/// The messages of a body, up to what is none.
pub async fn messages(body: Body, is_answer: bool) -> (Vec<Bytes>, std::result::Result<(), Status>) {
    let mut incoming = match is_answer {
        true => Incoming::answer(body, MAX_MESSAGE),
        false => Incoming::request(body, MAX_MESSAGE),
    };
    let mut found = Vec::new();
    loop {
        match incoming.next().await {
            Ok(Some(mut message)) => found.push(message.copy_to_bytes(message.remaining())),
            Ok(None) => return (found, Ok(())),
            Err(status) => return (found, Err(status)),
        }
    }
}

fn rope(parts: Vec<Bytes>) -> Rope {
    let mut rope = Rope::default();
    for part in parts {
        rope.push(part);
    }
    rope
}

/// A message of an upload, and the data of its chunk; `None`: it can't be decoded.
pub fn take_write(parts: Vec<Bytes>) -> Option<(v1::WriteStreamRequest, Vec<Bytes>)> {
    pieces::take_write(&mut rope(parts)).ok()
}

/// A piece of an object that is read, and its data; `None`: it can't be decoded.
pub fn take_read(parts: Vec<Bytes>) -> Option<(v1::ReadStreamResponse, Vec<Bytes>)> {
    pieces::take_read(&mut rope(parts)).ok()
}

/// A message of an upload with its prefix.
pub fn frame_write(message: v1::WriteStreamRequest) -> Vec<u8> {
    pieces::frame_write(message).concat()
}

/// A piece of an object that is read, with its prefix.
pub fn frame_read(piece: v1::ReadStreamResponse) -> Vec<u8> {
    pieces::frame_read(piece).concat()
}

/// An object of an answer, taken in and given out again.
///
/// # Errors
/// When the answer breaks the contract.
pub fn object(message: v1::Object) -> Result<v1::Object> {
    wire::object_in(Some(message)).map(wire::object_out)
}

/// An entry of a listing, taken in and given out again.
///
/// # Errors
/// When the answer breaks the contract.
pub fn entry(message: v1::Entry) -> Result<v1::Entry> {
    wire::entry_in(message).map(wire::entry_out)
}

/// An upload of an answer, taken in and given out again.
///
/// # Errors
/// When the answer breaks the contract.
pub fn upload(message: v1::Upload) -> Result<v1::Upload> {
    wire::upload_in(Some(message)).map(wire::upload_out)
}

/// A probe's answer, taken in and given out again.
pub fn probe(message: v1::ProbeResponse) -> v1::ProbeResponse {
    wire::probe_out(wire::probe_in(message))
}

/// A fence of a request, taken in and given out again.
///
/// # Errors
/// When it is not there.
pub fn fence(message: Option<v1::Fence>) -> Result<v1::Fence> {
    wire::fence_in(message).map(|fence| wire::fence_out(&fence))
}

/// What a handshake says of a driver, taken in and given out again.
///
/// # Errors
/// When it breaks the contract.
pub fn description(answer: &v1::HandshakeResponse) -> Result<v1::HandshakeResponse> {
    let description = wire::description_in(answer)?;
    Ok(v1::HandshakeResponse {
        capabilities: Some(wire::capabilities_out(&description.capabilities)),
        limits: Some(wire::limits_out(&description.limits)),
        driver_name: description.name,
        driver_version: description.version,
        ..answer.clone()
    })
}

/// A duration of a request.
pub fn duration(duration: &prost_types::Duration) -> Option<Duration> {
    wire::duration(Some(duration))
}

/// The id of a request that a call names.
pub fn request_id(headers: &http::HeaderMap) -> Option<RequestId> {
    crate::request_id::of(headers)
}
