//! The calls to an old driver, each in a worker. A call goes on where its caller has gone away: what a worker began it ends,
//! and is of use again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_sdk::{DriverError, Moved, Reason, Result};
use serde_json::{Value, json};

use crate::config::{Config, Verify};
use crate::failure::{Failure, Outcome};
use crate::pool::{Lent, Pool};
use crate::reading::Pieces;
use crate::worker::{Answer, Kind, Launch};

/// The backend may take its time for an object as a whole, once it has all the bytes.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Many requests of the old driver.
const SELF_TEST_PATIENCE: Duration = Duration::from_secs(30);
/// Names of a folder can only be had all at once.
const LIST_PATIENCE: Duration = Duration::from_secs(8);

#[derive(Clone)]
pub(crate) struct Python {
    pool: Arc<Pool>,
    verify: Verify,
}

/// What stands at a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// With its bytes, if they were asked for and are few enough.
    Object {
        size: u64,
        content: Option<Bytes>,
    },
    Folder,
    Absent,
}

/// Names in a folder, in the order of their bytes; those of folders end with a slash.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// With sizes of objects.
    pub(crate) entries: Vec<(String, u64)>,
    pub(crate) more: bool,
    /// Of those that the old driver has. Some of these may not be shown.
    pub(crate) last: Option<String>,
}

/// What the old driver can do, by trying it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) range: bool,
    pub(crate) removes_by_prefix: bool,
    /// Folders stay when nothing is in them any more.
    pub(crate) empty_folders: bool,
    /// [`Python::list_below`] can be asked for.
    pub(crate) lists_below: bool,
}

