//! The writer of one session. Owns how bytes become parts, and when a record is written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use super::buffer::Buffer;
use super::content::Content;
use super::ledger::{Known, Ledger, Medium};
use super::record::{Committing, Part, Parted, State, name_of, now, number_of};
use super::schedule::{MARK_EVERY, Schedule};
use crate::driver::UploadId;
use crate::error::{DriverError, Reason, Result};
use crate::moved::Moved;
use crate::sessions::Record;

/// Parts under way at once: servers that take a digest of a part do it on one processor.
const AT_ONCE: usize = 2;

/// What a driver does with the parts of one session.
#[async_trait]
pub trait Lane: Send + 'static {
    type Medium: Medium;
    type Part: Part;

    /// Whether parts are sent with their CRC32C.
    fn with_sums(&self) -> bool {
        false
    }

    /// What the store numbers the parts within.
    fn multipart(&self) -> Option<&str> {
        None
    }

    /// Whether what was received so far may become a part of its own, though it is less than the first part has.
    fn takes_small(&self) -> bool;

    /// Before a part is sent. `known`: the session's last record.
    async fn begin(&mut self, known: &Known<Self::Part>) -> Result<()>;

    /// Sends a part.
    fn send(&self, number: u32, content: Content) -> BoxFuture<'static, Result<Self::Part>>;

    /// Whether no newer writer has the session.
    ///
    /// # Errors
    /// [`Reason::Fenced`] if one has.
    async fn check(&mut self, known: &Known<Self::Part>) -> Result<()>;
}

/// Where a writer puts what it does.
pub struct Desk<M, P> {
    pub ledger: Arc<Ledger<M, P>>,
    pub spool: PathBuf,
    pub schedule: Schedule,
}

impl<M, P> Clone for Desk<M, P> {
    fn clone(&self) -> Self {
        Self { ledger: Arc::clone(&self.ledger), spool: self.spool.clone(), schedule: self.schedule }
    }
}

/// What one writer knows, and has in its hands.
pub struct Writer<L: Lane> {
    desk: Desk<L::Medium, L::Part>,
    pub lane: L,
    id: UploadId,
    /// In the names of the records that this writer makes.
    nonce: String,
    /// What is durable.
    pub known: Known<L::Part>,
    /// Whether each record that it wrote is known to be there.
    pub is_settled: bool,
    /// When its record was looked for, if it is still that one.
    pub looked: Option<Instant>,
    /// Parts that are sent and in no record yet are in here, too.
    pub parts: Vec<L::Part>,
    /// The number of the next part.
    pub next: u32,
    /// `None` until the first byte: then what lies in pieces is read back.
    buffer: Option<Buffer>,
    /// The parts that are under way, in their order.
    sending: VecDeque<UnderWay<L::Part>>,
    /// A mark at the end of a part that is under way, to be recorded when that has arrived.
    due: Option<(u64, Bytes)>,
    /// What was sent, and what was read back.
    moved: Moved,
}

/// A part that is under way.
struct UnderWay<P> {
    content: Content,
    task: JoinHandle<Result<P>>,
}

impl<L: Lane> Writer<L> {
    /// `nonce`: what no other writer has. `known`: the session's highest record.
    pub fn new(
        desk: Desk<L::Medium, L::Part>,
        lane: L,
        id: &UploadId,
        nonce: String,
        known: Known<L::Part>,
    ) -> Self {
        Self {
            desk,
            lane,
            id: id.clone(),
            nonce,
            is_settled: true,
            looked: None,
            parts: known.state.parted.parts.clone(),
            next: known.state.parted.next.max(1),
            buffer: None,
            sending: VecDeque::new(),
            due: None,
            moved: Moved::default(),
            known,
        }
    }

    pub fn id(&self) -> &UploadId {
        &self.id
    }

    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    pub fn moved(&self) -> Moved {
        self.moved.clone()
    }

    pub fn key(&self) -> &str {
        self.known.state.record.key.as_str()
    }

    pub fn base(&self) -> u64 {
        self.parts.iter().map(Part::size).sum()
    }

    /// The buffer, with what lies in pieces in it.
    ///
    /// # Errors
    /// When they can't be read back.
    pub async fn buffer(&mut self) -> Result<&mut Buffer> {
        if self.buffer.is_none() {
            let mut buffer = Buffer::new(&self.desk.spool, self.base(), self.lane.with_sums(), &self.moved);
            for piece in &self.known.state.parted.pieces {
                buffer.append(&self.desk.ledger.read_piece(&self.id, piece, &self.moved).await?)?;
            }
            self.buffer = Some(buffer);
        }
        self.buffer
            .as_mut()
            .ok_or_else(|| DriverError::new(Reason::DriverBug, "a buffer that was made is gone"))
    }

    /// The own bytes of a record that has none, in a stream.
    pub fn nothing(&self) -> Content {
        Content::default().of_stream(&self.moved)
    }

    /// Nothing more is to be sent.
    pub fn close(&mut self) {
        self.buffer = None;
    }

    /// No mark is waited for any more.
    pub fn void_mark(&mut self) {
        self.due = None;
    }

    /// Sends everything before an offset as one part, while more comes.
    async fn send(&mut self, at: u64) -> Result<()> {
        while self.sending.len() >= AT_ONCE {
            self.arrive_one().await?;
        }
        self.lane.begin(&self.known).await?;
        let content = self.buffer().await?.cut(at)?;
        let number = self.next;
        self.next += 1;
        let task = tokio::spawn(self.lane.send(number, content.clone()));
        self.sending.push_back(UnderWay { content, task });
        Ok(())
    }

