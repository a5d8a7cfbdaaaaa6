//! A session that one writer has. Owns how bytes become parts, when a record is written, and how a commit is made sure of.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_sdk::backend::blocking;
use longshore_driver_sdk::sessions::{Record, SessionHold};
use longshore_driver_sdk::{DriverError, Fence, Object, Reason, Result, UploadId, UploadState};
use md5::{Digest as _, Md5};
use tokio::task::JoinHandle;

use super::buffer::Buffer;
use super::record::{Committing, State, hex, name_of, nonce, now, number_of};
use super::schedule::{LEAST, MARK_EVERY};
use super::store::{Known, Records, folder};
use crate::body::Content;
use crate::bucket::{BATCH, Extra, Found, Guard, LONGEST_BOOKMARK, Part};
use crate::failure::Failure;
use crate::listing;

/// A newcomer that does not know what the writer before it sent leaves so many part numbers out: those that it may still
/// be sending under. Where the server wants every part that it has in the commit, the newcomer writes over them instead: what
/// the other one sends late is then not what the commit names, and is refused.
const GAP: u32 = 8;
/// Parts under way at once: servers that take a digest of a part do it on one processor.
const AT_ONCE: usize = 2;
/// So long a look at the records is believed, if none was written since.
const FRESH: Duration = Duration::from_millis(500);

pub(crate) struct S3Hold {
    sessions: Arc<Records>,
    id: UploadId,
    /// In the names of the records that this writer makes.
    nonce: String,
    /// What is durable.
    known: Known,
    /// When its record was looked for, if it is still that one.
    looked: Option<Instant>,
    /// Parts that are sent and in no record yet are in here, too.
    parts: Vec<Part>,
    next: u32,
    multipart: Option<String>,
    /// `None` until the first byte: then what lies in pieces is read back.
    buffer: Option<Buffer>,
    /// The parts that are under way, in their order.
    sending: VecDeque<Sending>,
    /// A mark at the end of a part that is under way, to be recorded when that has arrived.
    due: Option<(u64, Bytes)>,
}

/// A part that is under way.
struct Sending {
    content: Content,
    task: JoinHandle<std::result::Result<Part, Failure>>,
}

impl S3Hold {
    pub(super) fn new(sessions: &Arc<Records>, id: &UploadId, known: Known, looked: Instant) -> Result<Self> {
        let parted = &known.state.parted;
        let next = if sessions.store.leaves_parts_out() {
            parted.next
        } else {
            parted.parts.last().map_or(1, |part| part.number + 1)
        };
        Ok(Self {
            sessions: Arc::clone(sessions),
            id: id.clone(),
            nonce: nonce()?,
            looked: Some(looked),
            parts: parted.parts.clone(),
            next: next.max(1),
            multipart: parted.multipart.clone(),
            buffer: None,
            sending: VecDeque::new(),
            due: None,
            known,
        })
    }

    fn key(&self) -> &str {
        self.known.state.record.key.as_str()
    }