impl Python {
    pub(crate) fn new(config: &Config, lock: Option<&Path>) -> Result<Self> {
        let pool = Pool::new(Launch::new(config, lock)?, config.workers);
        Ok(Self { pool, verify: config.verify })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Starts the first worker, if there is none; logs what it is.
    pub(crate) async fn introduce(&self) -> Result<()> {
        if self.pool.has_idle() {
            return Ok(());
        }
        let (lent, said) = self.pool.lend_new().await?;
        lent.give_back();
        let version = said.version.unwrap_or_default();
        tracing::info!(python = %said.python, class = %said.class, version = %version, "loaded the old driver");
        Ok(())
    }

    /// An object that is there, if any is; later calls look at it before they state that another is not.
    pub(crate) async fn find_canary(&self) -> Result<Option<String>> {
        let (answer, _) = self.call(json!({"call": "find_canary"}), Bytes::new(), SELF_TEST_PATIENCE).await?;
        Ok(answer.key)
    }

    /// Tries what the old driver can do. With `write`, that leaves an object to be the canary.
    pub(crate) async fn self_test(&self, write: bool, canary: Option<&str>) -> Result<Facts> {
        let request = json!({"call": "self_test", "write": write, "canary": canary});
        let (answer, _) = self.call(request, Bytes::new(), SELF_TEST_PATIENCE).await?;
        for note in &answer.notes {
            tracing::warn!(driver = %self.pool.launch.driver, "self-test: {note}");
        }
        Ok(Facts {
            range: answer.range,
            removes_by_prefix: answer.removes_by_prefix.unwrap_or(true),
            empty_folders: answer.empty_folders.unwrap_or(true),
            lists_below: answer.lists_below,
        })
    }

    pub(crate) async fn stat(&self, key: &str) -> Result<Found> {
        let (answer, _) = self.quick(json!({"call": "stat", "key": key}), Bytes::new()).await?;
        self.found(&answer, None)
    }

    /// As [`Python::stat`], and its bytes if there are no more than `most`.
    pub(crate) async fn get(&self, key: &str, most: u32) -> Result<Found> {
        let request = json!({"call": "get", "key": key, "most": most});
        let (answer, body) = self.quick(request, Bytes::new()).await?;
        let content = (!answer.large).then_some(body);
        self.found(&answer, content)
    }

    fn found(&self, answer: &Answer, content: Option<Bytes>) -> Result<Found> {
        match (answer.kind, answer.size) {
            (Some(Kind::Object), Some(size)) => Ok(Found::Object { size, content }),
            (Some(Kind::Folder), _) => Ok(Found::Folder),
            (Some(Kind::Absent), _) => Ok(Found::Absent),
            _ => Err(self.malformed("neither what is there nor its size")),
        }
    }

    /// Replaces an object, and looks at what came of it.
    pub(crate) async fn put(&self, key: &str, content: Bytes) -> Result<()> {
        let request = json!({"call": "put", "key": key, "verify": self.verify.as_str()});
        self.quick(request, content).await.map(drop)
    }

    /// Says whether there was one.
    pub(crate) async fn remove(&self, key: &str, by_prefix: bool) -> Result<bool> {
        let request = json!({"call": "remove", "key": key, "by_prefix": by_prefix});
        self.quick(request, Bytes::new()).await.map(|(answer, _)| answer.removed)
    }

    /// Replaces an object by a file's bytes, and looks at what came of it. What the old driver took is counted in `moved`, and
    /// what was read back of it.
    pub(crate) async fn write(
        &self,
        key: &str,
        file: &Path,
        size: u64,
        ranged: bool,
        moved: &Moved,
    ) -> Result<()> {
        let request = json!({
            "call": "write", "key": key, "file": file, "size": size,
            "verify": self.verify.as_str(), "ranged": ranged,
        });
        self.call_counted(request, Bytes::new(), WRITE_PATIENCE, moved).await.map(drop)
    }

    /// Names of a folder (empty: the root) that do not sort before `from`, where a folder sorts as its name and a slash.
    pub(crate) async fn list(&self, folder: &str, from: &str, limit: usize) -> Result<Names> {
        self.listed(json!({"call": "list", "key": folder, "from": from, "limit": limit})).await
    }

    /// Objects below a folder, however deep, by the rest of their paths: those behind `after`.
    pub(crate) async fn list_below(&self, folder: &str, after: &str, limit: usize) -> Result<Names> {
        self.listed(json!({"call": "list_below", "key": folder, "after": after, "limit": limit})).await
    }

    async fn listed(&self, mut request: Value) -> Result<Names> {
        request["canary"] = json!(self.pool.canary());
        let this = self.clone();
        let listing = tokio::spawn(async move {
            let mut lent = this.pool.lend().await?;
            let outcome = this.list_with(&mut lent, &request).await;
            this.settle(lent, "list_directory", outcome).await
        });
        joined(listing.await)
    }

    async fn list_with(&self, lent: &mut Lent, request: &Value) -> Outcome<Names> {
        let Some(worker) = lent.worker() else { return Err(no_worker()) };
        worker.send(request, &[], self.pool.launch.timeout).await?;
        let mut names = Names::default();
        loop {
            let (answer, _) = worker.next(LIST_PATIENCE).await?;
            for (name, kind, size) in answer.names {
                match (kind, size) {
                    (Kind::Folder, _) => names.entries.push((format!("{name}/"), 0)),
                    (Kind::Object, Some(size)) => names.entries.push((name, size)),
                    (Kind::Object, None) | (Kind::Absent, _) => return Err(malformed_names()),
                }
            }
            if answer.end {
                names.more = answer.more;
                names.last = names.entries.last().map(|(name, _)| name.clone());
                return Ok(names);
            }
        }
    }

    /// The bytes of an object from an offset on. `ranged`: the old driver is asked for just these.
    pub(crate) async fn read(&self, key: &str, offset: u64, length: u64, ranged: bool) -> Result<Pieces> {
        let lent = self.pool.lend_to_read().await?;
        Pieces::start(lent, Arc::clone(&self.pool), key, offset, length, ranged).await
    }

    async fn quick(&self, request: Value, body: Bytes) -> Result<(Answer, Bytes)> {
        self.call(request, body, self.pool.launch.timeout).await
    }

    /// One call, whose answer may have frames before the last that say only that it goes on.
    async fn call(&self, request: Value, body: Bytes, patience: Duration) -> Result<(Answer, Bytes)> {
        self.call_counted(request, body, patience, &Moved::default()).await
    }

    async fn call_counted(
        &self,
        mut request: Value,
        body: Bytes,
        patience: Duration,
        moved: &Moved,
    ) -> Result<(Answer, Bytes)> {
        if request.get("canary").is_none() {
            request["canary"] = json!(self.pool.canary());
        }
        let (this, moved) = (self.clone(), moved.clone());
        let calling = tokio::spawn(async move {
            let is_long = request["call"] == "write";
            let mut lent = if is_long { this.pool.lend_to_write().await? } else { this.pool.lend().await? };
            let outcome = ask(&mut lent, &request, &body, patience, &moved).await;
            let name = request["call"].as_str().unwrap_or_default();
            this.settle(lent, name, outcome).await
        });
        joined(calling.await)
    }

    /// Gives a worker back that can be asked again.
    async fn settle<T>(&self, lent: Lent, call: &str, outcome: Outcome<T>) -> Result<T> {
        settle(&self.pool, lent, call, outcome).await
    }

    fn malformed(&self, what: &str) -> DriverError {
        let message = format!("the worker of the old driver `{}` answered {what}", self.pool.launch.driver);
        DriverError::new(Reason::DriverBug, message)
    }
}

async fn ask(
    lent: &mut Lent,
    request: &Value,
    body: &[u8],
    patience: Duration,
    moved: &Moved,
) -> Outcome<(Answer, Bytes)> {
    let Some(worker) = lent.worker() else { return Err(no_worker()) };
    worker.send(request, body, patience).await?;
    let mut before = 0;
    loop {
        let (answer, body) = worker.next(patience).await?;
        if answer.end {
            return Ok((answer, body));
        }
        moved.add(answer.progress.saturating_sub(before));
        before = answer.progress;
    }
}

fn malformed_names() -> Failure {
    Failure::Broken(std::io::Error::new(std::io::ErrorKind::InvalidData, "a name of no kind, or of no size"))
}

fn no_worker() -> Failure {
    Failure::Broken(std::io::ErrorKind::NotConnected.into())
}

/// Gives a worker back that can be asked again, and ends it otherwise: it is gone when this returns.
pub(crate) async fn settle<T>(pool: &Pool, lent: Lent, call: &str, outcome: Outcome<T>) -> Result<T> {
    match outcome {
        Ok(value) => {
            lent.give_back();
            Ok(value)
        }
        Err(failure) => {
            let ended = if failure.leaves_worker() {
                lent.give_back();
                None
            } else {
                lent.kill().await
            };
            Err(failure.into_error(&pool.launch.driver, call, ended.as_deref()))
        }
    }
}

/// A task fails to come to an end only when the runtime stops, or it panicked.
pub(crate) fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    outcome.unwrap_or_else(|error| {
        let message = format!("a call to a worker was broken off: {error}");
        Err(DriverError::new(Reason::DriverBug, message).with_unknown_outcome().with_source(error))
    })
}
