//! A live upload stream. Owns the task that holds the session: it alone writes, so a caller that goes away in the middle
//! of a call leaves nothing half done, and a newer writer can take over however idle the older one is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::MAX_BOOKMARK;
use super::seat::{Taken, fenced, locked};
use super::storage::SessionHold;
use crate::driver::{Ack, Upload, UploadId, UploadState, UploadStream};
use crate::error::{DriverError, Reason, Result};
use crate::moved::Moved;

/// Pieces that may wait for the one being written.
const QUEUE: usize = 8;

pub(super) enum Command {
    Write(Bytes),
    Mark {
        bookmark: Bytes,
        flush: bool,
        reply: oneshot::Sender<Result<Ack>>,
    },
    Commit {
        size: u64,
        bookmark: Bytes,
        reply: oneshot::Sender<Result<Upload>>,
    },
    /// Make the last mark durable: the process is about to stop.
    Settle(oneshot::Sender<()>),
}

struct Shared {
    id: UploadId,
    evicted: CancellationToken,
    committed: AtomicBool,
    /// What broke the stream.
    failure: Mutex<Option<(Reason, String)>>,
}

pub(super) struct Stream {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    moved: Moved,
}

/// Starts the task of a session that is held, and gives the stream that leads to it.
pub(super) fn start<H: SessionHold>(id: UploadId, hold: H, taken: Taken, lazy: u64) -> Stream {
    let committed = hold.record().state == UploadState::Committed;
    let shared = Arc::new(Shared {
        id,
        evicted: taken.evicted(),
        committed: AtomicBool::new(committed),
        failure: Mutex::new(None),
    });
    let (commands, queue) = mpsc::channel(QUEUE);
    taken.connect(&commands);
    let received = hold.record().durable;
    let moved = hold.moved();
    let writer = Writer { hold, received, pending: None, lazy, shared: Arc::clone(&shared) };
    tokio::spawn(async move {
        writer.run(queue).await;
        drop(taken);
    });
    Stream { shared, commands, moved }
}

#[async_trait]
impl UploadStream for Stream {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.check()?;
        if self.shared.committed.load(Ordering::Acquire) {
            return Err(self.shared.is_committed());
        }
        if data.is_empty() {
            return Ok(());
        }
        self.commands.send(Command::Write(data)).await.map_err(|_| self.shared.broken())
    }

    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack> {
        check_bookmark(&bookmark)?;
        self.call(|reply| Command::Mark { bookmark, flush, reply }).await
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload> {
        check_bookmark(&bookmark)?;
        self.call(|reply| Command::Commit { size, bookmark, reply }).await
    }

    fn evicted(&self) -> BoxFuture<'static, DriverError> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.evicted.cancelled().await;
            fenced(&shared.id)
        })
    }

    fn moved(&self) -> Moved {
        self.moved.clone()
    }
}

impl Stream {
    /// The task's queue outlives its failure by a moment: what is put there then would be lost without a word.
    fn check(&self) -> Result<()> {
        let is_broken = self.shared.evicted.is_cancelled() || locked(&self.shared.failure).is_some();
        if is_broken { Err(self.shared.broken()) } else { Ok(()) }
    }

    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| self.shared.broken())?;
        answer.await.unwrap_or_else(|_| Err(self.shared.broken()))
    }
}

pub(super) fn check_bookmark(bookmark: &Bytes) -> Result<()> {
    if bookmark.len() <= MAX_BOOKMARK {
        return Ok(());
    }
    let message = format!("a bookmark of {} bytes; at most {MAX_BOOKMARK} are taken", bookmark.len());
    Err(DriverError::new(Reason::RequestNotUnderstood, message))
}

impl Shared {
    /// Why the task is gone.
    fn broken(&self) -> DriverError {
        if self.evicted.is_cancelled() {
            return fenced(&self.id);
        }
        match &*locked(&self.failure) {
            Some((reason, message)) => DriverError::new(*reason, message.clone()),
            None => {
                let message = format!("the stream of upload {} was shut down; resume it", self.id);
                DriverError::new(Reason::Draining, message)
            }
        }
    }

    fn is_committed(&self) -> DriverError {
        DriverError::new(
            Reason::UploadCommitted,
            format!("upload {} is committed: it takes no more bytes", self.id),
        )
    }
}

