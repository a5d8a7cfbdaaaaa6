//! A run: which checks, in which order, what becomes of each, and what is cleaned up before and after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use longshore_driver_proto::v1;
use longshore_driver_sdk::endpoint::Endpoint;

use crate::bed::{Bed, Target};
use crate::check::{Check, Need};
use crate::connection::Connection;
use crate::hooks::Hook;
use crate::new_store::NewStore;
use crate::sweep;
use crate::verdict::{Failure, Verdict};

/// No check takes longer; one that does has failed.
const LIMIT: Duration = Duration::from_secs(60);
/// Checks that do nothing to the driver itself run so many at a time.
const LANES: usize = 4;

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(Failure),
    /// For want of these.
    Skipped(Vec<Need>),
}

/// A check that was run, or was not.
#[derive(Debug, Clone)]
pub struct Finished {
    pub check: Check,
    pub outcome: Outcome,
    pub took: Duration,
}

/// A driver under test.
pub struct Run {
    target: Arc<Target>,
    greeting: Arc<v1::HandshakeResponse>,
    new_store: Option<Arc<NewStore>>,
    /// 16 hexadecimal digits: the name of the run's folder, and what its upload ids begin with.
    id: String,
    leftovers: Verdict,
}

impl Run {
    /// Shakes hands, and clears away what earlier runs left that were killed.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn begin(target: Target) -> Verdict<Self> {
        let (connection, greeting) = Connection::open(&target.endpoint, target.trusted).await?;
        let id = sweep::new_run()?;
        // A driver in which this fails can be checked all the same.
        let leftovers = sweep::leftovers(&connection).await;
        let (greeting, new_store) = initialised(&connection, greeting).await;
        Ok(Self { target: Arc::new(target), greeting: Arc::new(greeting), new_store, id, leftovers })
    }

    /// What the driver said of itself.
    pub fn greeting(&self) -> &v1::HandshakeResponse {
        &self.greeting
    }

    /// Whether what earlier runs left could be cleared away.
    pub fn leftovers(&self) -> &Verdict {
        &self.leftovers
    }

    /// Runs checks, and tells of each as it ends: first those that leave the driver in peace, several at a time, then
    /// those that kill or stop it, one after the other.
    pub async fn run(&self, checks: &[Check], mut tell: impl FnMut(&Finished)) -> Vec<Finished> {
        let mut finished = Vec::with_capacity(checks.len());
        let (rough, gentle): (Vec<_>, Vec<_>) = self.applicable(checks).into_iter().partition(is_rough);
        let mut running = stream::iter(gentle).map(|check| self.one(check)).buffer_unordered(LANES);
        while let Some(done) = running.next().await {
            tell(&done);
            finished.push(done);
        }
        drop(running);
        for check in rough {
            let mut done = self.one(check).await;
            if let (Err(failure), Outcome::Passed) = (self.revive(&done).await, &done.outcome) {
                done.outcome = Outcome::Failed(failure);
            }
            tell(&done);
            finished.push(done);
        }
        finished
    }

    /// Without those of another kind of endpoint.
    pub fn applicable(&self, checks: &[Check]) -> Vec<Check> {
        let other_kind =
            |need: &Need| need.is_of_the_endpoint() && Bed::lacks(&self.target, &self.greeting, *need);
        checks.iter().filter(|check| !check.needs.iter().any(other_kind)).copied().collect()
    }

    async fn one(&self, check: Check) -> Finished {
        let lacks = |need: &Need| Bed::lacks(&self.target, &self.greeting, *need);
        let missing: Vec<Need> = check.needs.iter().copied().filter(lacks).collect();
        if !missing.is_empty() {
            return Finished { check, outcome: Outcome::Skipped(missing), took: Duration::ZERO };
        }
        let begin = Instant::now();
        let (target, greeting, run) = (self.target.clone(), self.greeting.clone(), self.id.clone());
        let new_store = self.new_store.clone();
        // In a task of its own: a check that panics is a check that failed.
        let work = tokio::spawn(async move {
            let bed = Bed::new(target, greeting, new_store, &run, check.name).await?;
            (check.work)(&bed).await
        });
        let abort = work.abort_handle();
        let outcome = match tokio::time::timeout(LIMIT, work).await {
            Ok(Ok(Ok(()))) => Outcome::Passed,
            Ok(Ok(Err(failure))) => Outcome::Failed(failure),
            Ok(Err(error)) => Outcome::Failed(Failure::new("the check itself", "to come to an end", error)),
            Err(_) => {
                abort.abort();
                let limit = format!("an end within {} s", LIMIT.as_secs());
                Outcome::Failed(Failure::new("the whole check", limit, "it still waits for the driver"))
            }
        };
        Finished { check, outcome, took: begin.elapsed() }
    }

    /// After a check that kills or stops: whatever it left undone, the next one finds a driver with its backend.
    async fn revive(&self, after: &Finished) -> Verdict {
        let Some(hooks) = &self.target.hooks else { return Ok(()) };
        if after.check.needs.contains(&Need::BackendStop) && after.outcome != Outcome::Passed {
            // It fails where the check had started the backend again.
            let _ = hooks.run(Hook::BackendStart).await;
        }
        if self.answers().await {
            return Ok(());
        }
        if hooks.has(Hook::Start) {
            hooks.run(Hook::Start).await?;
        }
        Connection::open(&self.target.endpoint, self.target.trusted).await.map(drop)
    }

    async fn answers(&self) -> bool {
        let open = Connection::dial(
            &self.target.endpoint,
            self.target.trusted,
            crate::connection::Windows::default(),
        );
        match open.await {
            Ok(connection) => connection.handshake_with(crate::connection::handshake()).await.is_ok(),
            Err(_) => false,
        }
    }

    /// Clears away what this run made.
    ///
    /// # Errors
    /// When something can't be listed or deleted.
    pub async fn end(self) -> Verdict {
        let (connection, _) = Connection::open(&self.target.endpoint, self.target.trusted).await?;
        sweep::own(&connection, &self.id).await
    }

    /// Where to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.target.endpoint
    }

    /// A bed outside the checks.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn bed(&self, name: &str) -> Verdict<Bed> {
        Bed::new(self.target.clone(), self.greeting.clone(), self.new_store.clone(), &self.id, name).await
    }
}

