//! Connections by hand: what no decent client would send, and when the other end closes.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No test waits longer for a connection to be closed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(18);

pub(crate) async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream
}

pub(crate) async fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.expect("write");
}

/// Reads until the other end closes; gives what came and how long that took.
pub(crate) async fn closed(stream: &mut TcpStream) -> (Vec<u8>, Duration) {
    let begin = Instant::now();
    let mut said = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // A reset is an end too.
    let _reset = end.unwrap_or_else(|_| panic!("still open after {PATIENCE:?}"));
    (said, begin.elapsed())
}

/// Sends the beginning, then these bytes again and again at this pace, until the other end closes.
pub(crate) async fn trickle(address: String, begin: String, drip: &'static [u8], pace: Duration) -> Trickled {
    let stream = connect(&address).await;
    let began = Instant::now();
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut open = write.write_all(begin.as_bytes()).await.is_ok();
        while open {
            tokio::time::sleep(pace).await;
            open = write.write_all(drip).await.is_ok();
        }
        write
    });
    let mut said = Vec::new();
    let end = tokio::time::timeout(PATIENCE, read.read_to_end(&mut said)).await;
    let after = began.elapsed();
    dripping.abort();
    Trickled { after, in_time: end.is_ok(), said: String::from_utf8_lossy(&said).into_owned() }
}

/// How a slow connection ended.
pub(crate) struct Trickled {
    pub(crate) after: Duration,
    pub(crate) in_time: bool,
    pub(crate) said: String,
}
