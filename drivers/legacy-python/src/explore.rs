//! What is found out at the start, and what is seen to from then on: a backend that is down may come up later.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_driver_sdk::{DriverError, Reason, Result};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::intents::Intents;
use crate::objects::Objects;
use crate::python::{Facts, Found, Python};

const MEND_EVERY: Duration = Duration::from_secs(5);
/// An unfinished write is tried again less and less often, up to this.
const MEND_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Tries the old driver until it answers, and then sees to what is left unfinished.
pub(crate) async fn explore(objects: Arc<Objects>, mut lock: Option<File>) {
    let place = objects.python.pool().launch.driver.clone();
    loop {
        let found = match former_workers_are_gone(&mut lock) {
            Ok(()) => examine(&objects).await,
            Err(error) => Err(error),
        };
        if objects.facts.settle(&place, found).await {
            break;
        }
    }
    let mut wait = MEND_EVERY;
    loop {
        let left = objects.mend().await;
        wait = if left == 0 { MEND_EVERY } else { (wait * 2).min(MEND_AT_LEAST_EVERY) };
        tokio::time::sleep(wait).await;
        objects.python.pool().reap();
        if objects.is_read_only() {
            renew_canary(&objects.python).await;
        }
    }
}

async fn examine(objects: &Objects) -> Result<Facts> {
    let python = &objects.python;
    python.introduce().await?;
    let canary = match objects.intents() {
        Some(intents) => {
            must_be_the_same(python, intents).await?;
            Some(ALIVE.to_owned())
        }
        None => python.find_canary().await?,
    };
    let facts = python.self_test(objects.intents().is_some(), canary.as_deref()).await?;
    if let Some(intents) = objects.intents() {
        intents.note_known()?;
    }
    if canary.is_none() {
        tracing::warn!(
            "no object was found: until there is one, nobody can tell an empty store from one that is away"
        );
    }
    python.pool().set_canary(canary);
    tracing::info!(?facts, "this is what the old driver can do");
    Ok(facts)
}

/// The self-test leaves it.
const ALIVE: &str = ".driver/alive";

/// Where a disk is not mounted, some old drivers write as if it were: what a former run left unfinished would be called finished.
async fn must_be_the_same(python: &Python, intents: &Intents) -> Result<()> {
    if !intents.is_known()? {
        return Ok(());
    }
    let why = match python.stat(ALIVE).await {
        Ok(Found::Object { .. }) => return Ok(()),
        Ok(_) => "it is absent".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!(
        "{ALIVE}, which was there, is not found ({why}): the backend is down, not mounted, emptied, or another; if it is to be \
         another, remove {}",
        intents.known().display()
    );
    Err(DriverError::new(Reason::BackendUnavailable, message))
}

/// An object of somebody else's may go: another serves as well, if there is one.
async fn renew_canary(python: &Python) {
    let canary = python.pool().canary();
    let is_there = match &canary {
        Some(key) => matches!(python.stat(key).await, Ok(Found::Object { .. })),
        None => false,
    };
    if !is_there && let Ok(Some(other)) = python.find_canary().await {
        tracing::info!(gone = canary, key = %other, "another object says from now on that the store is there");
        python.pool().set_canary(Some(other));
    }
}

/// A worker that outlived the driver may still write what the former run began. It holds this lock, and ends by itself within
/// seconds. Once they are gone, the lock is of our own workers.
fn former_workers_are_gone(lock: &mut Option<File>) -> Result<()> {
    let Some(file) = lock else { return Ok(()) };
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // Closing it lets go.
            *lock = None;
            Ok(())
        }
        Err(Errno::WOULDBLOCK) => {
            let message = "workers of a former run are still there; they end by themselves within seconds, unless the \
                           old driver forked and the fork lives on: end it then";
            Err(DriverError::new(Reason::Starting, message))
        }
        Err(error) => Err(DriverError::io("take the workers' lock", error.into())),
    }
}

/// Takes the spool for this process alone: two drivers on one store would write over each other.
pub(crate) fn take_spool(spool: &Path) -> Result<File> {
    let path = spool.join(".driver/lock");
    let failed = |error| DriverError::io(format!("make {}", path.display()), error);
    std::fs::create_dir_all(spool.join(".driver")).map_err(failed)?;
    let file = File::create(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            let message = format!(
                "another driver process uses spool={}; end it, or give this one a spool of its own",
                spool.display()
            );
            Err(DriverError::new(Reason::Conflict, message))
        }
        Err(error) => Err(failed(error.into())),
    }
}