/// A store that was never initialised gets an id: what the contract says of one that has none is not enough to check.
async fn initialised(
    connection: &Connection,
    greeting: v1::HandshakeResponse,
) -> (v1::HandshakeResponse, Option<Arc<NewStore>>) {
    if !greeting.store_id.is_empty() {
        return (greeting, None);
    }
    let new_store = NewStore::initialise(connection).await;
    let again = connection.handshake_with(crate::connection::handshake()).await;
    (again.unwrap_or(greeting), Some(Arc::new(new_store)))
}

/// Whether a check does something to the driver's process or backend.
fn is_rough(check: &Check) -> bool {
    check.needs.iter().any(|need| matches!(need, Need::Restart | Need::Terminate | Need::BackendStop))
}

/// Checks whose name contains the pattern, fits it as a whole (`list.*`), or is it (`=NAME`).
///
/// # Errors
/// When there is none.
pub fn select(all: &[Check], pattern: Option<&str>) -> Result<Vec<Check>, String> {
    let Some(pattern) = pattern else { return Ok(all.to_vec()) };
    let fits = |check: &&Check| match pattern.strip_prefix('=') {
        Some(name) => check.name == name,
        None if pattern.contains(['*', '?']) => matches(pattern.as_bytes(), check.name.as_bytes()),
        None => check.name.contains(pattern),
    };
    let chosen: Vec<_> = all.iter().filter(fits).copied().collect();
    if chosen.is_empty() {
        return Err(format!("no check has a name like {pattern:?}; --list shows them all"));
    }
    Ok(chosen)
}

/// `*` stands for anything, `?` for one letter.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        (Some((letter, pattern)), Some((first, name))) => {
            (letter == first || *letter == b'?') && matches(pattern, name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    fn chosen(pattern: &str) -> Vec<&'static str> {
        select(&checks::all(), Some(pattern)).unwrap().iter().map(|check| check.name).collect()
    }

    #[test]
    fn a_pattern_is_a_part_of_the_name_or_a_glob_or_the_name_itself() {
        assert!(chosen("start-after").iter().all(|name| name.contains("start-after")));
        assert_eq!(
            chosen("*.start-after-is-exclusive"),
            ["list.start-after-is-exclusive", "sessions.start-after-is-exclusive"]
        );
        assert!(chosen("list.*").len() > 10 && chosen("list.*").iter().all(|name| name.starts_with("list.")));
        assert_eq!(chosen("=object.put-then-get"), ["object.put-then-get"]);
        assert_eq!(chosen("object.put-then-ge?"), ["object.put-then-get"]);
    }

    #[test]
    fn a_pattern_that_fits_no_check_is_an_error() {
        for pattern in ["=object", "object", "list", "*.nothing-like-it", "?"] {
            let fits = select(&checks::all(), Some(pattern));
            assert_eq!(fits.is_ok(), ["object", "list"].contains(&pattern), "{pattern}");
        }
    }
}
