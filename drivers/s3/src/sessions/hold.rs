//! A session that one writer has. Owns how bytes become parts, when a record is written, and how a commit is made sure of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_sdk::backend::blocking;
use longshore_driver_sdk::sessions::parted::{Committing, Content, Lane as _, Writer, folder, hex, nonce};
use longshore_driver_sdk::sessions::{Record, SessionHold};
use longshore_driver_sdk::{DriverError, Fence, Moved, Object, Reason, Result, UploadId, UploadState};
use md5::{Digest as _, Md5};

use super::lane::S3Lane;
use super::store::{Known, Records};
use crate::body;
use crate::bucket::{BATCH, Extra, Found, Guard, LONGEST_BOOKMARK, Part};
use crate::failure::Failure;
use crate::listing;

/// A newcomer that does not know what the writer before it sent leaves so many part numbers out: those that it may still
/// be sending under. Where the server wants every part that it has in the commit, the newcomer writes over them instead: what
/// the other one sends late is then not what the commit names, and is refused.
const GAP: u32 = 8;
/// So long a look at the records is believed, if none was written since.
const FRESH: Duration = Duration::from_millis(500);

pub(crate) struct S3Hold {
    sessions: Arc<Records>,
    writer: Writer<S3Lane>,
}

impl S3Hold {
    pub(super) fn new(sessions: &Arc<Records>, id: &UploadId, known: Known, looked: Instant) -> Result<Self> {
        let parted = &known.state.parted;
        let next = if sessions.store.leaves_parts_out() {
            parted.next
        } else {
            parted.parts.last().map_or(1, |part| part.number + 1)
        };
        let lane = S3Lane {
            store: Arc::clone(&sessions.store),
            id: id.clone(),
            key: known.state.record.key.as_str().to_owned(),
            multipart: parted.multipart.clone(),
        };
        let mut writer = Writer::new(sessions.desk.clone(), lane, id, nonce()?, known);
        writer.looked = Some(looked);
        writer.next = next.max(1);
        Ok(Self { sessions: Arc::clone(sessions), writer })
    }

    fn key(&self) -> &str {
        self.writer.key()
    }

    fn id(&self) -> &UploadId {
        self.writer.id()
    }

    fn multipart(&self) -> Option<&String> {
        self.writer.lane.multipart.as_ref()
    }

    /// Where the server takes every PUT, one that comes late, from a writer that was shut out, would replace the object that
    /// the next writer committed. A completion can't: its multipart upload is gone by then. No server takes empty parts.
    fn must_be_in_parts(&self, size: u64) -> bool {
        self.multipart().is_none() && size > 0 && self.sessions.store.guard_of_put() == Guard::None
    }

    /// The object has the bookmark with it: then no record need say that the commit begins. Whoever meets the session in doubt
    /// looks at the object.
    fn is_told_by_object(&self, bookmark: &Bytes) -> bool {
        self.multipart().is_none()
            && self.sessions.store.guard_of_put() == Guard::IfAbsent
            && bookmark.len() <= LONGEST_BOOKMARK
    }

    /// Makes sure that the commit, if it happens, is known again, and that no newer writer has the session.
    async fn announce(&mut self, size: u64, bookmark: &Bytes) -> Result<()> {
        if self.is_told_by_object(bookmark) {
            self.sessions.desk.ledger.doubt(self.id(), &self.writer.known);
            if self.writer.looked.is_some_and(|looked| looked.elapsed() < FRESH) {
                return Ok(());
            }
        } else {
            let committing = Committing { size, bookmark: bookmark.clone(), whole: None };
            let record = self.writer.touched();
            self.writer.save_as(record, self.writer.nothing(), Some(committing)).await?;
        }
        self.writer.lane.check(&self.writer.known).await
    }

    /// Makes the bytes the object, and says what the server says of it.
    async fn publish(&mut self, size: u64, bookmark: &Bytes) -> Result<Found> {
        let outcome = if self.multipart().is_none() {
            self.publish_whole(size, bookmark).await
        } else {
            self.publish_parts().await
        };
        match outcome {
            Ok(Published::Seen(found)) => Ok(found),
            Ok(Published::Told(etag)) => self.settle(size, etag, None).await,
            // Refused: perhaps because it happened already, and the answer was lost.
            Err(
                failure @ (Failure::Condition
                | Failure::Conflict
                | Failure::NoUpload
                | Failure::Parts
                | Failure::Absent),
            ) => {
                let etag = self.expected_etag(size).await?;
                self.settle(size, etag, Some(failure)).await
            }
            Err(other) => Err(other.into_error(&format!("commit {}", self.key()))),
        }
    }

