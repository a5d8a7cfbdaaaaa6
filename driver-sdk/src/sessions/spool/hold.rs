//! One session of a spool, held. Owns the order of the steps of a mark, a commit and a removal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{DATA, Finished, Inner, Publish, REMOVING, joined, remove_session};
use crate::driver::{Fence, Object, UploadId, UploadState};
use crate::error::{DriverError, Reason, Result};
use crate::moved::Moved;
use crate::sessions::dir::Dir;
use crate::sessions::journal::{Journal, Line, Phase};
use crate::sessions::storage::{Record, SessionHold};

/// What is open of a session. All of its work blocks.
pub(super) struct Held<P> {
    pub(super) inner: Arc<Inner<P>>,
    pub(super) id: UploadId,
    pub(super) uploads: Dir,
    pub(super) dir: Dir,
    /// `None`: it is the object.
    pub(super) data: Option<File>,
    pub(super) journal: Journal,
    pub(super) record: Record,
    pub(super) moved: Moved,
    /// Last, so that everything else is closed when it goes.
    pub(super) _lock: File,
}

/// A session of a [`super::Spool`], held.
pub struct SpoolHold<P> {
    /// Away while a blocking task works on it; for ever, if that was broken off.
    held: Option<Box<Held<P>>>,
    record: Record,
    moved: Moved,
}

impl<P: Publish> SpoolHold<P> {
    pub(super) fn new(held: Held<P>) -> Self {
        Self { record: held.record.clone(), moved: held.moved.clone(), held: Some(Box::new(held)) }
    }

    async fn run<T, F>(&mut self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Held<P>) -> Result<T> + Send + 'static,
    {
        let Some(mut held) = self.held.take() else {
            return Err(DriverError::new(
                Reason::DriverBug,
                "file work on this upload was broken off; resume it",
            ));
        };
        let work = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut held);
            let outcome = held.inner.told(outcome);
            Ok((held, outcome))
        });
        let (held, outcome) = joined(work.await)?;
        self.record.clone_from(&held.record);
        self.held = Some(held);
        outcome
    }
}

#[async_trait]
impl<P: Publish> SessionHold for SpoolHold<P> {
    fn record(&self) -> &Record {
        &self.record
    }

    async fn take_over(&mut self, fence: Fence) -> Result<()> {
        self.run(move |held| held.take_over(fence)).await
    }

    async fn write(&mut self, offset: u64, pieces: Vec<Bytes>) -> Result<()> {
        self.run(move |held| held.write(offset, &pieces)).await
    }

    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.run(move |held| held.mark(durable, bookmark)).await
    }

    fn moved(&self) -> Moved {
        self.moved.clone()
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        self.run(move |held| held.commit(size, bookmark)).await
    }

    async fn remove(mut self) -> Result<()> {
        self.run(Held::remove).await
    }
}

impl<P: Publish> Held<P> {
    fn failed(&self, what: &str, error: io::Error) -> DriverError {
        DriverError::io(format!("{what} upload {}", self.id), error)
    }

    fn data(&self) -> Result<&File> {
        self.data.as_ref().ok_or_else(|| {
            let message =
                format!("the bytes of upload {} are gone from the spool; end it and upload again", self.id);
            DriverError::new(Reason::ShortObject, message)
        })
    }

    fn line(&self, phase: Phase) -> Line {
        let record = &self.record;
        Line::new(phase, record.key.as_str(), &record.fence, record.durable, &record.bookmark)
    }

    fn take_over(&mut self, fence: Fence) -> Result<()> {
        let changed = self.record.fence != fence;
        self.record.fence = fence;
        let phase = match self.record.state {
            UploadState::Open => Phase::Open,
            UploadState::Committed => Phase::Committed,
        };
        if self.record.state == UploadState::Open {
            self.rewind()?;
        }
        let line = self.line(phase);
        let noted = if changed { self.journal.append(&line) } else { self.journal.append_lazily(&line) };
        noted
            .and_then(|()| self.journal.compact(&self.dir, &line))
            .map_err(|e| self.failed("take over", e))?;
        self.record.updated = line.updated();
        Ok(())
    }

    /// Nothing behind the durable mark counts.
    fn rewind(&self) -> Result<()> {
        let (data, durable) = (self.data()?, self.record.durable);
        let length = data.metadata().map_err(|e| self.failed("look at", e))?.len();
        if length < durable {
            let message = format!(
                "upload {} has {length} bytes on disk, {durable} were acknowledged; end it and upload again",
                self.id
            );
            return Err(DriverError::new(Reason::ShortObject, message));
        }
        data.set_len(durable).map_err(|e| self.failed("truncate", e))
    }

    fn write(&self, mut offset: u64, pieces: &[Bytes]) -> Result<()> {
        let data = self.data()?;
        for piece in pieces {
            data.write_all_at(piece, offset).map_err(|e| self.failed("write", e))?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// The bytes first, then the line that says so.
    fn note(&mut self, phase: Phase, durable: u64, bookmark: Bytes) -> Result<()> {
        if self.inner.stable {
            self.data()?.sync_data().map_err(|e| self.failed("sync", e))?;
        }
        let line = Line::new(phase, self.record.key.as_str(), &self.record.fence, durable, &bookmark);
        let noted = self.journal.append(&line).and_then(|()| self.journal.compact(&self.dir, &line));
        noted.map_err(|e| self.failed("note a mark of", e))?;
        self.record = Record { durable, bookmark, updated: line.updated(), ..self.record.clone() };
        Ok(())
    }

    fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.note(Phase::Open, durable, bookmark)
    }

    fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        self.note(Phase::Committing, size, bookmark)?;
        self.publish()
    }

    fn publish(&mut self) -> Result<Object> {
        let (id, dir, file, size) = (&self.id, &self.dir, self.data()?, self.record.durable);
        let finished = Finished { id, dir, name: DATA, file, size, moved: &self.moved };
        let object = self.inner.publish.publish(&finished, &self.record.key)?;
        // From here on the file is the object; nobody may write to it.
        self.data = None;
        self.record.state = UploadState::Committed;
        self.record.object = Some(object.clone());
        if let Err(error) = self.note_committed() {
            // The object is there: that is what was asked for. The next to open the session derives the same.
            tracing::warn!(upload = %self.id, %error, "a commit could not be noted in the journal");
        }
        Ok(object)
    }

    /// The line goes before a copied file's bytes go, so that they are never missed.
    fn note_committed(&mut self) -> io::Result<()> {
        let line = self.line(Phase::Committed);
        if self.dir.stat(DATA).is_err() {
            return self.journal.append_lazily(&line);
        }
        self.journal.append(&line)?;
        self.dir.unlink(DATA)
    }

    /// A crash between the two steps of publishing without a rename leaves the file under two names.
    pub(super) fn finish_what_a_crash_left(&mut self, phase: Phase) -> Result<()> {
        match (phase, self.record.state, &self.data) {
            (Phase::Committing, UploadState::Committed, Some(_)) => self.publish().map(drop),
            (_, UploadState::Committed, _) => {
                self.data = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The name goes first: a session is there whole or not at all.
    fn remove(&mut self) -> Result<()> {
        let gone = format!("{REMOVING}{}", UploadId::random()?);
        self.uploads.rename(self.id.as_str(), &self.uploads, &gone).map_err(|e| self.failed("remove", e))?;
        self.inner.sync_dirs(&[&self.uploads]).map_err(|e| self.failed("remove", e))?;
        if let Err(error) = remove_session(&self.uploads, &gone) {
            tracing::warn!(upload = %self.id, %error, "what is left of an ended upload goes with the next sweep");
        }
        Ok(())
    }
}
