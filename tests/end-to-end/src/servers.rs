//! S3 servers for the tests: real ones, on loopback and on ports and data of their own, so that several run at once.
//! `cargo xtask test` provides them in `target/tools`. What was started is killed and reaped on drop.

mod garage;
mod minio;
mod port;
mod rgw;
mod signature;
mod swift;
mod versitygw;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, Response, StatusCode};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;
use crate::{figures, scratch};
use port::Port;
pub use signature::{Credentials, encode};
pub use versitygw::Request;

/// A machine that builds and tests at once is slow to start four interpreters.
const START: Duration = Duration::from_secs(120);
/// Within this, a server on loopback has answered, or it never does.
const ANSWER: Duration = Duration::from_secs(60);

/// Small, so that a test can fill more than one.
pub const PAGE: usize = 100;

/// The implementations: what one of them refuses, another ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// versitygw over a directory: keeps every condition.
    Versitygw,
    /// OpenStack Swift with s3api: no PUT with If-Match.
    Swift,
    /// Ceph's RGW: ignores some conditions silently.
    Rgw,
    /// MinIO: lists multipart uploads by their exact key only. In the full tier.
    Minio,
    /// Garage: enforces no condition. In the full tier.
    Garage,
}

impl Implementation {
    /// Those of every run.
    pub const ALL: [Self; 3] = [Self::Versitygw, Self::Swift, Self::Rgw];
}

/// One server. Fields are dropped in order: first what listens, then what it stands on, then their data.
pub struct S3Server {
    front: Front,
    behind: Vec<Process>,
    access_log: Option<PathBuf>,
    endpoint: String,
    credentials: Credentials,
    bucket: String,
    http: reqwest::Client,
    _ports: Vec<Port>,
    data: TempDir,
}

/// The process at the endpoint, through all its lives.
struct Front {
    name: &'static str,
    command: Command,
    /// None while it is down.
    process: Option<Process>,
}

/// What the file of an implementation makes: all but the front runs.
struct Prepared {
    name: &'static str,
    front: Command,
    behind: Vec<Process>,
    access_log: Option<PathBuf>,
    ports: Vec<Port>,
}

impl S3Server {
    /// It answers, and has an empty bucket.
    pub async fn start(implementation: Implementation) -> Self {
        let blocking = tokio::task::spawn_blocking(move || Self::launch(implementation));
        let mut server =
            blocking.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        server.await_success(Method::PUT, "").await;
        server
    }

    fn launch(implementation: Implementation) -> Self {
        let (data, port) = (scratch::data_directory(), Port::reserve());
        let credentials = Credentials::for_tests(implementation);
        let endpoint = format!("http://127.0.0.1:{}", port.number());
        let mut prepared = match implementation {
            Implementation::Versitygw => versitygw::prepare(data.path(), &port, &credentials),
            Implementation::Swift => swift::prepare(data.path(), &port),
            Implementation::Rgw => rgw::prepare(data.path(), &port, &credentials),
            Implementation::Minio => minio::prepare(data.path(), &port, &credentials),
            Implementation::Garage => garage::prepare(data.path(), &port, &credentials),
        };
        prepared.ports.push(port);
        let mut front = Front { name: prepared.name, command: prepared.front, process: None };
        front.start();
        Self {
            front,
            behind: prepared.behind,
            access_log: prepared.access_log,
            endpoint,
            credentials,
            bucket: "registry".to_owned(),
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
            _ports: prepared.ports,
            data,
        }
    }