    /// One request for an object that is smaller than its first part.
    async fn publish_whole(
        &mut self,
        size: u64,
        bookmark: &Bytes,
    ) -> std::result::Result<Published, Failure> {
        if self.must_be_in_parts(size) {
            // An object was there a moment ago.
            return Err(Failure::Condition);
        }
        let content = self.writer.buffer().await.map_err(Failure::Other)?.content(0, size);
        let guard = self.sessions.store.guard_of_put();
        self.must_be_free(&guard).await?;
        let extra = Extra {
            bookmark: Some(bookmark).filter(|_| self.is_told_by_object(bookmark)),
            ..self.writer.lane.extra()
        };
        self.sessions.bucket().put(self.key(), content, &guard, extra).await.map(Published::Seen)
    }

    /// The rest was sent before the commit was announced.
    async fn publish_parts(&mut self) -> std::result::Result<Published, Failure> {
        self.writer.arrive().await.map_err(Failure::Other)?;
        let guard = self.sessions.store.guard_of_complete();
        self.must_be_free(&guard).await?;
        let multipart = self.multipart().cloned().unwrap_or_default();
        let etag =
            self.sessions.bucket().complete(self.key(), &multipart, &self.writer.parts, &guard).await?;
        Ok(Published::Told(etag))
    }

    /// Where the server enforces nothing, a look has to do. Keys of commits are random, so nobody is there to race with.
    async fn must_be_free(&self, guard: &Guard) -> std::result::Result<(), Failure> {
        if *guard == Guard::None
            && self.sessions.bucket().stat(self.key()).await.map_err(Failure::Other)?.is_some()
        {
            return Err(Failure::Condition);
        }
        Ok(())
    }

    /// Whatever the server answered: what is at the key says whether this session is committed. A writer that was shut out
    /// may have completed the same session with other bytes: the etag tells.
    async fn settle(&self, size: u64, etag: Option<String>, refused: Option<Failure>) -> Result<Found> {
        let key = self.key();
        let Some(found) = self.sessions.bucket().stat(key).await? else {
            return Err(refused.map_or_else(
                || {
                    let message = format!("the object at key {key} is not there after its commit; try again");
                    DriverError::new(Reason::BackendUnavailable, message)
                },
                |failure| failure.into_error(&format!("commit {key}")),
            ));
        };
        if found.is_of(self.id()) && found.size == size && (etag.is_none() || found.etag == etag) {
            return Ok(found);
        }
        if found.is_of(self.id()) {
            let message = format!("another writer finished upload {} with other bytes", self.id());
            return Err(DriverError::new(Reason::Fenced, message));
        }
        Err(DriverError::new(Reason::KeyExists, format!("there is another object at key {key}")))
    }

    /// The etag that the object of these bytes has, where etags are made of MD5; `None` where they are not.
    async fn expected_etag(&mut self, size: u64) -> Result<Option<String>> {
        if !self.sessions.bucket().etags_are_md5() {
            return Ok(None);
        }
        if self.multipart().is_some() {
            return Ok(etag_of_parts(&self.writer.parts));
        }
        let content = self.writer.buffer().await?.content(0, size);
        let digest = blocking(|| body::md5(&content));
        digest
            .map(|digest| Some(hex(&digest)))
            .map_err(|error| DriverError::io("read back what was received", error))
    }

    /// Multipart uploads that a writer made which died, or was shut out, before a record named them.
    async fn abort_strays(&self) -> Result<()> {
        let (bucket, key) = (self.sessions.bucket(), self.key());
        for multipart in bucket.multiparts_of(key).await? {
            if self.multipart() != Some(&multipart) {
                bucket.abort(key, &multipart).await?;
            }
        }
        Ok(())
    }

    /// The bytes of a session that was not committed, wherever they got to.
    async fn discard_bytes(&self) -> Result<()> {
        let (bucket, key) = (self.sessions.bucket(), self.key());
        if let Some(multipart) = self.multipart() {
            bucket.abort(key, multipart).await?;
        }
        if bucket.stat(key).await?.is_some_and(|found| found.is_of(self.id())) {
            // Committed, and nobody was told.
            bucket.delete(key, None).await.map_err(|failure| failure.into_error(&format!("DELETE {key}")))?;
        }
        Ok(())
    }

