//! Uploads: from the first byte to the link. An upload is a session of the driver; what the core knows of it lies in its
//! bookmark, so any core goes on where another was killed. Offsets told to clients are durable ones only.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use longshore_driver_sdk::{
    Detail, DriverError, Fence, OpenMode, OpenUpload, Optional as _, ReadRange, Reason, Upload, UploadId,
    UploadState, UploadStream,
};

use super::began::Began;
use super::bookmark::Bookmark;
use super::hasher::Hasher;
use super::lease::{Lease, ObjectId};
use super::{RegistryError, Repository, Result, layout};
use crate::oci::{Algorithm, Digest};

/// Bytes of a request's body as they come; an error is the client's connection.
pub type Body = Pin<Box<dyn Stream<Item = std::result::Result<Bytes, String>> + Send>>;

/// How much goes to the driver at once.
const PIECE: usize = 256 * 1024;
/// What is smaller waits for more, as far as the next mark.
const ENOUGH: usize = 64 * 1024;
/// How often the driver gets a mark that it may make durable: what a crash in mid-request costs at most, about.
const MARK_EVERY: u64 = 8 * 1024 * 1024;

/// Bytes that a request brings for an upload.
pub struct Chunk {
    /// Where they must belong; `None`: wherever the upload is.
    pub start: Option<u64>,
    /// As the range or the header says; `None`: unknown.
    pub length: Option<u64>,
    pub body: Body,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk")
            .field("start", &self.start)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub id: UploadId,
    /// The part size of a driver that has one: smaller chunks are taken, but cost it a copy each.
    pub min_chunk: Option<u64>,
}

/// A session being written.
struct Session {
    id: UploadId,
    object: ObjectId,
    stream: Box<dyn UploadStream>,
    hasher: Hasher,
    received: u64,
    /// As the driver wants it.
    marks: Option<u64>,
}

impl Repository {
    /// Begins an upload (spec end-4a). Durable when it returns.
    pub async fn start_upload(&self, algorithm: Algorithm) -> Result<Started> {
        let session = self.create_session(algorithm, None).await?;
        Ok(Started { id: session.id, min_chunk: session.marks })
    }

    /// An upload in one request (spec end-4b).
    pub async fn upload_whole(&self, digest: &Digest, chunk: Chunk) -> Result<()> {
        let mut session = self.create_session(digest.algorithm(), chunk.length).await?;
        let id = session.id.clone();
        let outcome = match self.write(&mut session, chunk).await {
            Ok(()) => self.commit(session, digest).await,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // Nobody knows this session's id but this request. One that is committed is left to the sweeper.
            self.give_up(&id).await;
        }
        outcome
    }

    /// The durable offset (spec end-13).
    pub async fn upload_offset(&self, id: &UploadId) -> Result<u64> {
        let (upload, _) = self.find_upload(id).await?;
        Ok(upload.durable)
    }

