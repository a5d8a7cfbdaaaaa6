//! A world of its own for each input: a runtime whose clock only goes on when nothing else does, so that deadlines come
//! at once and in order, and nothing of one input is left for the next.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;
use tonic::transport::{Channel, Endpoint};

/// What lies between both ends.
const BUFFER: usize = 64 * 1024;

/// Both ends of a connection.
pub fn pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(BUFFER)
}

/// Does the work of one input.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(work)
}

/// Waits until every task has come to rest.
pub async fn rest() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The core's end, as tonic makes one.
pub async fn channel(connection: DuplexStream) -> Option<Channel> {
    longshore_driver_sdk::endpoint::channel(connection, Endpoint::from_static("http://driver")).await.ok()
}

/// A client that sends what it is told to.
pub async fn client<B>(connection: DuplexStream) -> hyper::client::conn::http2::SendRequest<B>
where
    B: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await;
    let (sender, connection) = made.expect("the client's half of a handshake needs no answer");
    tokio::spawn(async move {
        let _broken = connection.await;
    });
    sender
}