    /// The highest goes last: a session that is half removed must not fall back to what it was.
    async fn discard_records(&self) -> Result<()> {
        let mut names = self.sessions.desk.ledger.names(self.id(), "").await?;
        let highest = names.pop();
        for names in names.chunks(BATCH) {
            self.delete(names).await?;
        }
        match highest {
            Some(name) => self.delete(&[name]).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, names: &[String]) -> Result<()> {
        let folder = folder(self.id());
        let bucket = self.sessions.bucket();
        if let [name] = names {
            let path = format!("{folder}{name}");
            return bucket
                .delete(&path, None)
                .await
                .map_err(|failure| failure.into_error(&format!("DELETE {path}")));
        }
        let paths: Vec<_> = names.iter().map(|name| format!("{folder}{name}")).collect();
        match bucket.delete_all(&paths).await?.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

/// What the server said to a commit.
enum Published {
    /// All that there is to know.
    Seen(Found),
    /// An etag, if it gave one.
    Told(Option<String>),
}

/// As S3 makes it: the MD5 of the parts' MD5s, and their number.
fn etag_of_parts(parts: &[Part]) -> Option<String> {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(unhex(&part.etag)?);
    }
    Some(format!("{}-{}", hex(&digest.finalize()), parts.len()))
}

/// An MD5 in hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    (0..16).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect()
}

#[async_trait]
impl SessionHold for S3Hold {
    fn record(&self) -> &Record {
        &self.writer.known.state.record
    }

    fn moved(&self) -> Moved {
        self.writer.moved()
    }

    async fn take_over(&mut self, fence: Fence) -> Result<()> {
        // The same writer, at the process where it was before.
        if self.writer.known.is_own && self.record().fence == fence {
            return Ok(());
        }
        if self.record().state == UploadState::Committed {
            return Ok(());
        }
        let is_new_here = !self.writer.known.is_own;
        if is_new_here
            && self.sessions.store.leaves_parts_out()
            && self.sessions.desk.schedule.may_cut(self.writer.next + GAP, self.writer.base())
        {
            self.writer.next += GAP;
        }
        let record = Record { fence, ..self.writer.touched() };
        self.writer.save(record, Content::default()).await?;
        // The writer before sees the record now, before it makes another one.
        if is_new_here { self.abort_strays().await } else { Ok(()) }
    }

    async fn write(&mut self, _offset: u64, pieces: Vec<Bytes>) -> Result<()> {
        self.writer.write(pieces).await
    }

    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.writer.mark(durable, bookmark).await
    }

    async fn mark_soon(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.writer.mark_soon(durable, bookmark).await
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        let _turn = self.sessions.store.turns.take(self.key()).await;
        // Garage drops the multipart uploads of a key when the object there goes: none is begun beside one.
        if self.must_be_in_parts(size) && self.sessions.bucket().stat(self.key()).await?.is_none() {
            self.writer.send_rest().await?;
            self.writer.arrive().await?;
        } else if self.multipart().is_some() {
            // It is under way while the record is written.
            self.writer.send_rest().await?;
        }
        self.writer.void_mark();
        self.announce(size, &bookmark).await?;
        let found = self.publish(size, &bookmark).await?;
        let object = listing::object(&self.record().key, found);
        let state = UploadState::Committed;
        let record =
            Record { state, durable: size, bookmark, object: Some(object.clone()), ..self.writer.touched() };
        self.writer.close();
        self.writer.save(record, self.writer.nothing()).await?;
        Ok(object)
    }

    async fn remove(self) -> Result<()> {
        if self.record().state == UploadState::Open {
            self.discard_bytes().await?;
        }
        self.abort_strays().await?;
        self.discard_records().await?;
        self.sessions.desk.ledger.forget(self.id());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_of_parts_is_that_of_s3() {
        let part = |text: &[u8]| Part { number: 1, size: 1, etag: hex(&Md5::digest(text)), crc32c: None };
        // Computed by `printf a | md5sum` and so on, and xxd.
        let etag = etag_of_parts(&[part(b"a"), part(b"b")]).unwrap();
        assert_eq!(etag, "96e024ba2074fe77e8e965ba43a704be-2");
        let other = Part { etag: "not an md5".to_owned(), ..part(b"a") };
        assert_eq!(etag_of_parts(&[other]), None);
    }
}