    /// `http://127.0.0.1:PORT`, the same after `start_again`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn access_key(&self) -> &str {
        &self.credentials.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.credentials.secret_key
    }

    pub fn region(&self) -> &str {
        &self.credentials.region
    }

    /// What `access_key`, `secret_key` and `region` are parts of.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The one that it has from the start.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Another one, empty.
    pub async fn create_bucket(&self, name: &str) {
        let answer = self.send(Method::PUT, &format!("/{name}"), Bytes::new()).await;
        assert!(answer.status().is_success(), "create the bucket {name}: {}", answer.status());
    }

    /// Kills the process at the endpoint: connections break off, and new ones are refused. What it stands on goes on:
    /// RGW's objects are in the memory of the process behind it.
    pub fn stop(&mut self) {
        let mut process = self.front.process.take().expect("a server that runs");
        process.kill();
    }

    /// After `stop`: the same endpoint, the same data.
    pub async fn start_again(&mut self) {
        assert!(self.front.process.is_none(), "{} runs", self.front.name);
        self.front.start();
        self.await_success(Method::GET, "").await;
    }

    /// Connections stay open and new ones are accepted by the kernel, but nothing is answered until `resume`.
    pub fn pause(&self) {
        let process = self.front.running();
        process.signal(Signal::STOP);
        let begin = Instant::now();
        while !figures::is_stopped(process.id()) {
            assert!(begin.elapsed() < ANSWER, "{} does not stop", self.front.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn resume(&self) {
        self.front.running().signal(Signal::CONT);
    }

    /// What the server has been asked so far, in the order of its answers, the bucket's creation included. An entry is
    /// there before its answer leaves. versitygw alone writes such a log.
    pub fn requests(&self) -> Vec<Request> {
        let log = self.access_log.as_ref().expect("versitygw: the others write no access log");
        versitygw::requests(log)
    }

    /// Every process of its.
    pub fn process_ids(&self) -> Vec<u32> {
        self.front.process.iter().chain(&self.behind).map(Process::id).collect()
    }

    /// Where everything that it writes is.
    pub fn directory(&self) -> &Path {
        self.data.path()
    }

    /// A signed request for a path and query as they go on the wire: `encode` makes a path of a key.
    pub async fn send(&self, method: Method, target: &str, body: Bytes) -> Response {
        let sent = self.attempt(method.clone(), target, body).await;
        sent.unwrap_or_else(|error| panic!("{method} {target}: {error:?}"))
    }

    /// The same, where no answer is to be expected.
    pub async fn attempt(&self, method: Method, target: &str, body: Bytes) -> reqwest::Result<Response> {
        let signed = self.credentials.sign(method.as_str(), &self.endpoint, target, &body);
        let url = format!("{}{target}", self.endpoint);
        // The client leaves the header out where a body is empty, and S3 refuses an object without it.
        let length = (method == Method::PUT || method == Method::POST).then_some(body.len());
        let mut request = self.http.request(method, url).timeout(ANSWER);
        if let Some(length) = length {
            request = request.header(CONTENT_LENGTH, length);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request.body(body).send().await
    }

    pub async fn put(&self, key: &str, body: impl Into<Bytes>) {
        let answer = self.send(Method::PUT, &self.target(key), body.into()).await;
        assert!(answer.status().is_success(), "PUT {key}: {}", answer.status());
    }

    /// None where there is no such object.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let answer = self.send(Method::GET, &self.target(key), Bytes::new()).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(answer.status().is_success(), "GET {key}: {}", answer.status());
        Some(answer.bytes().await.expect("a whole body"))
    }

    pub async fn delete(&self, key: &str) {
        let answer = self.send(Method::DELETE, &self.target(key), Bytes::new()).await;
        assert!(answer.status().is_success(), "DELETE {key}: {}", answer.status());
    }

    /// All keys in the bucket that begin so, in the server's order.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(|last| format!("&start-after={}", encode(last, false)));
            let (after, prefix) = (after.unwrap_or_default(), encode(prefix, false));
            let target = format!("/{}?list-type=2&max-keys={PAGE}&prefix={prefix}{after}", self.bucket);
            let answer = self.send(Method::GET, &target, Bytes::new()).await;
            assert!(answer.status().is_success(), "list {prefix}: {}", answer.status());
            let page = answer.text().await.expect("a whole listing");
            keys.extend(elements(&page, "Key"));
            if elements(&page, "IsTruncated") != ["true"] {
                return keys;
            }
        }
    }

    fn target(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket, encode(key, true))
    }

    /// Asks until it has come up and does what it is asked.
    async fn await_success(&mut self, method: Method, query: &str) {
        let (begin, target) = (Instant::now(), format!("/{}{query}", self.bucket));
        loop {
            let why = match self.attempt(method.clone(), &target, Bytes::new()).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
            let waiting = !self.front.has_ended() && begin.elapsed() < START;
            assert!(waiting, "{method} {target}: {why}\n{}", self.front.running().log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Front {
    fn start(&mut self) {
        self.process = Some(Process::spawn(self.name, &mut self.command));
    }

    /// By itself.
    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.poll().is_some())
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a server that runs")
    }
}

/// The texts of the elements of this name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
    parts.map(|(text, _)| unescape(text)).collect()
}

fn unescape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&#34;", "\"").replace("&#39;", "'").replace("&apos;", "'").replace("&amp;", "&")
}

/// A tool of `target/tools`.
pub fn provided(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools").join(name);
    let provided = std::fs::canonicalize(&path);
    provided.unwrap_or_else(|_| panic!("{} is missing: `cargo xtask test` provides it", path.display()))
}
