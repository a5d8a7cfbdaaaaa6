//! How a request is sent: with which token, for how long, and how often. What it says is [`crate::container`]'s.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{DriverError, Moved, Reason, Result};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::auth::{Access, Current};
use crate::body::{self, Sum};
use crate::config::Config;
use crate::failure::{self, Failure, Outcome};

/// One attempt at a request that carries no large body: a core waits 3 s for the whole call.
const ATTEMPT: Duration = Duration::from_millis(2500);
const CONNECT: Duration = Duration::from_secs(1);
/// Larger bodies take their time, as long as they go on.
const SMALL: u64 = 1024 * 1024;
/// Shorter than a core waits for a backend (contract clause D2); some of it is what a server thinks over at the end.
const STILL: Duration = Duration::from_secs(30);
/// Where Swift goes through thousands of objects before it answers.
const ASSEMBLY: Duration = Duration::from_secs(55);
/// How often a segment is sent.
const ATTEMPTS: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// Bytes that do not come for so long do not come at all.
const STALL: Duration = Duration::from_secs(8);
/// Swift's servers and most proxies keep an idle connection for longer.
const IDLE: Duration = Duration::from_secs(8);
/// Of a refusal.
const WORDS: usize = 4096;

/// What a request may take, and how often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    attempt: Attempt,
    attempts: u32,
}

/// What one sending may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Within(Duration),
    /// As long as bytes go on.
    UnlessStill(Duration),
}

impl Attempt {
    async fn is_over(self, begin: Instant, moved: &Moved) {
        match self {
            Self::Within(time) => sleep_until(begin + time).await,
            Self::UnlessStill(time) => moved.stands_still(time).await,
        }
    }

    /// Of the answer, once it comes.
    fn deadline(self, begin: Instant) -> Instant {
        match self {
            Self::Within(time) => begin + time,
            Self::UnlessStill(time) => Instant::now() + time,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt: Attempt::Within(ATTEMPT), attempts: 1 }
    }
}

impl Patience {
    /// A small one is sent once: the core tries again where that helps, and waits no longer than this for it. What is of a
    /// stream is sent again from here: the core could not do so without the client.
    fn for_content(content: &Content) -> Self {
        if !content.of_stream && content.len() <= SMALL {
            return Self::default();
        }
        Self { attempt: Attempt::UnlessStill(STILL), attempts: ATTEMPTS }
    }

    pub(crate) fn for_assembly() -> Self {
        Self { attempt: Attempt::Within(ASSEMBLY), attempts: 1 }
    }
}

/// What is sent. All of them may be sent twice: none depends on what is there.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    /// Below the account, escaped.
    path: String,
    query: String,
    headers: HeaderMap,
    content: Content,
    /// Of what was sent, where somebody wants to know.
    sum: Option<Sum>,
    patience: Patience,
}

impl Request {
    pub(crate) fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: String::new(),
            headers: HeaderMap::new(),
            content: Content::default(),
            sum: None,
            patience: Patience::default(),
        }
    }

    /// Escaped already.
    pub(crate) fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// And as much time as it takes.
    pub(crate) fn content(mut self, content: Content) -> Self {
        self.patience = Patience::for_content(&content);
        self.content = content;
        self
    }

    /// Takes the MD5 of what is sent.
    pub(crate) fn summed(mut self, sum: &Sum) -> Self {
        self.sum = Some(sum.clone());
        self
    }

    pub(crate) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    fn url(&self, storage_url: &str) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{storage_url}{}{mark}{}", self.path, self.query)
    }
}

/// What the driver asks with.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    current: Current,
}

/// How one sending ended.
enum Sent {
    Answered(Answer),
    /// With 401.
    Refused(Access, Failure),
    /// The connection broke before there was an answer.
    Cut(Failure),
    Failed(Failure),
}