struct Writer<H> {
    hold: H,
    received: u64,
    /// The last mark that is not durable yet.
    pending: Option<(u64, Bytes)>,
    /// How far the last mark may run ahead of the durable one.
    lazy: u64,
    shared: Arc<Shared>,
}

/// The stream can't go on: what the medium holds behind the last durable mark is not known.
struct Broken;

impl<H: SessionHold> Writer<H> {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut carried = None;
        loop {
            let command = if let Some(command) = carried.take() {
                if self.shared.evicted.is_cancelled() {
                    return;
                }
                Some(command)
            } else {
                tokio::select! {
                    biased;
                    () = self.shared.evicted.cancelled() => return,
                    command = queue.recv() => command,
                }
            };
            let Some(command) = command else {
                // The caller went away. What it marked is worth keeping; if that fails, the durable mark stands.
                let _ = self.settle().await;
                return;
            };
            match self.obey(command, &mut queue).await {
                Ok(next) => carried = next,
                Err(Broken) => return,
            }
        }
    }

    async fn obey(
        &mut self,
        command: Command,
        queue: &mut mpsc::Receiver<Command>,
    ) -> std::result::Result<Option<Command>, Broken> {
        let mut next = None;
        match command {
            Command::Write(first) => {
                let mut pieces = vec![first];
                while let Ok(command) = queue.try_recv() {
                    match command {
                        Command::Write(piece) => pieces.push(piece),
                        other => {
                            next = Some(other);
                            break;
                        }
                    }
                }
                let outcome = self.write(pieces).await;
                self.note(&outcome)?;
            }
            Command::Mark { bookmark, flush, reply } => {
                let outcome = self.mark(bookmark, flush).await;
                let alive = self.note(&outcome);
                let _ = reply.send(outcome);
                alive?;
            }
            Command::Commit { size, bookmark, reply } => {
                let outcome = self.commit(size, bookmark).await;
                let alive = self.note(&outcome);
                let _ = reply.send(outcome);
                alive?;
            }
            Command::Settle(reply) => {
                let outcome = self.settle().await;
                let alive = self.note(&outcome);
                let _ = reply.send(());
                alive?;
            }
        }
        Ok(next)
    }

    /// Remembers a failure after which the stream can't go on.
    fn note<T>(&self, outcome: &Result<T>) -> std::result::Result<(), Broken> {
        match outcome {
            Err(error) if !is_harmless(error.reason()) => {
                *locked(&self.shared.failure) = Some((error.reason(), error.message().to_owned()));
                Err(Broken)
            }
            _ => Ok(()),
        }
    }

    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.hold.write(self.received, pieces).await?;
        self.received += length;
        Ok(())
    }

    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack> {
        if self.hold.record().state == UploadState::Committed {
            return Err(self.shared.is_committed());
        }
        self.pending = Some((self.received, bookmark.clone()));
        if flush {
            self.settle().await?;
        } else if self.received - self.hold.record().durable >= self.lazy {
            self.hold.mark_soon(self.received, bookmark).await?;
        }
        Ok(Ack { received: self.received, durable: self.hold.record().durable })
    }

    async fn settle(&mut self) -> Result<()> {
        if let Some((offset, bookmark)) = self.pending.take() {
            let record = self.hold.record();
            // Perhaps it was made durable meanwhile.
            if record.durable != offset || record.bookmark != bookmark {
                self.hold.mark(offset, bookmark).await?;
            }
        }
        Ok(())
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload> {
        let have = match self.hold.record().state {
            UploadState::Open => self.received,
            UploadState::Committed => self.hold.record().durable,
        };
        if size != have {
            let message =
                format!("the commit of upload {} names {size} bytes, {have} are there", self.shared.id);
            return Err(DriverError::new(Reason::SizeMismatch, message));
        }
        if self.hold.record().state == UploadState::Open {
            self.pending = None;
            self.hold.commit(size, bookmark).await?;
            self.shared.committed.store(true, Ordering::Release);
        }
        Ok(self.hold.record().to_upload(&self.shared.id))
    }
}

/// Refusals that left the bytes as they were.
fn is_harmless(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SizeMismatch
            | Reason::UploadCommitted
            | Reason::KeyExists
            | Reason::KeyConflict
            | Reason::RequestNotUnderstood
    )
}
