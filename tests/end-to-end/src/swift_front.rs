//! A front before a Swift: it counts what is asked, lets the container's listings lag, and does to each request what a judge
//! says. What it does not know of passes as it came.

mod listing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::http::request::Parts;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::faults::{Fault, FaultyFront};
use crate::servers::{SwiftAccess, decode, path_of};
use listing::Query;

/// How often the container is looked at while its listings lag, where that is quick.
const LOOK: Duration = Duration::from_millis(200);
/// The largest that Swift gives.
const PAGE: usize = 10_000;

/// What was asked of the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwiftRequest {
    /// `PUT object`, `PUT manifest`, `GET list`, `POST bulk-delete`, `GET auth`, `GET info` and the like.
    pub operation: String,
    /// Of the object, decoded; empty for a request about none.
    pub name: String,
    /// As it was on the wire, without the question mark.
    pub query: String,
}

/// It listens until it is dropped.
pub struct SwiftFront {
    front: FaultyFront,
    shared: Arc<Shared>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// Past the front.
    access: SwiftAccess,
    requests: Mutex<Vec<SwiftRequest>>,
    lag: Mutex<Option<Lag>>,
}

/// How the container's listings lag.
struct Lag {
    by: Duration,
    /// What it listed, and when it had done so; from a little before the lag until now.
    looks: Vec<(Instant, Arc<Vec<Value>>)>,
}

impl SwiftFront {
    pub async fn before(access: &SwiftAccess) -> Self {
        Self::before_with(access, |_| Fault::Pass).await
    }

    /// The judge is asked of each request. Listings that lag he does not see.
    pub async fn before_with(
        access: &SwiftAccess,
        judge: impl Fn(&Parts) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let (requests, lag) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { access: access.clone(), requests, lag });
        let judged = Arc::clone(&shared);
        let front = FaultyFront::before(access.endpoint(), move |asked| {
            lock(&judged.requests).push(judged.request(asked));
            judged.lagging(asked).unwrap_or_else(|| judge(asked))
        });
        Self { front: front.await, shared, looking: Mutex::default() }
    }

    /// The way through it.
    pub fn access(&self) -> SwiftAccess {
        self.shared.access.reached_at(&self.front.url())
    }

    /// What it has been asked so far, in the order of its coming.
    pub fn requests(&self) -> Vec<SwiftRequest> {
        lock(&self.shared.requests).clone()
    }

    /// Counts from now on.
    pub fn forget_requests(&self) {
        lock(&self.shared.requests).clear();
    }

    /// From now on listings of the container in JSON show what it listed so long ago, whoever changed it and how; fractions of
    /// a second longer, and for the first time what it lists now. Objects, and the container's counts, are current.
    pub async fn lag_by(&self, by: Duration) {
        self.catch_up();
        let now = self.shared.access.entries("", PAGE).await;
        *lock(&self.shared.lag) = Some(Lag { by, looks: vec![(Instant::now(), Arc::new(now))] });
        *lock(&self.looking) = Some(tokio::spawn(look(Arc::clone(&self.shared))));
    }

    /// Listings are current again.
    pub fn catch_up(&self) {
        if let Some(looking) = lock(&self.looking).take() {
            looking.abort();
        }
        *lock(&self.shared.lag) = None;
    }
}

impl Drop for SwiftFront {
    fn drop(&mut self) {
        self.catch_up();
    }
}

/// A server that asks for fewer requests: 498 as Swift says it, 429 and 503 as what stands before one does.
pub fn slow_down(status: u16, retry_after: Option<u32>) -> Fault {
    let mut answer = Response::builder().status(status).header("content-type", "text/plain");
    if let Some(seconds) = retry_after {
        answer = answer.header("retry-after", seconds.to_string());
    }
    Fault::Answer(answer.body("Slow down".to_owned()).expect("a response"))
}

/// Looks again and again; a server that is down is asked again later.
async fn look(shared: Arc<Shared>) {
    loop {
        let begin = Instant::now();
        let listed = shared.access.try_entries("", PAGE).await;
        // A processor is not for this alone.
        let pause = LOOK.max(begin.elapsed() * 4);
        if let (Ok(listed), Some(lag)) = (listed, lock(&shared.lag).as_mut()) {
            lag.note(listed);
        }
        tokio::time::sleep(pause).await;
    }
}

impl Lag {
    fn note(&mut self, listed: Vec<Value>) {
        self.looks.push((Instant::now(), Arc::new(listed)));
        let shown = self.shown();
        self.looks.drain(..shown);
    }

    /// The newest look that is old enough, or else the oldest.
    fn shown(&self) -> usize {
        self.looks.iter().rposition(|(at, _)| at.elapsed() >= self.by).unwrap_or(0)
    }
}

impl Shared {
    /// What becomes of a listing while listings lag.
    fn lagging(&self, asked: &Parts) -> Option<Fault> {
        let lag = lock(&self.lag);
        let lag = lag.as_ref().filter(|_| asked.method == Method::GET)?;
        if self.container_and_name(asked)? != (self.access.container(), "") {
            return None;
        }
        let query = Query::parse(asked.uri.query().unwrap_or_default());
        if !query.json {
            let refused =
                Response::builder().status(501).body("listings in JSON alone can lag here".to_owned());
            return Some(Fault::Answer(refused.expect("a response")));
        }
        let shown = Arc::clone(&lag.looks[lag.shown()].1);
        Some(Fault::Edit(Box::new(move |current| {
            // Errors are current.
            if current.starts_with('[') { Value::from(query.page(&shown)).to_string() } else { current }
        })))
    }

    fn request(&self, asked: &Parts) -> SwiftRequest {
        let query = asked.uri.query().unwrap_or_default();
        let method = &asked.method;
        let (what, name) = match self.container_and_name(asked) {
            None if asked.uri.path().ends_with("/info") => ("info", ""),
            None if asked.uri.path().starts_with("/auth/") => ("auth", ""),
            None => ("other", ""),
            Some(_) if query.contains("bulk-delete") => ("bulk-delete", ""),
            Some(("", _)) => ("account", ""),
            Some((_, "")) if *method == Method::GET => ("list", ""),
            Some((_, "")) => ("container", ""),
            Some((_, name)) if query.contains("multipart-manifest=") => ("manifest", name),
            Some((_, name)) => ("object", name),
        };
        SwiftRequest { operation: format!("{method} {what}"), name: decode(name), query: query.to_owned() }
    }

    /// As they are on the wire. None for what is not below the storage URL.
    fn container_and_name<'a>(&self, asked: &'a Parts) -> Option<(&'a str, &'a str)> {
        let below = asked.uri.path().strip_prefix(path_of(self.access.storage_url()))?;
        let below = below.strip_prefix('/').unwrap_or(below);
        Some(below.split_once('/').unwrap_or((below, "")))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