impl Client {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let http = http(config)?;
        Ok(Self { current: Current::new(&http, config)?, http })
    }

    /// Where the account is.
    pub(crate) async fn storage_url(&self) -> Result<String> {
        Ok(self.current.provide().await?.storage_url.to_string())
    }

    pub(crate) async fn send(&self, what: &str, request: &Request) -> Outcome<Answer> {
        let (mut left, mut pause) = (request.patience.attempts, BACKOFF);
        loop {
            left -= 1;
            let failure = match self.attempt(what, request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if left == 0 || !failure.is_transient() => return Err(failure),
                Err(failure) => failure,
            };
            tokio::time::sleep(failure.retry_after().unwrap_or(pause).min(LONGEST_BACKOFF)).await;
            pause = (pause * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Within its patience, once more with a new token, and once more where somebody closed an idle connection in the moment
    /// in which it was used.
    async fn attempt(&self, what: &str, request: &Request) -> Outcome<Answer> {
        let begin = Instant::now();
        let (mut was_refused, mut was_cut) = (false, false);
        loop {
            match self.once(what, request, begin).await {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Refused(access, failure) => {
                    self.current.refused(&access);
                    if std::mem::replace(&mut was_refused, true) {
                        return Err(failure);
                    }
                }
                Sent::Cut(failure) => {
                    if std::mem::replace(&mut was_cut, true) {
                        return Err(failure);
                    }
                }
                Sent::Failed(failure) => return Err(failure),
            }
        }
    }

    async fn once(&self, what: &str, request: &Request, begin: Instant) -> Sent {
        let access = match self.current.provide().await {
            Ok(access) => access,
            Err(error) => return Sent::Failed(Failure::Other(error)),
        };
        let sending = self
            .http
            .request(request.method.clone(), request.url(&access.storage_url))
            .headers(request.headers.clone())
            .header("x-auth-token", access.token.clone());
        let sending = if matches!(request.method, Method::PUT | Method::POST) {
            sending
                .header(CONTENT_LENGTH, request.content.len())
                .body(body::body(&request.content, request.sum.as_ref()))
        } else {
            sending
        };
        let attempt = request.patience.attempt;
        let sent = tokio::select! {
            biased;
            sent = sending.send() => sent,
            () = attempt.is_over(begin, &request.content.moved) => {
                return Sent::Failed(Failure::Other(failure::timed_out(what)));
            }
        };
        let response = match sent {
            Err(error) => {
                let is_cut = error.is_request() && !error.is_connect() && !error.is_timeout();
                let failure = Failure::Other(failure::unsent(what, "the Swift server", &error));
                return if is_cut { Sent::Cut(failure) } else { Sent::Failed(failure) };
            }
            Ok(response) => response,
        };
        let answer = Answer { what: what.to_owned(), response, deadline: attempt.deadline(begin) };
        if answer.response.status().is_success() {
            return Sent::Answered(answer);
        }
        let status = answer.status();
        let failure = answer.refusal(&request.method).await;
        if status == 401 { Sent::Refused(access, failure) } else { Sent::Failed(failure) }
    }

    /// GET of what everybody may read; `None`: there is nothing.
    pub(crate) async fn public(&self, url: &str) -> Result<Option<Bytes>> {
        let what = format!("GET {url}");
        let deadline = Instant::now() + ATTEMPT;
        let sent = timeout_at(deadline, self.http.get(url).send()).await;
        let response = sent
            .map_err(|_| failure::timed_out(&what))?
            .map_err(|error| failure::unsent(&what, "the Swift server", &error))?;
        let answer = Answer { what, response, deadline };
        match answer.status() {
            200..=299 => Ok(Some(answer.all(SMALL as usize).await?)),
            429 | 498.. => Err(answer.refusal(&Method::GET).await.into_error("")),
            _ => Ok(None),
        }
    }
}

/// What came, up to the body.
pub(crate) struct Answer {
    what: String,
    response: reqwest::Response,
    deadline: Instant,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// All of a body that has no more bytes than are said.
    pub(crate) async fn all(self, most: usize) -> Result<Bytes> {
        let (what, deadline) = (self.what.clone(), self.deadline);
        let mut body = self.body();
        let mut all = BytesMut::new();
        loop {
            match timeout_at(deadline, body.next()).await {
                Err(_) => return Err(failure::timed_out(&what)),
                Ok(None) => return Ok(all.freeze()),
                Ok(Some(piece)) => all.extend_from_slice(&piece?),
            }
            if all.len() > most {
                return Err(too_long(&what, most));
            }
        }
    }

    pub(crate) fn body(self) -> Body {
        Body { what: self.what, response: self.response }
    }

    async fn refusal(self, method: &Method) -> Failure {
        let (status, what, deadline) = (self.status(), self.what.clone(), self.deadline);
        let retry_after = failure::retry_after(self.headers());
        let mut body = self.body();
        let mut text = Vec::new();
        // What does not come is only missing in the message.
        while let Ok(Some(Ok(piece))) = timeout_at(deadline, body.next()).await {
            text.extend_from_slice(&piece);
            if text.len() >= WORDS {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        failure::Answer { method, status, text: &text, retry_after }.classify(&what)
    }
}

/// An object's bytes as they come.
pub(crate) struct Body {
    what: String,
    response: reqwest::Response,
}

impl Body {
    /// `None`: that was all, and as much as was announced.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes>> {
        let what = &self.what;
        match timeout(STALL, self.response.chunk()).await {
            Ok(Ok(piece)) => piece.map(Ok),
            Ok(Err(error)) => {
                let message = format!("{what}: the connection broke: {}", failure::chain(&error));
                Some(Err(DriverError::new(Reason::BackendUnavailable, message)))
            }
            Err(_) => {
                let message = format!("{what}: no byte came for {} s", STALL.as_secs());
                Some(Err(DriverError::new(Reason::BackendUnavailable, message)))
            }
        }
    }
}

impl Body {
    /// All of one that has no more bytes than are said.
    pub(crate) async fn all(mut self, most: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await {
            all.extend_from_slice(&piece?);
            if all.len() > most {
                return Err(too_long(&self.what, most));
            }
        }
        Ok(all.freeze())
    }
}

fn too_long(what: &str, most: usize) -> DriverError {
    let message = format!("{what}: the server answers with more than {most} bytes");
    DriverError::new(Reason::BackendUnavailable, message)
}

fn http(config: &Config) -> Result<reqwest::Client> {
    let refuse = |problem: String| DriverError::new(Reason::RequestNotUnderstood, problem);
    let Some(path) = &config.ca_file else {
        return builder().build().or_else(|error| trusting_nobody(&failure::chain(&error)));
    };
    let refuse = |problem: String| refuse(format!("ca_file={}: {problem}", path.display()));
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let certificates =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| refuse(failure::chain(&error)))?;
    if certificates.is_empty() {
        return Err(refuse("there is no certificate in it; it must be PEM".to_owned()));
    }
    builder().tls_certs_only(certificates).build().map_err(|error| refuse(failure::chain(&error)))
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        // Swift speaks nothing else; behind a proxy one connection would carry all transfers.
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .user_agent(concat!("longshore-driver-swift/", env!("CARGO_PKG_VERSION")))
}

/// A small image has no certificates, and a server that it reaches without TLS needs none.
fn trusting_nobody(problem: &str) -> Result<reqwest::Client> {
    tracing::warn!(problem, "no server is trusted over https; install ca-certificates, or set ca_file");
    let client = builder().tls_certs_only([]).build();
    client.map_err(|error| {
        let message = format!("no HTTP client: {}", failure::chain(&error));
        DriverError::new(Reason::RequestNotUnderstood, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_and_what_is_of_a_stream_take_their_time_and_are_sent_again() {
        let bytes = |length: u64| Content::from(Bytes::from(vec![0; length as usize]));
        let brief = Patience { attempt: Attempt::Within(ATTEMPT), attempts: 1 };
        assert_eq!(Patience::for_content(&bytes(0)), brief);
        assert_eq!(Patience::for_content(&bytes(SMALL)), brief);
        let lasting = Patience { attempt: Attempt::UnlessStill(STILL), attempts: ATTEMPTS };
        assert_eq!(Patience::for_content(&bytes(SMALL + 1)), lasting);
        assert_eq!(Patience::for_content(&bytes(0).of_stream(&Moved::default())), lasting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_has_all_the_time_it_takes() {
        let (moved, begin) = (Moved::default(), Instant::now());
        let others = moved.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                tokio::time::sleep(STILL / 2).await;
                others.add(1);
            }
        });
        Attempt::UnlessStill(STILL).is_over(begin, &moved).await;
        assert!(begin.elapsed() >= 51 * STILL, "{:?}", begin.elapsed());
        Attempt::Within(STILL).is_over(begin, &moved).await;
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config: Config =
            toml::from_str(&format!("container = 'c'\nca_file = {:?}", file.path())).unwrap();
        let error = http(&config).unwrap_err();
        assert!(error.message().contains("ca_file="), "{error}");
    }
}
