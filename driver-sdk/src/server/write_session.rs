//! One write stream: open, then chunks and marks in order, perhaps a commit (contract section U). Owns the checks of
//! offsets, sizes and checksums, how often is acknowledged, and the signs of life while the store takes its time.

use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

use super::Service;
use crate::driver::{OpenMode, OpenUpload, UploadId, UploadStream};
use crate::error::{Detail, DriverError, Reason, Result};
use crate::key::Key;
use crate::moved::Moved;
use crate::streams::Incoming;
use crate::streams::pieces::{self, Framed};
use crate::wire;

/// How often a core that waits is told how many bytes went on to the store (contract clause U22).
const REPORT: Duration = Duration::from_secs(1);

type Answers = mpsc::Sender<std::result::Result<Framed, Status>>;

pub(super) struct WriteSession {
    pub(super) service: Service,
    pub(super) messages: Incoming,
    pub(super) answers: Answers,
}

impl WriteSession {
    pub(super) async fn run(mut self) -> Result<()> {
        use v1::write_stream_request::Msg;
        let Some((Msg::Open(open), _)) = self.next().await? else {
            return Err(wire::misunderstood("a write stream begins with open"));
        };
        let takes_progress = open.progress;
        let (upload, mut writer) = self.service.driver.open_upload(self.service.open(open)?).await?;
        let moved = takes_progress.then(|| writer.moved());
        let signs = SignsOfLife { moved, answers: self.answers.clone() };
        let mut position = Position { received: upload.durable, durable: upload.durable };
        self.say(v1::write_stream_response::Msg::Opened(wire::upload_out(upload))).await;
        let mut evicted = writer.evicted();
        loop {
            let next = tokio::select! {
                biased;
                fenced = &mut evicted => return Err(fenced),
                next = self.next() => next?,
            };
            let Some((message, data)) = next else { return Ok(()) };
            match message {
                Msg::Open(_) => return Err(wire::misunderstood("a second open in one write stream")),
                Msg::Chunk(chunk) => {
                    signs.during(position.write(&mut *writer, &chunk, data, &self.service)).await?;
                }
                Msg::Mark(mark) => {
                    if let Some(ack) = signs.during(position.mark(&mut *writer, mark)).await? {
                        self.say(v1::write_stream_response::Msg::Ack(ack)).await;
                    }
                }
                Msg::Commit(commit) => {
                    let upload = signs.during(writer.commit(commit.size, commit.bookmark)).await?;
                    self.say(v1::write_stream_response::Msg::Committed(wire::upload_out(upload))).await;
                    return Ok(());
                }
            }
        }
    }

    /// `None`: the core ended the stream or went away; either way the session stays at its last durable mark.
    async fn next(&mut self) -> Result<Option<(v1::write_stream_request::Msg, Vec<Bytes>)>> {
        let Ok(Some(mut message)) = self.messages.next().await else { return Ok(None) };
        match pieces::take_write(&mut message) {
            Ok((v1::WriteStreamRequest { msg: Some(message) }, data)) => Ok(Some((message, data))),
            Ok(_) => Err(wire::misunderstood("an empty message in a write stream")),
            Err(error) => Err(wire::misunderstood(&error.to_string())),
        }
    }

    async fn say(&mut self, msg: v1::write_stream_response::Msg) {
        let _ = self.answers.send(framed(msg)).await;
    }
}

fn framed(msg: v1::write_stream_response::Msg) -> std::result::Result<Framed, Status> {
    Ok(pieces::frame(&v1::WriteStreamResponse { msg: Some(msg) }))
}

/// Tells the core that waits how much the store took, and that it is the store that is waited for.
struct SignsOfLife {
    /// `None`: the core does not take them.
    moved: Option<Moved>,
    answers: Answers,
}

impl SignsOfLife {
    async fn during<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                outcome = &mut call => return outcome,
                () = tokio::time::sleep(REPORT) => self.tell(),
            }
        }
    }

    /// Waits for nobody: a core that has not read the last one is told the next time.
    fn tell(&self) {
        let Some(moved) = &self.moved else { return };
        if self.answers.capacity() == self.answers.max_capacity() {
            let moved = moved.total();
            let progress = v1::write_stream_response::Msg::Progress(v1::WriteProgress { moved });
            let _ = self.answers.try_send(framed(progress));
        }
    }
}

impl Service {
    fn open(&self, open: v1::WriteOpen) -> Result<OpenUpload> {
        let mode = match open.mode {
            Some(v1::write_open::Mode::Create(create)) => {
                self.refuse_while_draining()?;
                OpenMode::Create {
                    key: Key::parse(&create.key)?,
                    size_hint: create.size_hint,
                    bookmark: create.bookmark,
                }
            }
            Some(v1::write_open::Mode::Resume(_)) => OpenMode::Resume,
            None => {
                return Err(wire::misunderstood("an open without a mode that this driver knows (rule R2)"));
            }
        };
        Ok(OpenUpload { id: UploadId::parse(&open.upload_id)?, fence: wire::fence_in(open.fence)?, mode })
    }
}

/// Where a write stream is.
struct Position {
    received: u64,
    durable: u64,
}

impl Position {
    async fn write(
        &mut self,
        writer: &mut dyn UploadStream,
        chunk: &v1::WriteChunk,
        data: Vec<Bytes>,
        service: &Service,
    ) -> Result<()> {
        let max = service.driver.description().limits.max_chunk as usize;
        let length = data.iter().map(Bytes::len).sum::<usize>();
        if length > max {
            return Err(DriverError::new(
                Reason::TooLarge,
                format!("a chunk of {length} bytes; at most {max} are agreed"),
            ));
        }
        self.expect(chunk.offset)?;
        if pieces::is_damaged(&data, chunk.crc32c) {
            return Err(DriverError::new(
                Reason::ChecksumMismatch,
                format!("the chunk at offset {} arrived damaged", chunk.offset),
            ));
        }
        self.received += length as u64;
        for part in data {
            writer.write(part).await?;
        }
        Ok(())
    }

    /// Acknowledges a flush always, another mark only when it became durable: acks are sparse.
    async fn mark(
        &mut self,
        writer: &mut dyn UploadStream,
        mark: v1::WriteMark,
    ) -> Result<Option<v1::WriteAck>> {
        self.expect(mark.offset)?;
        let ack = writer.mark(mark.bookmark, mark.flush).await?;
        let news = mark.flush || ack.durable > self.durable;
        self.durable = ack.durable;
        Ok(news.then_some(v1::WriteAck { received: ack.received, durable: ack.durable }))
    }

    fn expect(&self, offset: u64) -> Result<()> {
        if offset == self.received {
            return Ok(());
        }
        let detail = Detail::Offsets { received: self.received, durable: self.durable };
        let message = format!("offset {offset} does not follow; {} bytes were received", self.received);
        Err(DriverError::new(Reason::OffsetMismatch, message).with_detail(detail))
    }
}
