//! A front before a real HTTP server that holds one request back: before it reaches the server, in the middle of its body, or
//! after it was answered. All others it passes on. What was held is delivered in any case, also when its sender is gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bodies below this have no middle.
const LARGE: usize = 1 << 20;
/// Words of so many letters are names that nobody chose.
const RANDOM: usize = 16;

/// A request of a client that does the same again and again: the first, second ... of its kind. By its kind, because one that
/// is tried again must not make another of those that come after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    kind: String,
    ordinal: usize,
    /// Its first line.
    pub line: String,
}

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server has not a byte of it.
    Request,
    /// The server has half of its body. Small bodies are not held.
    Body,
    /// The server has answered, and its client has not a byte of the answer.
    Answer,
}

/// It listens until it is dropped.
pub struct HoldingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    server: String,
    /// Requests whose line has this in it are not counted, and never held.
    beside: &'static str,
    state: Mutex<State>,
}

struct State {
    /// The requests that were counted.
    steps: Vec<Step>,
    held: Held,
    under_way: usize,
    last_end: Instant,
}

struct Held {
    /// `None`: nothing is held.
    step: Option<Step>,
    moment: Moment,
    phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Awaited,
    Holds,
    Released,
}

impl HoldingProxy {
    /// Before the server at this URL. Requests with `beside` in their first line are passed on and not counted.
    pub async fn before(server: &str, beside: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let held = Held { step: None, moment: Moment::Request, phase: watch::Sender::new(Phase::Released) };
        let state = State { steps: Vec::new(), held, under_way: 0, last_end: Instant::now() };
        let server = server.trim_start_matches("http://").to_owned();
        let shared = Arc::new(Shared { server, beside, state: Mutex::new(state) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Counts from now on, and holds this one.
    pub fn hold(&self, step: &Step, moment: Moment) {
        self.start(Some(step.clone()), moment, Phase::Awaited);
    }

    /// Counts from now on, and holds none.
    pub fn count(&self) {
        self.start(None, Moment::Request, Phase::Released);
    }

    fn start(&self, step: Option<Step>, moment: Moment, phase: Phase) {
        let mut state = self.shared.state();
        state.steps.clear();
        state.held = Held { step, moment, phase: watch::Sender::new(phase) };
    }

    /// Returns when the request is held.
    pub async fn held(&self) {
        let mut phase = self.shared.state().held.phase.subscribe();
        let _gone = phase.wait_for(|phase| *phase != Phase::Awaited).await;
    }

    pub fn release(&self) {
        self.shared.state().held.phase.send_replace(Phase::Released);
    }

    /// The requests since the last `hold` or `count`.
    pub fn steps(&self) -> Vec<Step> {
        self.shared.state().steps.clone()
    }

    /// Returns when nothing is under way, and nothing was for so long.
    pub async fn rests(&self, rest: Duration) {
        loop {
            let since = {
                let state = self.shared.state();
                (state.under_way == 0).then(|| state.last_end.elapsed())
            };
            match since {
                Some(since) if since >= rest => return,
                _ => tokio::time::sleep(rest / 10).await,
            }
        }
    }
}

impl Drop for HoldingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, line: &str) -> Step {
        let kind = kind(line);
        let mut state = self.state();
        let ordinal = state.steps.iter().filter(|step| step.kind == kind).count();
        let step = Step { kind, ordinal, line: line.to_owned() };
        state.steps.push(step.clone());
        step
    }

    /// Returns at once, unless this is what is to be held.
    async fn pass(&self, step: Option<&Step>, moment: Moment) {
        let mut phase = {
            let state = self.state();
            let held = &state.held;
            let same = |one: &Step, other: &Step| one.kind == other.kind && one.ordinal == other.ordinal;
            let is_it = step.zip(held.step.as_ref()).is_some_and(|(step, held)| same(step, held));
            if !is_it || moment != held.moment || *held.phase.borrow() != Phase::Awaited {
                return;
            }
            held.phase.send_replace(Phase::Holds);
            held.phase.subscribe()
        };
        let _gone = phase.wait_for(|phase| *phase == Phase::Released).await;
    }

    fn begins(&self) {
        self.state().under_way += 1;
    }

    fn ends(&self) {
        let mut state = self.state();
        state.under_way -= 1;
        state.last_end = Instant::now();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and ended so.
    let mut connections = JoinSet::new();
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.spawn(one_request(client, Arc::clone(&shared)));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Each connection carries one request: the server is told to close, and its answer ends where the connection does.
async fn one_request(mut client: TcpStream, shared: Arc<Shared>) {
    let _no_delay = client.set_nodelay(true);
    let Some(request) = Request::read(&mut client).await else { return };
    let is_beside = request.line.contains(shared.beside);
    let step = (!is_beside).then(|| shared.count(&request.line));
    if step.is_some() {
        shared.begins();
    }
    shared.pass(step.as_ref(), Moment::Request).await;
    let answer = request.deliver(step.as_ref(), &shared).await.unwrap_or_default();
    shared.pass(step.as_ref(), Moment::Answer).await;
    let _client_gone = client.write_all(&answer).await;
    let _client_gone = client.shutdown().await;
    if step.is_some() {
        shared.ends();
    }
}

struct Request {
    line: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    /// A whole one. `None`: the connection ended before.
    async fn read(client: &mut TcpStream) -> Option<Self> {
        let mut received = Vec::new();
        let end = loop {
            if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if client.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
        };
        let mut body = received.split_off(end);
        let text = String::from_utf8_lossy(&received).into_owned();
        let (line, headers) = text.split_once("\r\n")?;
        let length = header(headers, "content-length").map_or(0, |length| length.parse().expect("a number"));
        assert!(header(headers, "transfer-encoding").is_none(), "{line}: a body without a length");
        if header(headers, "expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        while body.len() < length {
            if client.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        let kept = headers.split_inclusive("\r\n").filter(|header| !is_of_connection(header));
        let head = format!("{line}\r\nConnection: close\r\n{}", kept.collect::<String>());
        Some(Self { line: line.to_owned(), head: head.into_bytes(), body })
    }

    /// Gives the whole answer.
    async fn deliver(&self, step: Option<&Step>, shared: &Shared) -> std::io::Result<Vec<u8>> {
        let server = TcpStream::connect(&shared.server).await?;
        server.set_nodelay(true)?;
        let (mut read, mut write) = server.into_split();
        let middle = if self.body.len() < LARGE { self.body.len() } else { self.body.len() / 2 };
        let send = async {
            write.write_all(&self.head).await?;
            write.write_all(&self.body[..middle]).await?;
            if middle < self.body.len() {
                shared.pass(step, Moment::Body).await;
                write.write_all(&self.body[middle..]).await?;
            }
            Ok(())
        };
        let mut answer = Vec::new();
        // A server may answer before it has read all, and close.
        let (_sent, received): (std::io::Result<()>, _) = tokio::join!(send, read.read_to_end(&mut answer));
        received.map(|_| answer)
    }
}

/// The line without what is random in it: long names, and the id of a multipart upload.
fn kind(line: &str) -> String {
    let line = line.replace("%2F", "/");
    let (before, id) = line.split_once("uploadId=").unwrap_or((&line, ""));
    let after = id.find(['&', ' ']).map_or("", |end| &id[end..]);
    let mut kind = String::new();
    for word in before.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        if is_shard(word) || is_time(word) || word.len() >= RANDOM { kind.push('#') } else { kind += word }
    }
    kind + after
}

fn is_shard(word: &str) -> bool {
    word.strip_suffix('/').is_some_and(|shard| is_hex(shard, 2))
}

/// Nonces of holders and links begin with it.
fn is_time(word: &str) -> bool {
    word.strip_suffix('-').is_some_and(|time| is_hex(time, 12))
}

fn is_hex(word: &str, length: usize) -> bool {
    word.len() == length && word.bytes().all(|letter| letter.is_ascii_hexdigit())
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = headers.split("\r\n").filter_map(|line| line.split_once(':'));
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What is between this proxy and its client alone.
fn is_of_connection(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case("expect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_request_has_nothing_random_in_it() {
        let part = |key: &str, id: &str| format!("PUT /b/objects/{key}?partNumber=3&uploadId={id} HTTP/1.1");
        let one = part("0f/0f921817d0b6bfd8a51186d76a1b1e18", "2~ZTJyLCIqjEUPbXY6bmtZIG6Di4SxSLq");
        let other = part("1a/1a6aaf4aeb9ef0eaaf0451aedf470a6c", "ad6dc1c9-5a0e-4b60-8f6b-0c3d1f2b7d1e");
        assert_eq!(kind(&one), kind(&other));
        assert_ne!(kind(&one), kind(&one.replace("=3", "=4")));
        let segment = |nonce: &str, number: u32| {
            format!(
                "PUT /v1/AUTH_test/c/.driver/segments/6cf7adb8f94220ef32eaa89cf00be7e6/{nonce}-{number:08x} HTTP/1.1"
            )
        };
        assert_eq!(kind(&segment("8cbe1c3891c2215f", 2)), kind(&segment("91c2215f8cbe1c38", 2)));
        assert_ne!(kind(&segment("8cbe1c3891c2215f", 2)), kind(&segment("8cbe1c3891c2215f", 3)));
    }
}
