//! The workers. Each has one call at a time, for old drivers take no more; they are started when they are needed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_driver_sdk::{DriverError, Reason, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::worker::{Answer, Launch, Worker};

/// A worker that nobody needed for so long ends, but for one.
const IDLE: Duration = Duration::from_secs(30);
/// One of so many workers is kept for short calls, and of the others so many parts for writes.
const KEPT: usize = 4;
const FOR_WRITES: usize = 3;

pub(crate) struct Pool {
    pub(crate) launch: Launch,
    workers: usize,
    permits: Arc<Semaphore>,
    /// Fewer: what goes on for long must leave workers for what does not.
    long_permits: Arc<Semaphore>,
    /// Fewer still: who reads takes as long as he likes, and must leave workers for commits.
    read_permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// An object that is known to be there.
    canary: Mutex<Option<String>>,
}

struct Idle {
    worker: Worker,
    since: Instant,
}

/// A worker, ours until it is given back.
pub(crate) struct Lent {
    worker: Option<Worker>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    _long_permits: Vec<OwnedSemaphorePermit>,
}

impl Pool {
    pub(crate) fn new(launch: Launch, workers: usize) -> Arc<Self> {
        let long = workers.saturating_sub((workers / KEPT).max(1)).max(1);
        let reads = long.saturating_sub((long / FOR_WRITES).max(1)).max(1);
        let [permits, long_permits, read_permits] =
            [workers, long, reads].map(|count| Arc::new(Semaphore::new(count)));
        let (idle, canary) = (Mutex::default(), Mutex::default());
        Arc::new(Self { launch, workers, permits, long_permits, read_permits, idle, canary })
    }

    /// A worker that nobody else has.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent> {
        let permit = self.permit(&self.permits).await?;
        if let Some(worker) = self.take_idle() {
            return Ok(self.lent(worker, permit));
        }
        self.start(permit).await.map(|(lent, _)| lent)
    }

    /// The same, for what goes on as long as there are bytes.
    pub(crate) async fn lend_to_write(self: &Arc<Self>) -> Result<Lent> {
        let long = self.permit(&self.long_permits).await?;
        Ok(Lent { _long_permits: vec![long], ..self.lend().await? })
    }

    /// The same, for what goes on as long as its reader likes.
    pub(crate) async fn lend_to_read(self: &Arc<Self>) -> Result<Lent> {
        let read = self.permit(&self.read_permits).await?;
        let long = self.permit(&self.long_permits).await?;
        Ok(Lent { _long_permits: vec![read, long], ..self.lend().await? })
    }

    /// A new one, and what it says of itself.
    pub(crate) async fn lend_new(self: &Arc<Self>) -> Result<(Lent, Answer)> {
        let permit = self.permit(&self.permits).await?;
        self.start(permit).await
    }

    async fn permit(&self, permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
        let permit = timeout(self.launch.timeout, Arc::clone(permits).acquire_owned()).await;
        // A semaphore that nobody closes always gives a permit, in the end.
        permit.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            let message = format!(
                "all {} workers of the old driver `{}` are busy; workers=N allows for more",
                self.workers, self.launch.driver
            );
            DriverError::new(Reason::TooManyStreams, message)
        })
    }

    async fn start(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<(Lent, Answer)> {
        let canary = self.canary.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (worker, answer) = Worker::start(&self.launch, canary.as_deref()).await?;
        Ok((self.lent(worker, permit), answer))
    }

    fn lent(self: &Arc<Self>, worker: Worker, permit: OwnedSemaphorePermit) -> Lent {
        Lent { worker: Some(worker), pool: Arc::clone(self), _permit: permit, _long_permits: Vec::new() }
    }

    fn take_idle(&self) -> Option<Worker> {
        let mut idle = self.idle();
        while let Some(mut last) = idle.pop() {
            if last.worker.is_usable() {
                return Some(last.worker);
            }
        }
        None
    }

    pub(crate) fn has_idle(&self) -> bool {
        self.idle().iter_mut().any(|idle| idle.worker.is_usable())
    }

    /// Ends those that nobody needed for a while.
    pub(crate) fn reap(&self) {
        let mut idle = self.idle();
        // The last is the one that was used last.
        while idle.len() > 1 && idle.first().is_some_and(|first| first.since.elapsed() > IDLE) {
            idle.remove(0);
        }
    }

    /// What workers that start from now on look at before they state that something is absent.
    pub(crate) fn set_canary(&self, key: Option<String>) {
        *self.canary.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    pub(crate) fn canary(&self) -> Option<String> {
        self.canary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // No code panics while it holds this lock, so a poisoned one guards sound data.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    /// `None` only while it is given back or killed, which consumes this.
    pub(crate) fn worker(&mut self) -> Option<&mut Worker> {
        self.worker.as_mut()
    }

    /// It can be asked again, or ends here where it can't.
    pub(crate) fn give_back(mut self) {
        if let Some(worker) = self.worker.take_if(Worker::is_usable) {
            self.pool.idle().push(Idle { worker, since: Instant::now() });
        }
    }

    /// It can't; says how it had ended by itself.
    pub(crate) async fn kill(mut self) -> Option<String> {
        match self.worker.take() {
            Some(worker) => worker.kill().await,
            None => None,
        }
    }
}
