//! A read stream, as the core sees it: bytes in order, checked against offset and checksum, each piece within the
//! deadline for progress. A stream that ends early ends with an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use tokio::time::Instant;
use tonic::Status;

use super::link::Link;
use super::retry::{self, Repeat};
use super::supervisor::Supervised;
use super::{Deadlines, answers};
use crate::driver::{ReadRange, Reading};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;
use crate::server::MAX_MESSAGE;
use crate::streams::{self, Incoming, pieces};
use crate::wire;

/// Slower than this over the window counts as no progress.
const MIN_RATE: u64 = 1024;
pub(super) const RATE_WINDOW: Duration = Duration::from_secs(30);

pub(super) async fn open(
    supervised: &Arc<Supervised>,
    deadlines: &Deadlines,
    key: &Key,
    range: ReadRange,
) -> Result<Reading> {
    let request = v1::ReadStreamRequest {
        key: key.as_str().to_owned(),
        offset: range.offset,
        length: range.length,
        if_match: range.if_match.unwrap_or_default(),
    };
    let (first, messages, link) = retry::call(supervised, deadlines, Repeat::Freely, |link| {
        let call = futures_util::stream::iter([Ok(pieces::frame(&request))]);
        async move {
            let answer = streams::call(link.data(), streams::READ_STREAM, call).await?;
            let mut messages = Incoming::answer(answer, MAX_MESSAGE);
            let first = next(&mut messages).await?;
            Ok(tonic::Response::new((first, messages, link)))
        }
    })
    .await?;
    let (mut first, data) = first.unwrap_or_default();
    let object = answers::object(key, first.object.take())?;
    if range.offset > object.size {
        return Err(wire::bad_answer(&format!("a read of {key} begins behind its {} bytes", object.size)));
    }
    let past_start = object.size.saturating_sub(range.offset);
    let left = range.length.unwrap_or(past_start).min(past_start);
    let mut pieces = Pieces {
        messages,
        parts: Vec::new().into_iter(),
        supervised: supervised.clone(),
        link,
        offset: range.offset,
        left,
        stall: deadlines.stall,
        progress: Progress::new(RATE_WINDOW),
    };
    if !data.is_empty() {
        pieces.check(&first, &data)?;
        pieces.parts = data.into_iter();
    }
    let bytes = futures_util::stream::try_unfold(pieces, |mut pieces| async move {
        Ok(pieces.next().await?.map(|piece| (piece, pieces)))
    });
    Ok(Reading { object, bytes: Box::pin(bytes) })
}

type Piece = (v1::ReadStreamResponse, Vec<Bytes>);

async fn next(messages: &mut Incoming) -> std::result::Result<Option<Piece>, Status> {
    let Some(mut message) = messages.next().await? else { return Ok(None) };
    let piece = pieces::take_read(&mut message);
    piece.map(Some).map_err(|error| Status::internal(error.to_string()))
}

struct Pieces {
    messages: Incoming,
    /// Of the piece that came last.
    parts: std::vec::IntoIter<Bytes>,
    supervised: Arc<Supervised>,
    link: Arc<Link>,
    offset: u64,
    left: u64,
    stall: Duration,
    progress: Progress,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(part) = self.parts.next() {
                return Ok(Some(part));
            }
            let next = async { next(&mut self.messages).await.map_err(|status| wire::from_status(&status)) };
            let outcome = self.progress.during(retry::within(self.stall, next)).await;
            self.supervised.note(&self.link, &outcome);
            match outcome? {
                None if self.left == 0 => return Ok(None),
                None => {
                    let message = format!(
                        "the driver ended a read at offset {}, {} bytes early",
                        self.offset, self.left
                    );
                    return Err(DriverError::new(Reason::ShortObject, message));
                }
                Some((_, data)) if data.is_empty() => {}
                Some((piece, data)) => {
                    self.check(&piece, &data)?;
                    self.parts = data.into_iter();
                }
            }
        }
    }

    fn check(&mut self, piece: &v1::ReadStreamResponse, data: &[Bytes]) -> Result<()> {
        let size = data.iter().map(|part| part.len() as u64).sum();
        if piece.offset != self.offset || size > self.left {
            return Err(DriverError::new(
                Reason::DriverBug,
                format!("a read of offset {} brought offset {}", self.offset, piece.offset),
            ));
        }
        if pieces::is_damaged(data, piece.crc32c) {
            return Err(DriverError::new(
                Reason::ChecksumMismatch,
                format!("the piece at offset {} arrived damaged", self.offset),
            ));
        }
        self.offset += size;
        self.left -= size;
        self.progress.made(size);
        Ok(())
    }
}

/// Tells a stream that crawls from one that stands.
pub(super) struct Progress {
    window: Duration,
    waited: Duration,
    in_window: u64,
}

impl Progress {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, waited: Duration::ZERO, in_window: 0 }
    }

    /// Counts one wait on the other side. Time that nobody waits, because the client is slow, does not count.
    pub(super) async fn during<T>(&mut self, wait: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let outcome = wait.await;
        self.waited += began.elapsed();
        if self.waited < self.window || outcome.is_err() {
            return outcome;
        }
        let crawls = self.in_window < MIN_RATE * self.window.as_secs();
        (self.waited, self.in_window) = (Duration::ZERO, 0);
        if crawls {
            let seconds = self.window.as_secs();
            let message =
                format!("a stream moved less than 1 KiB for each second of {seconds} that it was waited for");
            return Err(DriverError::new(Reason::Timeout, message).with_unknown_outcome());
        }
        outcome
    }

    pub(super) fn made(&mut self, bytes: u64) {
        self.in_window = self.in_window.saturating_add(bytes);
    }
}
