//! A write stream, as the core sees it. At most two pieces wait in the core; a driver that neither takes nor says anything
//! for the stall deadline fails the stream, and the session stays at its last mark.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::link::Link;
use super::reading::{Progress, RATE_WINDOW};
use super::retry::{self, Repeat};
use super::supervisor::Supervised;
use super::{Deadlines, answers};
use crate::driver::{Ack, OpenMode, OpenUpload, Upload, UploadId, UploadState, UploadStream};
use crate::error::{DriverError, Reason, Result};
use crate::server::MAX_MESSAGE;
use crate::streams::pieces::{self, Framed};
use crate::streams::{self, Incoming};
use crate::wire;

/// Pieces between the caller and the connection.
const QUEUE: usize = 2;

pub(super) struct RemoteUpload {
    id: UploadId,
    messages: mpsc::Sender<std::result::Result<Framed, Status>>,
    answers: Incoming,
    supervised: Arc<Supervised>,
    link: Arc<Link>,
    deadlines: Deadlines,
    progress: Progress,
    max_chunk: usize,
    received: u64,
    durable: u64,
    /// What the driver said last of bytes that went on to its backend.
    moved: u64,
}

pub(super) async fn open(
    supervised: &Arc<Supervised>,
    deadlines: &Deadlines,
    open: OpenUpload,
) -> Result<(Upload, RemoteUpload)> {
    let message = v1::WriteStreamRequest { msg: Some(Msg::Open(open_out(&open))) };
    // A repeated create of the same session by the same writer is the same create (contract clause U2).
    let (messages, answers, upload, link) = retry::call(supervised, deadlines, Repeat::Freely, |link| {
        let message = message.clone();
        async move {
            let (messages, queue) = mpsc::channel(QUEUE);
            let _ = messages.send(Ok(pieces::frame_write(message))).await;
            let answer =
                streams::call(link.data(), streams::WRITE_STREAM, ReceiverStream::new(queue)).await?;
            let mut answers = Incoming::answer(answer, MAX_MESSAGE);
            let upload = match next(&mut answers).await?.and_then(|answer| answer.msg) {
                Some(v1::write_stream_response::Msg::Opened(upload)) => upload,
                _ => return Err(Status::internal("the driver did not answer open with opened")),
            };
            Ok(tonic::Response::new((messages, answers, upload, link)))
        }
    })
    .await?;
    let upload = answers::opened(&open, upload)?;
    let stream = RemoteUpload {
        id: open.id,
        messages,
        answers,
        supervised: supervised.clone(),
        max_chunk: link.description.limits.max_chunk as usize,
        link,
        deadlines: deadlines.clone(),
        progress: Progress::new(deadlines.commit.max(RATE_WINDOW)),
        received: upload.durable,
        durable: upload.durable,
        moved: 0,
    };
    Ok((upload, stream))
}

fn open_out(open: &OpenUpload) -> v1::WriteOpen {
    use v1::write_open::{Create, Mode, Resume};
    let mode = match &open.mode {
        OpenMode::Create { key, size_hint, bookmark } => Mode::Create(Create {
            key: key.as_str().to_owned(),
            size_hint: *size_hint,
            bookmark: bookmark.clone(),
        }),
        OpenMode::Resume => Mode::Resume(Resume {}),
    };
    v1::WriteOpen {
        upload_id: open.id.as_str().to_owned(),
        fence: Some(wire::fence_out(&open.fence)),
        mode: Some(mode),
        progress: true,
    }
}

impl RemoteUpload {
    /// Hands a message over, and takes in what the driver says meanwhile: an error may be the reason why it takes nothing.
    async fn send(&mut self, msg: Msg) -> Result<()> {
        let mut message = Some(pieces::frame_write(v1::WriteStreamRequest { msg: Some(msg) }));
        let mut wait = Wait::begin(self.deadlines.stall, self.deadlines.commit);
        while message.is_some() {
            let sending = async {
                tokio::select! {
                    biased;
                    answer = next(&mut self.answers) => Ok(Some(answer)),
                    place = self.messages.reserve() => {
                        let place = place.map_err(|_| broken())?;
                        if let Some(message) = message.take() {
                            place.send(Ok(message));
                        }
                        Ok(None)
                    }
                }
            };
            let outcome = self.progress.during(wait.within(sending)).await;
            let outcome = outcome.and_then(|answer| answer.map_or(Ok(None), |answer| take(answer).map(Some)));
            self.supervised.note(&self.link, &outcome);
            if let Some(answer) = outcome? {
                self.note(&answer, &mut wait)?;
            }
        }
        Ok(())
    }

