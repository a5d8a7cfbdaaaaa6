//! A live write stream (contract section U). Owns the order of its messages, the offsets, and when a mark becomes durable.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use longshore_driver_proto::v1::write_stream_response::Msg as Answer;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::session::{Session, fenced};
use crate::driver::{Driver, Settle};
use crate::faults::Fault;
use crate::reads::MAX_CHUNK;
use crate::refusal::{
    CHECKSUM_MISMATCH, FENCED, KEY_EXISTS, OFFSET_MISMATCH, REQUEST_NOT_UNDERSTOOD, Refusal, Result,
    SIZE_MISMATCH, TOO_LARGE, UPLOAD_COMMITTED, UPLOAD_UNKNOWN,
};

/// How often an idle writer looks whether it was shut out.
const LOOK: Duration = Duration::from_millis(25);
/// How far a mark may run ahead of the durable one before it is made durable unasked.
const LAZY_MARK: u64 = 32 * 1024 * 1024;

type Answers = mpsc::Sender<std::result::Result<v1::WriteStreamResponse, Status>>;

/// One stream, from its first message to its end.
pub(crate) struct WriteStream {
    driver: Arc<Driver>,
}

/// The part of it that has a session.
struct Live {
    driver: Arc<Driver>,
    session: Session,
    received: u64,
    /// The last mark that is not durable yet.
    pending: Option<(u64, Bytes)>,
    answers: Answers,
    /// Whether the core takes progress.
    tells: bool,
}

impl WriteStream {
    pub(crate) fn new(driver: Arc<Driver>) -> Self {
        Self { driver }
    }

    /// Serves it, and ends it with what went wrong.
    pub(crate) async fn run(self, mut messages: Streaming<v1::WriteStreamRequest>, answers: Answers) {
        let fault = self.driver.store.fault;
        match self.serve(&mut messages, &answers).await {
            Ok(()) => {}
            Err(refusal) if fault == Fault::FencedEndsWell && refusal.reason == FENCED => {}
            Err(refusal) => {
                // Nobody waits for it any more if this fails.
                let _ = answers.send(Err(refusal.into_status(fault))).await;
            }
        }
    }

    async fn serve(self, messages: &mut Streaming<v1::WriteStreamRequest>, answers: &Answers) -> Result<()> {
        let Ok(first) = messages.message().await else { return Ok(()) };
        let open = match first.and_then(|message| message.msg) {
            Some(Msg::Open(open)) => open,
            _ if self.driver.store.fault == Fault::OpenMissingTaken => return Ok(()),
            _ => return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a write stream begins with open")),
        };
        let tells = open.progress;
        let session = self.driver.open_session(open).await?;
        let received = session.record.durable;
        let (knock, settle) = mpsc::channel(4);
        let place = self.driver.enter(knock);
        let driver = Arc::clone(&self.driver);
        let live = Live { driver, session, received, pending: None, answers: answers.clone(), tells };
        let outcome = live.run(messages, settle).await;
        self.driver.leave(place);
        outcome
    }
}

impl Live {
    async fn run(
        mut self,
        messages: &mut Streaming<v1::WriteStreamRequest>,
        mut settle: mpsc::Receiver<Settle>,
    ) -> Result<()> {
        let mut look = tokio::time::interval(LOOK);
        self.say_opened().await?;
        loop {
            let step = tokio::select! {
                message = messages.message() => match message {
                    Ok(Some(message)) => self.obey(message.msg).await,
                    Ok(None) => break self.end(true),
                    Err(_) => break self.end(false),
                },
                Some(reply) = settle.recv() => self.settle_for(reply).await,
                _ = look.tick(), if self.fault() != Fault::FencedToldLate => self.check_claim().map(|()| false),
            };
            match step {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(refusal) => break Err(self.fail(refusal)),
            }
        }
    }

    fn fault(&self) -> Fault {
        self.driver.store.fault
    }

    fn check_claim(&self) -> Result<()> {
        let store = &self.driver.store;
        store.check_claim(self.session.id(), &self.session.claim).map_err(|refusal| match refusal.reason {
            // A session that was ended was ended by a later writer.
            UPLOAD_UNKNOWN => fenced(store.fault, self.session.id()),
            _ => refusal,
        })
    }

    async fn say(&self, msg: Answer) {
        // The core may be gone; the stream's end tells.
        let _ = self.answers.send(Ok(v1::WriteStreamResponse { msg: Some(msg) })).await;
    }

    async fn say_opened(&self) -> Result<()> {
        let mut upload = self.driver.store.bend_upload(self.session.record.clone());
        match self.fault() {
            Fault::OpenedIsAck => {
                self.ack().await;
                return Ok(());
            }
            Fault::OpenedWithoutBookmark => upload.bookmark.clear(),
            Fault::OpenedDurableWrong => upload.durable += 1,
            Fault::OpenedIdUntold => upload.upload_id.clear(),
            Fault::CommitVisibleEarly => self.show_early()?,
            _ => {}
        }
        self.say(Answer::Opened(upload)).await;
        Ok(())
    }

