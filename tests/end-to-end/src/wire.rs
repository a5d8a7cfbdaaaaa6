//! HTTP/1.1 by hand, for tests that must know exactly what has been sent and what has come back at the
//! moment of a fault: an open request, and how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

const PIECE: usize = 64 * 1024;

/// A request on a connection of its own.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    /// A path, or a Location as the registry gave it.
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// A rest between the pieces of the body, for a slow client.
    pub pace: Duration,
}

impl Request {
    pub fn new(method: &'static str, target: &str) -> Self {
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        };
        Self {
            method,
            target: target.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            pace: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    fn head(&self, address: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {address}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + &format!("Content-Length: {}\r\n\r\n", self.body.len())
    }
}

/// A request that has begun.
pub struct Open {
    progress: Arc<Progress>,
    exchange: JoinHandle<Outcome>,
}

#[derive(Default)]
struct Progress {
    head_sent: AtomicBool,
    body_sent: AtomicU64,
    received: AtomicU64,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    Complete(Answer),
    /// The connection ended before a whole response had come.
    Cut {
        received: Vec<u8>,
        why: String,
    },
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Open {
    pub async fn send(address: &str, request: Request) -> Self {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let (read, write) = stream.into_split();
        let progress = Arc::new(Progress::default());
        let head = request.head(address);
        let exchange = tokio::spawn(exchange(read, write, head, request, Arc::clone(&progress)));
        Self { progress, exchange }
    }

    /// Everything up to the end of the head is with the kernel.
    pub fn head_sent(&self) -> bool {
        self.progress.head_sent.load(Ordering::SeqCst)
    }

    pub fn body_sent(&self) -> u64 {
        self.progress.body_sent.load(Ordering::SeqCst)
    }

    /// Not a byte of a response has come.
    pub fn unanswered(&self) -> bool {
        self.progress.received.load(Ordering::SeqCst) == 0
    }

    pub fn finished(&self) -> bool {
        self.exchange.is_finished()
    }

    pub async fn outcome(self, patience: Duration) -> Outcome {
        let ended = tokio::time::timeout(patience, self.exchange).await;
        ended.unwrap_or_else(|_| panic!("neither an answer nor an end after {patience:?}")).expect("no panic")
    }
}

/// Reads while it writes: a registry may answer before it has taken the body.
async fn exchange(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    head: String,
    request: Request,
    progress: Arc<Progress>,
) -> Outcome {
    let bodiless = request.method == "HEAD";
    let writer = tokio::spawn(write_request(write, head, request, Arc::clone(&progress)));
    let outcome = read_answer(read, bodiless, &progress).await;
    writer.abort();
    let _unsent = writer.await;
    outcome
}

/// A refused write is not the outcome: the answer, or its absence, is.
async fn write_request(
    mut write: OwnedWriteHalf,
    head: String,
    request: Request,
    progress: Arc<Progress>,
) -> OwnedWriteHalf {
    if write.write_all(head.as_bytes()).await.is_ok() {
        progress.head_sent.store(true, Ordering::SeqCst);
        for piece in request.body.chunks(PIECE) {
            if write.write_all(piece).await.is_err() {
                break;
            }
            progress.body_sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            if !request.pace.is_zero() {
                tokio::time::sleep(request.pace).await;
            }
        }
    }
    write
}

async fn read_answer(mut read: OwnedReadHalf, bodiless: bool, progress: &Progress) -> Outcome {
    let mut received = Vec::new();
    let mut buffer = vec![0; PIECE];
    loop {
        if let Some(answer) = whole_answer(&received, bodiless) {
            return Outcome::Complete(answer);
        }
        match read.read(&mut buffer).await {
            Ok(0) => return Outcome::Cut { received, why: "end of stream".into() },
            Ok(length) => {
                received.extend_from_slice(&buffer[..length]);
                progress.received.fetch_add(length as u64, Ordering::SeqCst);
            }
            Err(error) => return Outcome::Cut { received, why: error.to_string() },
        }
    }
}

fn whole_answer(received: &[u8], bodiless: bool) -> Option<Answer> {
    let head_end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..head_end]);
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    let rest = &received[head_end + 4..];
    if bodiless || status == 204 || status == 304 {
        return Some(answer);
    }
    if answer.header("transfer-encoding").is_some() {
        answer.body = rest.strip_suffix(b"0\r\n\r\n")?.to_vec();
        return Some(answer);
    }
    let length: usize = answer.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
    answer.body = rest.get(..length)?.to_vec();
    Some(answer)
}