    fn extra(&self) -> Extra<'_> {
        Extra { made_by: Some(self.id.as_str()), bookmark: None, checksums: self.sessions.store.sums() }
    }

    fn base(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    /// The buffer, with what lies in pieces in it.
    async fn buffer(&mut self) -> Result<&mut Buffer> {
        if self.buffer.is_none() {
            let mut buffer = Buffer::new(&self.sessions.spool, self.base(), self.sessions.store.sums());
            for piece in &self.known.state.parted.pieces {
                buffer.append(&self.sessions.read_piece(&self.id, piece).await?)?;
            }
            self.buffer = Some(buffer);
        }
        self.buffer
            .as_mut()
            .ok_or_else(|| DriverError::new(Reason::DriverBug, "a buffer that was made is gone"))
    }

    /// Sends everything before an offset as one part, while more comes.
    async fn send(&mut self, at: u64) -> Result<()> {
        while self.sending.len() >= AT_ONCE {
            self.arrive_one().await?;
        }
        if self.multipart.is_none() {
            // What a writer makes that was shut out, nobody looks for.
            self.must_be_highest().await?;
            let multipart = self.sessions.bucket().create_multipart(self.key(), self.extra()).await?;
            self.multipart = Some(multipart);
        }
        let content = self.buffer().await?.cut(at)?;
        let (sessions, key) = (Arc::clone(&self.sessions), self.key().to_owned());
        let (multipart, number) = (self.multipart.clone().unwrap_or_default(), self.next);
        self.next += 1;
        let sent = content.clone();
        let task = tokio::spawn(async move {
            let extra = Extra { checksums: sessions.store.sums(), ..Extra::default() };
            sessions.bucket().put_part(&key, &multipart, number, sent, extra).await
        });
        self.sending.push_back(Sending { content, task });
        Ok(())
    }

    /// Sends what is left: the last part may be of any size.
    async fn send_rest(&mut self) -> Result<()> {
        let buffer = self.buffer().await?;
        let end = buffer.end();
        if end > buffer.base() { self.send_in_two(end).await } else { Ok(()) }
    }

    /// A part behind which none is under way, and that is waited for, is there sooner as two.
    async fn send_in_two(&mut self, at: u64) -> Result<()> {
        let (schedule, next) = (self.sessions.schedule, self.next);
        let base = self.buffer().await?.base();
        let middle = (base + (at - base) / 2) / MARK_EVERY * MARK_EVERY;
        if middle >= base + MARK_EVERY && schedule.may_cut(next, base) {
            self.send(middle).await?;
        }
        self.send(at).await
    }

    /// Where the server takes every PUT, one that comes late, from a writer that was shut out, would replace the object that
    /// the next writer committed. A completion can't: its multipart upload is gone by then. No server takes empty parts.
    fn must_be_in_parts(&self, size: u64) -> bool {
        self.multipart.is_none() && size > 0 && self.sessions.store.guard_of_put() == Guard::None
    }

    /// Waits for all parts that are under way.
    async fn arrive(&mut self) -> Result<()> {
        while !self.sending.is_empty() {
            self.arrive_one().await?;
        }
        Ok(())
    }

    /// Waits for the first of them, and records the mark at its end, if one is due.
    async fn arrive_one(&mut self) -> Result<()> {
        let Some(sending) = self.sending.front_mut() else { return Ok(()) };
        let sent = (&mut sending.task).await;
        let sending = self.sending.pop_front();
        if let (Some(buffer), Some(sending)) = (&mut self.buffer, sending) {
            buffer.recycle(sending.content);
        }
        let what = format!("a part of {}", self.key());
        let sent = sent.map_err(|error| {
            DriverError::new(Reason::DriverBug, format!("{what}: the task that sent it failed: {error}"))
        })?;
        self.parts.push(sent.map_err(|failure| failure.into_error(&what))?);
        let arrived = self.base();
        match self.due.take_if(|(offset, _)| *offset == arrived) {
            Some((durable, bookmark)) => self.record_mark(durable, bookmark, Content::default()).await,
            None => Ok(()),
        }
    }

    /// Whether what lies before a mark is enough for a part.
    async fn is_part(&mut self, durable: u64) -> Result<bool> {
        let (schedule, next) = (self.sessions.schedule, self.next);
        let has_multipart = self.multipart.is_some();
        let buffer = self.buffer().await?;
        let (base, end) = (buffer.base(), buffer.end());
        let is_large = durable >= base + LEAST;
        let has_parts = has_multipart || end >= schedule.end(next, base);
        Ok(is_large && has_parts && schedule.may_cut(next, base))
    }

    /// What the record of a mark has to keep: what is behind the parts, and in no record before it.
    async fn own(&mut self, durable: u64) -> Result<Content> {
        let state = &self.known.state;
        let keeps_pieces = state.parted.parts.len() == self.parts.len();
        let kept = if keeps_pieces { state.record.durable } else { 0 };
        let buffer = self.buffer().await?;
        Ok(buffer.content(kept.max(buffer.base()).min(durable), durable))
    }

    async fn record_mark(&mut self, durable: u64, bookmark: Bytes, own: Content) -> Result<()> {
        self.save(Record { durable, bookmark, ..self.touched() }, own).await?;
        self.must_be_highest().await
    }

    /// Writes the next record: what is durable now, under a name of its own.
    async fn save(&mut self, record: Record, own: Content) -> Result<()> {
        self.save_as(record, own, None).await
    }

    async fn save_as(&mut self, record: Record, own: Content, committing: Option<Committing>) -> Result<()> {
        let number =
            if record.fence == self.known.state.record.fence { number_of(&self.known.name) + 1 } else { 0 };
        let name = name_of(&record.fence, number, &self.nonce);
        let mut parted = self.known.state.parted.clone();
        // What was sent since the last mark belongs to no durable offset.
        if committing.is_none() && parted.parts.len() != self.parts.len() {
            parted.parts.clone_from(&self.parts);
            // Their bytes are in parts now.
            parted.pieces.clear();
        }
        self.looked = None;
        parted.next = self.next;
        parted.multipart.clone_from(&self.multipart);
        self.known =
            self.sessions.write_record(&self.id, &name, State { record, parted, committing }, own).await?;
        Ok(())
    }

    fn touched(&self) -> Record {
        Record { updated: now(), ..self.known.state.record.clone() }
    }

    /// The object has the bookmark with it: then no record need say that the commit begins. Whoever meets the session in doubt
    /// looks at the object.
    fn is_told_by_object(&self, bookmark: &Bytes) -> bool {
        self.multipart.is_none()
            && self.sessions.store.guard_of_put() == Guard::IfAbsent
            && bookmark.len() <= LONGEST_BOOKMARK
    }

    /// Makes sure that the commit, if it happens, is known again, and that no newer writer has the session.
    async fn announce(&mut self, size: u64, bookmark: &Bytes) -> Result<()> {
        if self.is_told_by_object(bookmark) {
            self.sessions.doubt(&self.id, &self.known);
            if self.looked.is_some_and(|looked| looked.elapsed() < FRESH) {
                return Ok(());
            }
        } else {
            let committing = Committing { size, bookmark: bookmark.clone() };
            self.save_as(self.touched(), Content::default(), Some(committing)).await?;
        }
        self.must_be_highest().await
    }

    /// Makes the bytes the object, and says what the server says of it.
    async fn publish(&mut self, size: u64, bookmark: &Bytes) -> Result<Found> {
        let outcome = if self.multipart.is_none() {
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
        let content = self.buffer().await.map_err(Failure::Other)?.content(0, size);
        let guard = self.sessions.store.guard_of_put();
        self.must_be_free(&guard).await?;
        let extra =
            Extra { bookmark: Some(bookmark).filter(|_| self.is_told_by_object(bookmark)), ..self.extra() };
        self.sessions.bucket().put(self.key(), content, &guard, extra).await.map(Published::Seen)
    }

    /// The rest was sent before the commit was announced.
    async fn publish_parts(&mut self) -> std::result::Result<Published, Failure> {
        self.arrive().await.map_err(Failure::Other)?;
        let guard = self.sessions.store.guard_of_complete();
        self.must_be_free(&guard).await?;
        let multipart = self.multipart.clone().unwrap_or_default();
        let etag = self.sessions.bucket().complete(self.key(), &multipart, &self.parts, &guard).await?;
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
        if found.is_of(&self.id) && found.size == size && (etag.is_none() || found.etag == etag) {
            return Ok(found);
        }
        if found.is_of(&self.id) {
            let message = format!("another writer finished upload {} with other bytes", self.id);
            return Err(DriverError::new(Reason::Fenced, message));
        }
        Err(DriverError::new(Reason::KeyExists, format!("there is another object at key {key}")))
    }

    /// The etag that the object of these bytes has, where etags are made of MD5; `None` where they are not.
    async fn expected_etag(&mut self, size: u64) -> Result<Option<String>> {
        if !self.sessions.bucket().etags_are_md5() {
            return Ok(None);
        }
        if self.multipart.is_some() {
            return Ok(etag_of_parts(&self.parts));
        }
        let content = self.buffer().await?.content(0, size);
        let digest = blocking(|| content.md5());
        digest
            .map(|digest| Some(hex(&digest)))
            .map_err(|error| DriverError::io("read back what was received", error))
    }

    /// A writer at another instance that took the session over made a record above ours.
    async fn must_be_highest(&self) -> Result<()> {
        let folder = folder(&self.id);
        let own = format!("{folder}{}", self.known.name);
        let above = self.sessions.bucket().list(&folder, false, &own, 1).await?;
        if above.entries.is_empty() {
            return Ok(());
        }
        let message = format!("a newer writer at another driver has upload {}; give this stream up", self.id);
        Err(DriverError::new(Reason::Fenced, message))
    }

    /// Multipart uploads that a writer made which died, or was shut out, before a record named them.
    async fn abort_strays(&self) -> Result<()> {
        let (bucket, key) = (self.sessions.bucket(), self.key());
        for multipart in bucket.multiparts_of(key).await? {
            if self.multipart.as_ref() != Some(&multipart) {
                bucket.abort(key, &multipart).await?;
            }
        }
        Ok(())
    }

    /// The bytes of a session that was not committed, wherever they got to.
    async fn discard_bytes(&self) -> Result<()> {
        let (bucket, key) = (self.sessions.bucket(), self.key());
        if let Some(multipart) = &self.multipart {
            bucket.abort(key, multipart).await?;
        }
        if bucket.stat(key).await?.is_some_and(|found| found.is_of(&self.id)) {
            // Committed, and nobody was told.
            bucket.delete(key, None).await.map_err(|failure| failure.into_error(&format!("DELETE {key}")))?;
        }
        Ok(())
    }

    /// The highest goes last: a session that is half removed must not fall back to what it was.
    async fn discard_records(&self) -> Result<()> {
        let mut names = self.sessions.names(&self.id, "").await?;
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
        let folder = folder(&self.id);
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

impl Drop for S3Hold {
    /// The next writer here may send another part under the same number.
    fn drop(&mut self) {
        for sending in &self.sending {
            sending.task.abort();
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
        &self.known.state.record
    }

    async fn take_over(&mut self, fence: Fence) -> Result<()> {
        // The same writer, at the process where it was before.
        if self.known.is_own && self.known.state.record.fence == fence {
            return Ok(());
        }
        if self.known.state.record.state == UploadState::Committed {
            return Ok(());
        }
        let is_new_here = !self.known.is_own;
        if is_new_here
            && self.sessions.store.leaves_parts_out()
            && self.sessions.schedule.may_cut(self.next + GAP, self.base())
        {
            self.next += GAP;
        }
        self.save(Record { fence, ..self.touched() }, Content::default()).await?;
        // The writer before sees the record now, before it makes another one.
        if is_new_here { self.abort_strays().await } else { Ok(()) }
    }

    async fn write(&mut self, _offset: u64, pieces: Vec<Bytes>) -> Result<()> {
        while self.sending.front().is_some_and(|sending| sending.task.is_finished()) {
            self.arrive_one().await?;
        }
        self.buffer().await?.append(&pieces)?;
        loop {
            let schedule = self.sessions.schedule;
            let next = self.next;
            let buffer = self.buffer().await?;
            let end = schedule.end(next, buffer.base());
            // So much stays that the rest can be a part, too: then no byte is sent twice at a flush.
            if buffer.end() < end + LEAST {
                return Ok(());
            }
            self.send(end).await?;
        }
    }

    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        let buffer = self.buffer().await?;
        let (base, end) = (buffer.base(), buffer.end());
        if durable < base || durable > end {
            // It lies within a part that was sent; a later one will come. One that is due may be had.
            return self.arrive().await;
        }
        self.due = None;
        if self.is_part(durable).await? {
            self.send_in_two(durable).await?;
        }
        self.arrive().await?;
        let own = self.own(durable).await?;
        self.record_mark(durable, bookmark, own).await
    }

    /// At the end of a part, or not at all: nobody waits for it, and bytes that go into a record would be sent twice.
    async fn mark_soon(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        if self.due.is_some() {
            return Ok(());
        }
        if self.is_part(durable).await? {
            self.send(durable).await?;
        }
        if self.buffer().await?.base() != durable {
            return Ok(());
        }
        if self.sending.is_empty() {
            return self.record_mark(durable, bookmark, Content::default()).await;
        }
        self.due = Some((durable, bookmark));
        Ok(())
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        let _turn = self.sessions.store.turns.take(self.key()).await;
        // Garage drops the multipart uploads of a key when the object there goes: none is begun beside one.
        if self.must_be_in_parts(size) && self.sessions.bucket().stat(self.key()).await?.is_none() {
            self.send_rest().await?;
            self.arrive().await?;
        } else if self.multipart.is_some() {
            // It is under way while the record is written.
            self.send_rest().await?;
        }
        self.due = None;
        self.announce(size, &bookmark).await?;
        let found = self.publish(size, &bookmark).await?;
        let object = listing::object(&self.known.state.record.key, found);
        let state = UploadState::Committed;
        let record =
            Record { state, durable: size, bookmark, object: Some(object.clone()), ..self.touched() };
        self.buffer = None;
        self.save(record, Content::default()).await?;
        Ok(object)
    }

    async fn remove(self) -> Result<()> {
        if self.known.state.record.state == UploadState::Open {
            self.discard_bytes().await?;
        }
        self.abort_strays().await?;
        self.discard_records().await?;
        self.sessions.forget(&self.id);
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