    /// Takes in what is no answer to a commit. An ack that makes nothing durable says nothing (contract clauses U9, U22).
    fn note(&mut self, answer: &Answer, wait: &mut Wait) -> Result<()> {
        match answer {
            Answer::Ack(ack) if ack.durable > self.received || ack.durable < self.durable => {
                let message = format!(
                    "{} durable bytes of {} that were sent, after {}",
                    ack.durable, self.received, self.durable
                );
                Err(wire::bad_answer(&message))
            }
            Answer::Ack(ack) => {
                if ack.durable > self.durable {
                    wait.went_on();
                }
                self.durable = ack.durable;
                Ok(())
            }
            Answer::Progress(progress) => {
                wait.heard();
                if progress.moved > self.moved {
                    wait.went_on();
                    self.progress.made(progress.moved - self.moved);
                    self.moved = progress.moved;
                }
                Ok(())
            }
            Answer::Committed(_) => Err(unasked()),
        }
    }

    /// The next answer to what was sent.
    async fn next(&mut self, wait: &mut Wait) -> Result<Answer> {
        let answer = wait.within(async { take(next(&mut self.answers).await) }).await;
        self.supervised.note(&self.link, &answer);
        let answer = answer?;
        if !matches!(answer, Answer::Committed(_)) {
            self.note(&answer, wait)?;
        }
        Ok(answer)
    }
}

/// One wait for the driver, and for the backend behind it (contract clause D2).
struct Wait {
    /// Between two signs of life.
    word: Duration,
    /// While there are signs of life, and nothing goes on.
    backend: Duration,
    heard: Instant,
    went_on: Instant,
}

impl Wait {
    fn begin(word: Duration, backend: Duration) -> Self {
        let now = Instant::now();
        Self { word, backend, heard: now, went_on: now }
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
    }

    fn went_on(&mut self) {
        self.heard();
        self.went_on = self.heard;
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let (silent, still) = (self.heard + self.word, self.went_on + self.backend);
        tokio::time::timeout_at(silent.min(still), call).await.unwrap_or_else(|_| {
            Err(if silent <= still { retry::late(self.word) } else { self.stands_still() })
        })
    }

    fn stands_still(&self) -> DriverError {
        let seconds = self.backend.as_secs_f32();
        retry::timed_out(format!("the driver's backend took nothing and answered nothing for {seconds} s"))
    }
}

async fn next(answers: &mut Incoming) -> std::result::Result<Option<v1::WriteStreamResponse>, Status> {
    let Some(message) = answers.next().await? else { return Ok(None) };
    let answer = v1::WriteStreamResponse::decode(message);
    answer.map(Some).map_err(|error| Status::internal(format!("cannot decode an answer: {error}")))
}

enum Answer {
    Ack(v1::WriteAck),
    Progress(v1::WriteProgress),
    Committed(Box<v1::Upload>),
}

fn take(answer: std::result::Result<Option<v1::WriteStreamResponse>, Status>) -> Result<Answer> {
    use v1::write_stream_response::Msg;
    match answer.map_err(|status| wire::from_status(&status))?.map(|answer| answer.msg) {
        Some(Some(Msg::Ack(ack))) => Ok(Answer::Ack(ack)),
        Some(Some(Msg::Progress(progress))) => Ok(Answer::Progress(progress)),
        Some(Some(Msg::Committed(upload))) => Ok(Answer::Committed(Box::new(upload))),
        Some(_) => Err(DriverError::new(Reason::DriverBug, "an unexpected message in a write stream")),
        None => Err(broken()),
    }
}

fn unasked() -> DriverError {
    DriverError::new(Reason::DriverBug, "a commit that nobody asked for")
}

fn broken() -> DriverError {
    DriverError::new(Reason::BackendUnavailable, "the driver ended the write stream").with_unknown_outcome()
}

#[async_trait]
impl UploadStream for RemoteUpload {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(self.max_chunk));
            let size = piece.len() as u64;
            let crc32c = self.link.sums.then(|| crc32c::crc32c(&piece));
            self.send(Msg::Chunk(v1::WriteChunk { offset: self.received, data: piece, crc32c })).await?;
            self.received += size;
            self.progress.made(size);
        }
        Ok(())
    }

    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack> {
        self.send(Msg::Mark(v1::WriteMark { offset: self.received, bookmark, flush })).await?;
        let mut wait = Wait::begin(self.deadlines.stall, self.deadlines.commit);
        let mut acknowledged = false;
        while flush && !(acknowledged && self.durable >= self.received) {
            match self.next(&mut wait).await? {
                Answer::Ack(_) => acknowledged = true,
                Answer::Progress(_) => {}
                Answer::Committed(_) => return Err(unasked()),
            }
        }
        Ok(Ack { received: self.received, durable: self.durable })
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload> {
        self.send(Msg::Commit(v1::WriteCommit { size, bookmark })).await?;
        let mut wait = Wait::begin(self.deadlines.commit, self.deadlines.commit);
        loop {
            if let Answer::Committed(upload) = self.next(&mut wait).await? {
                let upload = answers::upload(&self.id, Some(*upload))?;
                return if upload.state == UploadState::Committed && upload.durable == size {
                    Ok(upload)
                } else {
                    Err(DriverError::new(Reason::DriverBug, "a commit was answered with another size"))
                };
            }
        }
    }
}