    /// The fault whose object is there before its commit.
    fn show_early(&self) -> Result<()> {
        let store = &self.driver.store;
        let path = store.object_path(&self.session.record.key);
        store.make_parents(&path)?;
        let _ = fs::hard_link(store.session(self.session.id()).join("data"), path);
        Ok(())
    }

    async fn ack(&self) {
        let (mut received, mut durable) = (self.received, self.session.record.durable);
        match self.fault() {
            Fault::AckAhead => durable += 1,
            Fault::AckReceivedWrong => received = 0,
            _ => {}
        }
        self.say(Answer::Ack(v1::WriteAck { received, durable })).await;
    }

    /// U22: this driver has nothing to tell, but for its faults.
    async fn tell(&self) {
        let moved = match self.fault() {
            Fault::ProgressUnasked if !self.tells => self.received,
            Fault::ProgressShrinks if self.tells => u64::MAX - self.received,
            _ => return,
        };
        self.say(Answer::Progress(v1::WriteProgress { moved })).await;
    }

    /// `true`: the stream is done.
    async fn obey(&mut self, message: Option<Msg>) -> Result<bool> {
        self.check_claim()?;
        match message {
            Some(Msg::Chunk(chunk)) => self.chunk(chunk).await.map(|()| false),
            Some(Msg::Mark(mark)) => self.mark(mark).await.map(|()| false),
            Some(Msg::Commit(commit)) => self.commit(commit).await.map(|()| true),
            Some(Msg::Open(_)) if self.fault() == Fault::SecondOpenTaken => Ok(false),
            Some(Msg::Open(_)) => Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a second open")),
            None if self.fault() == Fault::EmptyMessageTaken => Ok(false),
            None => Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "an empty message")),
        }
    }

    fn refuse_committed(&self, unless: Fault) -> Result<()> {
        if !self.session.is_committed() || self.fault() == unless {
            return Ok(());
        }
        Err(Refusal::new(UPLOAD_COMMITTED, format!("upload {} is committed", self.session.id())))
    }

    /// U6.
    fn expect(&self, offset: u64) -> Result<()> {
        if offset == self.received {
            return Ok(());
        }
        let off = u64::from(self.fault() == Fault::OffsetsWrong);
        Err(Refusal::new(OFFSET_MISMATCH, format!("offset {offset}, and {} were received", self.received))
            .with("received", self.received + off)
            .with("durable", self.session.record.durable + off))
    }

    async fn chunk(&mut self, chunk: v1::WriteChunk) -> Result<()> {
        let fault = self.fault();
        self.refuse_committed(Fault::CommittedTakesChunks)?;
        if self.session.is_committed() {
            return Ok(());
        }
        let most = if fault == Fault::ChunkMaxRefused { MAX_CHUNK - 1 } else { MAX_CHUNK } as usize;
        if chunk.data.len() > most && fault != Fault::ChunkLargeTaken {
            return Err(Refusal::new(TOO_LARGE, format!("a chunk of {} bytes", chunk.data.len())));
        }
        if chunk.data.is_empty() && fault == Fault::ChunkEmptyRefused {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "an empty chunk"));
        }
        let (gap, behind) = (chunk.offset > self.received, chunk.offset < self.received);
        let passes = match fault {
            Fault::ChunkGapPadded => gap,
            Fault::ChunkOverwrites => behind,
            Fault::ChunkOffsetIgnored => gap || behind,
            _ => false,
        };
        if !passes {
            self.expect(chunk.offset)?;
        }
        let mut at = if fault == Fault::ChunkOffsetIgnored { self.received } else { chunk.offset };
        let is_damaged = chunk.crc32c.is_some_and(|sum| sum != crc32c::crc32c(&chunk.data));
        if is_damaged && fault != Fault::CrcIgnored {
            if fault == Fault::CrcBadKept {
                self.session.write(&self.driver.store, at, &chunk.data)?;
                self.pending = Some((at + chunk.data.len() as u64, self.session.record.bookmark.clone()));
            }
            let reason = if fault == Fault::CrcReason { REQUEST_NOT_UNDERSTOOD } else { CHECKSUM_MISMATCH };
            return Err(Refusal::new(reason, format!("the chunk at {at} arrived damaged")));
        }
        if fault == Fault::WriteLosesByteAtEdge && at > 0 && !chunk.data.is_empty() {
            at -= 1;
        }
        self.session.write(&self.driver.store, at, &chunk.data)?;
        self.received = self.received.max(chunk.offset).max(at) + chunk.data.len() as u64;
        if fault == Fault::ChunkOverwrites && behind {
            self.received -= chunk.data.len() as u64;
        }
        if fault == Fault::WriteLosesByteAtEdge && at + 1 == chunk.offset {
            self.received = chunk.offset + chunk.data.len() as u64;
        }
        if fault == Fault::AckPerChunk {
            self.ack().await;
        }
        self.tell().await;
        Ok(())
    }

    async fn mark(&mut self, mark: v1::WriteMark) -> Result<()> {
        let fault = self.fault();
        self.driver.store.check_bookmark(&mark.bookmark)?;
        self.refuse_committed(Fault::CommittedTakesMarks)?;
        if fault != Fault::MarkOffsetIgnored {
            self.expect(mark.offset)?;
        }
        if fault == Fault::MarkOddRefused && !self.received.is_multiple_of(2) {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a mark at an odd offset"));
        }
        if self.session.is_committed() {
            self.session.record.bookmark = mark.bookmark.clone();
            return self.driver.store.save(&self.session.record, "record");
        }
        if fault == Fault::MarkAgainIgnored
            && self.received == self.session.record.durable
            && self.received > 0
        {
            self.ack().await;
            return Ok(());
        }
        if fault == Fault::BookmarkOfLaterMark && !mark.flush {
            let durable = self.session.record.durable;
            self.session.mark(&self.driver.store, durable, mark.bookmark.clone())?;
        }
        let bookmark = match fault {
            Fault::BookmarkOfEarlierMark => self
                .pending
                .take()
                .map_or_else(|| self.session.record.bookmark.clone(), |(_, bookmark)| bookmark),
            _ => mark.bookmark.clone(),
        };
        self.pending = Some((self.received, if mark.flush { bookmark } else { mark.bookmark }));
        let is_far = self.received - self.session.record.durable >= LAZY_MARK;
        if mark.flush || is_far {
            self.settle()?;
            self.ack().await;
        } else if fault == Fault::AckPerMark {
            self.ack().await;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let Some((offset, bookmark)) = self.pending.take() else { return Ok(()) };
        let record = &self.session.record;
        if record.durable == offset && record.bookmark == bookmark {
            return Ok(());
        }
        self.session.mark(&self.driver.store, offset, bookmark)
    }

    /// D4: a drain asks for it. What became durable is told.
    async fn settle_for(&mut self, reply: oneshot::Sender<()>) -> Result<bool> {
        let before = self.session.record.durable;
        self.check_claim()?;
        self.settle()?;
        if self.session.record.durable > before {
            self.ack().await;
        }
        let _ = reply.send(());
        Ok(false)
    }

    async fn commit(&mut self, commit: v1::WriteCommit) -> Result<()> {
        let fault = self.fault();
        self.driver.store.check_bookmark(&commit.bookmark)?;
        let is_again = self.session.is_committed();
        let fits = commit.size == self.received
            || match fault {
                Fault::CommitSizeIgnored => !is_again,
                Fault::CommitAgainAnySize => is_again,
                _ => false,
            };
        if !fits {
            let message = format!("a commit of {} bytes, and {} are there", commit.size, self.received);
            if fault == Fault::CommitMismatchDrops {
                self.driver.store.remove_session(self.session.id())?;
            }
            return Err(Refusal::new(SIZE_MISMATCH, message));
        }
        if is_again && fault == Fault::CommitAgainRefused {
            self.refuse_committed(Fault::None)?;
        }
        if commit.size == 0 && fault == Fault::CommitEmptyRefused {
            return Err(Refusal::new(SIZE_MISMATCH, "a commit of nothing"));
        }
        let late = self.pending.take().filter(|_| fault == Fault::CommitLateMark);
        if !is_again {
            let received = self.received;
            self.session.commit(&self.driver.store, received, commit.bookmark).inspect_err(|refusal| {
                if fault == Fault::CommitTakenDrops && refusal.reason == KEY_EXISTS {
                    let _ = self.driver.store.remove_session(self.session.id());
                }
            })?;
        }
        if fault == Fault::CommitForgets {
            self.driver.store.remove_session(self.session.id())?;
        }
        let mut upload = self.driver.store.bend_upload(self.session.record.clone());
        if fault == Fault::CommitToldOpen {
            upload.set_state(v1::UploadState::Open);
        }
        self.say(Answer::Committed(upload)).await;
        match late {
            Some((offset, bookmark)) => self.session.mark(&self.driver.store, offset, bookmark),
            None => Ok(()),
        }
    }

    /// U11: the core ended its side, or went away.
    fn end(&mut self, is_orderly: bool) -> Result<()> {
        let store = Arc::clone(&self.driver.store);
        let received = self.received;
        self.check_claim().or_else(|refusal| if is_orderly { Err(refusal) } else { Ok(()) })?;
        match self.fault() {
            _ if self.session.is_committed() => Ok(()),
            Fault::EndOfStreamCommits if is_orderly && received > 0 => {
                self.session.commit(&store, received, Bytes::new())
            }
            Fault::EndOfStreamDrops if is_orderly => store.remove_session(self.session.id()),
            Fault::BrokenStreamDrops if !is_orderly => store.remove_session(self.session.id()),
            Fault::DurableWithoutMark => {
                let bookmark = self.session.record.bookmark.clone();
                self.session.mark(&store, received, bookmark)
            }
            _ => self.settle(),
        }
    }

    /// What was marked before a refusal is worth keeping; if that fails, the durable mark stands.
    fn fail(&mut self, refusal: Refusal) -> Refusal {
        if refusal.reason != FENCED && self.check_claim().is_ok() {
            let _ = self.settle();
        }
        refusal
    }
}