    /// Sends what is left: the last part may be of any size.
    ///
    /// # Errors
    /// When a part can't be sent.
    pub async fn send_rest(&mut self) -> Result<()> {
        let buffer = self.buffer().await?;
        let end = buffer.end();
        if end > buffer.base() { self.send_in_two(end).await } else { Ok(()) }
    }

    /// A part behind which none is under way, and that is waited for, is there sooner as two.
    async fn send_in_two(&mut self, at: u64) -> Result<()> {
        let (schedule, next) = (self.desk.schedule, self.next);
        let base = self.buffer().await?.base();
        let middle = (base + (at - base) / 2) / MARK_EVERY * MARK_EVERY;
        if middle >= base + MARK_EVERY && schedule.may_cut(next, base) {
            self.send(middle).await?;
        }
        self.send(at).await
    }

    /// Waits for all parts that are under way.
    ///
    /// # Errors
    /// When one did not arrive.
    pub async fn arrive(&mut self) -> Result<()> {
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
        let sent = sent.map_err(|error| {
            let message = format!("a part of {}: the task that sent it failed: {error}", self.key());
            DriverError::new(Reason::DriverBug, message)
        })?;
        self.parts.push(sent?);
        let arrived = self.base();
        match self.due.take_if(|(offset, _)| *offset == arrived) {
            Some((durable, bookmark)) => self.record_mark(durable, bookmark, self.nothing()).await,
            None => Ok(()),
        }
    }

    /// Whether what lies before a mark is enough for a part.
    async fn is_part(&mut self, durable: u64) -> Result<bool> {
        let (schedule, next) = (self.desk.schedule, self.next);
        let takes_small = self.lane.takes_small();
        let buffer = self.buffer().await?;
        let (base, end) = (buffer.base(), buffer.end());
        let is_large = durable >= base + schedule.least();
        let has_parts = takes_small || end >= schedule.end(next, base);
        Ok(is_large && has_parts && schedule.may_cut(next, base))
    }

    /// What the record of a mark has to keep: what is behind the parts, and in no record before it.
    async fn own(&mut self, durable: u64) -> Result<Content> {
        let kept = if self.is_recorded() { self.known.state.record.durable } else { 0 };
        let buffer = self.buffer().await?;
        Ok(buffer.content(kept.max(buffer.base()).min(durable), durable))
    }

    async fn record_mark(&mut self, durable: u64, bookmark: Bytes, own: Content) -> Result<()> {
        self.save(Record { durable, bookmark, ..self.touched() }, own).await?;
        self.lane.check(&self.known).await
    }

    /// Writes the next record: what is durable now, under a name of its own.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn save(&mut self, record: Record, own: Content) -> Result<()> {
        self.save_as(record, own, None).await
    }

    /// The same where a commit begins.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn save_as(
        &mut self,
        record: Record,
        own: Content,
        committing: Option<Committing<L::Part>>,
    ) -> Result<()> {
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
        parted.multipart = self.lane.multipart().map(str::to_owned);
        let state = State { record, parted, committing, stands_for: None, is_over: false };
        self.is_settled = false;
        self.known = self.desk.ledger.write(&self.id, &name, state, own).await?;
        self.is_settled = true;
        Ok(())
    }

    /// Writes the record that a commit begins, with all that it takes to finish it: whoever has the session next may.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn announce(&mut self, size: u64, bookmark: Bytes) -> Result<()> {
        let own = self.own(size).await?;
        let parted = &self.known.state.parted;
        let pieces = if self.is_recorded() { parted.pieces.clone() } else { Vec::new() };
        let whole = Parted { multipart: None, next: self.next, parts: self.parts.clone(), pieces };
        let committing = Committing { size, bookmark, whole: Some(whole) };
        self.save_as(self.touched(), own, Some(committing)).await
    }

    /// All bytes that are in no part.
    ///
    /// # Errors
    /// When they can't be read back.
    pub async fn rest(&mut self) -> Result<Content> {
        let buffer = self.buffer().await?;
        Ok(buffer.content(buffer.base(), buffer.end()))
    }

    /// Whether parts were sent, or are under way.
    pub fn has_parts(&self) -> bool {
        !self.parts.is_empty() || !self.sending.is_empty()
    }

    /// Whether the last record names all parts.
    fn is_recorded(&self) -> bool {
        self.known.state.parted.parts.len() == self.parts.len()
    }

    /// The last record, as of now.
    pub fn touched(&self) -> Record {
        Record { updated: now(), ..self.known.state.record.clone() }
    }

    /// Takes bytes, and sends what is enough for parts.
    ///
    /// # Errors
    /// When a part can't be sent.
    pub async fn write(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        while self.sending.front().is_some_and(|sending| sending.task.is_finished()) {
            self.arrive_one().await?;
        }
        self.buffer().await?.append(&pieces)?;
        loop {
            let schedule = self.desk.schedule;
            let next = self.next;
            let buffer = self.buffer().await?;
            let end = schedule.end(next, buffer.base());
            // So much stays that the rest can be a part, too: then no byte is sent twice at a flush.
            if buffer.end() < end + schedule.least() {
                return Ok(());
            }
            self.send(end).await?;
        }
    }

    /// Makes a mark durable.
    ///
    /// # Errors
    /// When it can't, or when a newer writer has the session.
    pub async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
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
    ///
    /// # Errors
    /// When a part can't be sent.
    pub async fn mark_soon(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
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
            return self.record_mark(durable, bookmark, self.nothing()).await;
        }
        self.due = Some((durable, bookmark));
        Ok(())
    }
}

impl<L: Lane> Drop for Writer<L> {
    /// The next writer here may send another part under the same number.
    fn drop(&mut self) {
        for sending in &self.sending {
            sending.task.abort();
        }
    }
}
