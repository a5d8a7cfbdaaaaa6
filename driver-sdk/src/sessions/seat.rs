//! Who may write to a session, within this process. Owns the fences of live streams: the newest writer takes the seat,
//! the one before it is told to go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::stream::Command;
use crate::driver::{Fence, UploadId};
use crate::error::{DriverError, Reason, Result};

const FIRST_PURGE: usize = 64;

#[derive(Default)]
pub(super) struct Seats(Mutex<Map>);

#[derive(Default)]
struct Map {
    seats: HashMap<UploadId, Weak<Seat>>,
    purge_at: usize,
}

struct Seat {
    door: Arc<Semaphore>,
    newest: Mutex<Newest>,
}

struct Newest {
    fence: Fence,
    evicted: CancellationToken,
    commands: Option<mpsc::WeakSender<Command>>,
}

/// The right to be next on a seat.
pub(super) struct Claim {
    id: UploadId,
    seat: Arc<Seat>,
    evicted: CancellationToken,
}

/// A seat that is ours until this is dropped. Whoever holds the session must let go of it first.
pub(super) struct Taken {
    claim: Claim,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// Announces a writer, and tells the one before it to go.
    pub(super) fn claim(&self, id: &UploadId, fence: &Fence) -> Result<Claim> {
        let seat = self.seat(id, fence);
        let evicted = CancellationToken::new();
        let mut newest = locked(&seat.newest);
        if *fence < newest.fence {
            return Err(fenced(id));
        }
        newest.evicted.cancel();
        *newest = Newest { fence: fence.clone(), evicted: evicted.clone(), commands: None };
        drop(newest);
        Ok(Claim { id: id.clone(), seat, evicted })
    }

    /// The seat of a session that nobody writes to; nobody is told to go.
    pub(super) fn take_if_idle(&self, id: &UploadId) -> Option<Taken> {
        let seat = self.seat(id, &Fence::default());
        let permit = Arc::clone(&seat.door).try_acquire_owned().ok()?;
        let evicted = CancellationToken::new();
        Some(Taken { claim: Claim { id: id.clone(), seat, evicted }, _permit: permit })
    }

    /// Whether somebody writes to it, or is about to.
    pub(super) fn is_live(&self, id: &UploadId) -> bool {
        locked(&self.0).seats.get(id).is_some_and(|seat| seat.strong_count() > 0)
    }

    /// Ways to reach every live stream.
    pub(super) fn live(&self) -> Vec<mpsc::Sender<Command>> {
        let seats: Vec<_> = locked(&self.0).seats.values().filter_map(Weak::upgrade).collect();
        let sender =
            |seat: &Arc<Seat>| locked(&seat.newest).commands.as_ref().and_then(mpsc::WeakSender::upgrade);
        seats.iter().filter_map(sender).collect()
    }

    fn seat(&self, id: &UploadId, fence: &Fence) -> Arc<Seat> {
        let mut map = locked(&self.0);
        if let Some(seat) = map.seats.get(id).and_then(Weak::upgrade) {
            return seat;
        }
        if map.seats.len() >= map.purge_at {
            map.seats.retain(|_, seat| seat.strong_count() > 0);
            map.purge_at = (map.seats.len() * 2).max(FIRST_PURGE);
        }
        let newest = Newest { fence: fence.clone(), evicted: CancellationToken::new(), commands: None };
        let seat = Arc::new(Seat { door: Arc::new(Semaphore::new(1)), newest: Mutex::new(newest) });
        map.seats.insert(id.clone(), Arc::downgrade(&seat));
        seat
    }
}

impl Claim {
    /// Waits until the writer before has let go.
    pub(super) async fn take(self, wait: Duration) -> Result<Taken> {
        let entered = tokio::time::timeout(wait, Arc::clone(&self.seat.door).acquire_owned()).await;
        let Ok(Ok(permit)) = entered else {
            let message = format!("the writer before still holds upload {}; try again", self.id);
            return Err(DriverError::new(Reason::Conflict, message));
        };
        let taken = Taken { claim: self, _permit: permit };
        taken.check()?;
        Ok(taken)
    }
}

impl Taken {
    /// Fails once a newer writer has claimed the seat.
    pub(super) fn check(&self) -> Result<()> {
        if self.claim.evicted.is_cancelled() { Err(fenced(&self.claim.id)) } else { Ok(()) }
    }

    pub(super) fn evicted(&self) -> CancellationToken {
        self.claim.evicted.clone()
    }

    /// Lets a drain reach the stream.
    pub(super) fn connect(&self, commands: &mpsc::Sender<Command>) {
        let mut newest = locked(&self.claim.seat.newest);
        if !self.claim.evicted.is_cancelled() {
            newest.commands = Some(commands.downgrade());
        }
    }
}

pub(super) fn fenced(id: &UploadId) -> DriverError {
    DriverError::new(Reason::Fenced, format!("a newer writer has upload {id}; give this stream up"))
}

/// No code panics while it holds one of these locks, so a poisoned one guards sound data.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