    /// Appends a chunk, and returns the durable offset behind it (spec end-5).
    pub async fn append(&self, id: &UploadId, chunk: Chunk) -> Result<u64> {
        let mut session = self.resume(id, None).await?;
        let written = self.write(&mut session, chunk).await;
        match written {
            Ok(()) => self.flush(&mut session).await,
            Err(RegistryError::Body(problem)) => {
                // The client went away: what it sent is kept, and it will ask how much that is.
                self.flush(&mut session).await?;
                Err(RegistryError::Body(problem))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends an upload: the last chunk, if any, the digest, the link (spec end-6). Doing it again gives the same answer.
    pub async fn finish_upload(&self, id: &UploadId, digest: &Digest, chunk: Chunk) -> Result<()> {
        let mut session = match self.resume(id, Some(digest.algorithm())).await {
            Err(RegistryError::UploadFinished(_)) => return self.finish_again(id, digest).await,
            session => session?,
        };
        self.write(&mut session, chunk).await?;
        match self.commit(session, digest).await {
            Err(RegistryError::Storage(error)) if error.is_transient() => {
                self.settle_commit(id, digest, error).await
            }
            outcome => outcome,
        }
    }

    /// Cancels an upload (spec end-14).
    pub async fn cancel_upload(&self, id: &UploadId) -> Result<()> {
        let (upload, _) = self.find_upload(id).await?;
        if upload.state == UploadState::Committed {
            return Err(RegistryError::UploadFinished(id.to_string()));
        }
        self.shared.own_uploads.forget(id);
        self.store.driver().end_upload(id, &self.next_fence(&upload)).await?;
        Ok(())
    }

    async fn create_session(&self, algorithm: Algorithm, size_hint: Option<u64>) -> Result<Session> {
        let (id, object) = (UploadId::random()?, ObjectId::random()?);
        let hasher = Hasher::new(algorithm);
        let bookmark = Bookmark::new(&self.name, &hasher).to_bytes()?;
        let fence = Fence { counter: 1, owner: self.shared.owner.clone() };
        let mode = OpenMode::Create { key: layout::object(&object)?, size_hint, bookmark };
        let open = OpenUpload { id: id.clone(), fence: fence.clone(), mode };
        let (upload, stream) = self.store.driver().open_upload(open).await?;
        self.shared.own_uploads.note(&self.name, &id, fence);
        Ok(Session { id, object, stream, hasher, received: 0, marks: upload.mark_every })
    }

    /// The session and its bookmark, if it is this repository's.
    async fn find_upload(&self, id: &UploadId) -> Result<(Upload, Bookmark)> {
        let unknown = || RegistryError::UploadUnknown(id.to_string());
        let upload = self.store.driver().get_upload(id).await.optional()?.ok_or_else(unknown)?;
        let bookmark = Bookmark::from_bytes(&upload.bookmark)?;
        if bookmark.repository == self.name.as_str() { Ok((upload, bookmark)) } else { Err(unknown()) }
    }

    /// Goes on with a session as the writer that this core is, or else as a new one.
    async fn resume(&self, id: &UploadId, wanted: Option<Algorithm>) -> Result<Session> {
        if let Some(fence) = self.shared.own_uploads.fence(&self.name, id) {
            match self.open_session(id, fence, wanted).await {
                Err(RegistryError::UploadTakenOver) => self.shared.own_uploads.forget(id),
                outcome => return outcome,
            }
        }
        let (found, _) = self.find_upload(id).await?;
        if found.state == UploadState::Committed {
            return Err(RegistryError::UploadFinished(id.to_string()));
        }
        self.open_session(id, self.next_fence(&found), wanted).await
    }

    /// One without bytes can still take the algorithm that is wanted.
    async fn open_session(&self, id: &UploadId, fence: Fence, wanted: Option<Algorithm>) -> Result<Session> {
        let unknown = || RegistryError::UploadUnknown(id.to_string());
        let open = OpenUpload { id: id.clone(), fence: fence.clone(), mode: OpenMode::Resume };
        let opened = self.store.driver().open_upload(open).await.map_err(taken_over).optional_storage()?;
        let (upload, stream) = opened.ok_or_else(unknown)?;
        let bookmark = Bookmark::from_bytes(&upload.bookmark)?;
        if bookmark.repository != self.name.as_str() {
            return Err(unknown());
        }
        if upload.state == UploadState::Committed {
            return Err(RegistryError::UploadFinished(id.to_string()));
        }
        self.shared.own_uploads.note(&self.name, id, fence);
        let hasher = match wanted {
            Some(algorithm) if upload.durable == 0 => Hasher::new(algorithm),
            _ => bookmark.hasher()?,
        };
        let object = object_of(&upload)?;
        let marks = upload.mark_every;
        Ok(Session { id: id.clone(), object, stream, hasher, received: upload.durable, marks })
    }

    fn next_fence(&self, upload: &Upload) -> Fence {
        Fence { counter: upload.fence.counter.saturating_add(1), owner: self.shared.owner.clone() }
    }

    async fn write(&self, session: &mut Session, mut chunk: Chunk) -> Result<()> {
        if chunk.start.is_some_and(|start| start != session.received) {
            return Err(RegistryError::OffsetMismatch { durable: session.received });
        }
        let began = session.received;
        let mut small = BytesMut::new();
        while let Some(bytes) = chunk.body.next().await {
            let mut bytes = match bytes {
                Ok(bytes) => bytes,
                Err(problem) => {
                    self.send(session, small.freeze()).await?;
                    return Err(RegistryError::Body(problem));
                }
            };
            while !bytes.is_empty() {
                let room = usize::try_from(session.room()).unwrap_or(PIECE).min(PIECE);
                let enough = room.min(ENOUGH);
                if small.is_empty() && bytes.len() >= enough {
                    // As it came: a copy costs as much as a tenth of its hash.
                    let part = bytes.split_to(bytes.len().min(room));
                    self.send(session, part).await?;
                    continue;
                }
                small.extend_from_slice(&bytes.split_to(bytes.len().min(enough - small.len())));
                if small.len() == enough {
                    self.send(session, small.split().freeze()).await?;
                }
            }
        }
        self.send(session, small.freeze()).await?;
        let found = session.received - began;
        match chunk.length {
            Some(expected) if expected != found => Err(RegistryError::ChunkSize { expected, found }),
            _ => Ok(()),
        }
    }

    async fn send(&self, session: &mut Session, piece: Bytes) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        session.hasher.update(&piece);
        session.received += piece.len() as u64;
        session.stream.write(piece).await.map_err(taken_over)?;
        if session.is_mark() {
            let bookmark = Bookmark::new(&self.name, &session.hasher).to_bytes()?;
            session.stream.mark(bookmark, false).await.map_err(taken_over)?;
        }
        Ok(())
    }

    async fn flush(&self, session: &mut Session) -> Result<u64> {
        let bookmark = Bookmark::new(&self.name, &session.hasher).to_bytes()?;
        Ok(session.stream.mark(bookmark, true).await.map_err(taken_over)?.durable)
    }

    /// Verifies, commits, records.
    async fn commit(&self, mut session: Session, digest: &Digest) -> Result<()> {
        if session.hasher.algorithm() == digest.algorithm() {
            let found = session.hasher.digest();
            if found != *digest {
                return Err(RegistryError::DigestMismatch { expected: digest.clone(), found });
            }
        }
        let bookmark = Bookmark::finished(&self.name, &session.hasher, digest);
        let size = session.received;
        let began = Began::now();
        session.stream.commit(size, bookmark.to_bytes()?).await.map_err(taken_over)?;
        self.shared.own_uploads.forget(&session.id);
        self.verify_committed(&bookmark, digest, &session.object, &session.id).await?;
        self.record(digest, &session.object, size, began).await
    }

    /// After a commit that nobody answered: the session tells what came of it.
    async fn settle_commit(&self, id: &UploadId, digest: &Digest, failure: DriverError) -> Result<()> {
        let (upload, bookmark) = self.find_upload(id).await?;
        if upload.state == UploadState::Committed {
            return self.finish_committed(&upload, &bookmark, digest).await;
        }
        let session = match self.resume(id, None).await {
            // The commit came through after all, while the session was looked at.
            Err(RegistryError::UploadFinished(_)) => return self.finish_again(id, digest).await,
            session => session?,
        };
        let complete = session.hasher.algorithm() == digest.algorithm() && session.hasher.digest() == *digest;
        if complete { self.commit(session, digest).await } else { Err(failure.into()) }
    }

    /// Of a session that is committed.
    async fn finish_again(&self, id: &UploadId, digest: &Digest) -> Result<()> {
        let (upload, bookmark) = self.find_upload(id).await?;
        self.finish_committed(&upload, &bookmark, digest).await
    }

    async fn finish_committed(&self, upload: &Upload, bookmark: &Bookmark, digest: &Digest) -> Result<()> {
        match &bookmark.digest {
            Some(finished) if finished == digest => {}
            Some(finished) => return Err(RegistryError::FinishedAs(finished.clone())),
            None => return Err(RegistryError::UploadFinished(upload.id.to_string())),
        }
        // The sweeper condemns what was committed and never recorded, after upload_ttl; long before that it is left to it.
        let age = std::time::SystemTime::now().duration_since(upload.updated).unwrap_or_default();
        if age > self.shared.rules.upload_ttl / 2 {
            return Err(RegistryError::UploadUnknown(upload.id.to_string()));
        }
        if self.ensure_young_link(digest).await? {
            return Ok(());
        }
        let object = object_of(upload)?;
        self.verify_committed(bookmark, digest, &object, &upload.id).await?;
        // Somebody else may be at the same session, the sweeper among them: the object is had by Adopt alone (docs/adr/0002).
        if self.adopt(digest, &object, upload.durable).await? {
            return Ok(());
        }
        Err(RegistryError::UploadUnknown(upload.id.to_string()))
    }

    /// Reads an object back whose digest's algorithm was named only at the end; one that is wrong goes, unseen.
    async fn verify_committed(
        &self,
        bookmark: &Bookmark,
        digest: &Digest,
        object: &ObjectId,
        id: &UploadId,
    ) -> Result<()> {
        if !bookmark.unverified {
            return Ok(());
        }
        let key = layout::object(object)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let reading = self.store.driver().read(&key, ReadRange::default()).await.optional()?;
        let mut bytes = reading.ok_or_else(|| RegistryError::UploadUnknown(id.to_string()))?.bytes;
        while let Some(piece) = bytes.next().await {
            hasher.update(&piece?);
        }
        let found = hasher.digest();
        if found == *digest {
            return Ok(());
        }
        self.store.delete(&key).await?;
        self.end_quietly(id).await;
        Err(RegistryError::DigestMismatch { expected: digest.clone(), found })
    }

    /// The last steps of a push: adopt what is held already, or hold and link the new object.
    async fn record(&self, digest: &Digest, object: &ObjectId, size: u64, began: Began) -> Result<()> {
        let _turn = self.shared.turns.take(digest).await;
        let mut held: Vec<ObjectId> =
            self.holders(digest).await?.into_iter().map(|lease| lease.object).collect();
        held.sort();
        held.dedup();
        for other in held {
            if self.adopt(digest, &other, size).await? {
                if other != *object {
                    self.drop_own(digest, object).await?;
                }
                return Ok(());
            }
        }
        if self.within_window(began).is_err() {
            let adopted = self.adopt(digest, object, size).await?;
            return if adopted { Ok(()) } else { Err(RegistryError::TookTooLong) };
        }
        let lease = Lease::new(object.clone())?;
        self.write_holder(digest, &lease, size).await?;
        self.write_link(digest, &lease, size).await?;
        self.within_window(began)
    }

    /// An object that is not needed goes by its mark, because a repeated finalise may be about to adopt it (docs/adr/0002).
    /// Where listings are current, and no holder was written before the mark, none will be: then its bytes go at once.
    async fn drop_own(&self, digest: &Digest, object: &ObjectId) -> Result<()> {
        self.condemn(digest, object).await?;
        let held = self.holders(digest).await?.iter().any(|lease| lease.object == *object);
        if !held && self.lists_are_current() {
            self.store.delete(&layout::object(object)?).await?;
        }
        Ok(())
    }

    async fn give_up(&self, id: &UploadId) {
        if let Ok(upload) = self.store.driver().get_upload(id).await
            && upload.state == UploadState::Open
        {
            self.end_quietly(id).await;
        }
    }

    /// Ends a session that nobody will come back to; what can't be ended now expires.
    async fn end_quietly(&self, id: &UploadId) {
        let fence = Fence { counter: u64::MAX, owner: self.shared.owner.clone() };
        if let Err(error) = self.store.driver().end_upload(id, &fence).await {
            tracing::debug!(upload = %id, %error, "a session is left to expire");
        }
    }
}

impl Session {
    fn mark_every(&self) -> u64 {
        self.marks.unwrap_or(MARK_EVERY)
    }

    /// Bytes up to the next mark.
    fn room(&self) -> u64 {
        self.mark_every() - self.received % self.mark_every()
    }

    fn is_mark(&self) -> bool {
        self.received > 0 && self.received.is_multiple_of(self.mark_every())
    }
}

pub(super) fn object_of(upload: &Upload) -> Result<ObjectId> {
    ObjectId::parse(upload.key.name()).ok_or_else(|| RegistryError::Damaged {
        key: upload.key.as_str().to_owned(),
        problem: "the key of an upload is no object's".to_owned(),
    })
}

/// A rival's takeover is the client's business, not the store's failure.
fn taken_over(error: DriverError) -> RegistryError {
    match (error.reason(), error.detail()) {
        (Reason::Fenced, _) => RegistryError::UploadTakenOver,
        (Reason::OffsetMismatch, Detail::Offsets { durable, .. }) => {
            RegistryError::OffsetMismatch { durable: *durable }
        }
        _ => RegistryError::Storage(error),
    }
}

/// Absence that the store stated, behind a mapped error.
trait OptionalStorage<T> {
    fn optional_storage(self) -> Result<Option<T>>;
}

impl<T> OptionalStorage<T> for Result<T> {
    fn optional_storage(self) -> Result<Option<T>> {
        match self {
            Err(RegistryError::Storage(error)) => Ok(Err(error).optional()?),
            other => other.map(Some),
        }
    }
}
