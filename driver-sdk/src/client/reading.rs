//! A read stream, as the core sees it: bytes in order, checked against offset and checksum, each piece within the
//! deadline for progress. A stream that ends early ends with an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use tokio::time::Instant;
use tonic::Streaming;

use super::Deadlines;
use super::link::Link;
use super::retry::{self, Repeat};
use super::supervisor::Supervised;
use crate::driver::{ReadRange, Reading};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;
use crate::wire;

/// Slower than this over the window counts as no progress.
const MIN_RATE: u64 = 1024;
const RATE_WINDOW: Duration = Duration::from_secs(30);

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
        let request = request.clone();
        async move {
            let mut messages = link.data().read_stream(request).await?.into_inner();
            let first = messages.message().await?;
            Ok(tonic::Response::new((first, messages, link)))
        }
    })
    .await?;
    let object = wire::object_in(first.and_then(|first| first.object))?;
    let past_start = object.size.saturating_sub(range.offset);
    let left = range.length.unwrap_or(past_start).min(past_start);
    let pieces = Pieces {
        messages,
        supervised: supervised.clone(),
        link,
        offset: range.offset,
        left,
        progress: Progress::new(deadlines.stall),
    };
    let bytes = futures_util::stream::try_unfold(pieces, |mut pieces| async move {
        Ok(pieces.next().await?.map(|piece| (piece, pieces)))
    });
    Ok(Reading { object, bytes: Box::pin(bytes) })
}

struct Pieces {
    messages: Streaming<v1::ReadStreamResponse>,
    supervised: Arc<Supervised>,
    link: Arc<Link>,
    offset: u64,
    left: u64,
    progress: Progress,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let next = async { self.messages.message().await.map_err(|status| wire::from_status(&status)) };
            let outcome = self.progress.within(next).await;
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
                Some(piece) if piece.data.is_empty() => {}
                Some(piece) => return self.check(piece).map(Some),
            }
        }
    }

    fn check(&mut self, piece: v1::ReadStreamResponse) -> Result<Bytes> {
        let size = piece.data.len() as u64;
        if piece.offset != self.offset || size > self.left {
            return Err(DriverError::new(
                Reason::DriverBug,
                format!("a read of offset {} brought offset {}", self.offset, piece.offset),
            ));
        }
        if piece.crc32c.is_some_and(|sum| sum != crc32c::crc32c(&piece.data)) {
            return Err(DriverError::new(
                Reason::ChecksumMismatch,
                format!("the piece at offset {} arrived damaged", self.offset),
            ));
        }
        self.offset += size;
        self.left -= size;
        self.progress.made(size);
        Ok(piece.data)
    }
}

/// Tells a stream that crawls from one that stands.
pub(super) struct Progress {
    stall: Duration,
    waited: Duration,
    in_window: u64,
}

impl Progress {
    pub(super) fn new(stall: Duration) -> Self {
        Self { stall, waited: Duration::ZERO, in_window: 0 }
    }

    /// Bounds one wait on the other side. Time that nobody waits, because the client is slow, does not count.
    pub(super) async fn within<T>(&mut self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let outcome = retry::within(self.stall, call).await;
        self.waited += began.elapsed();
        if self.waited < RATE_WINDOW || outcome.is_err() {
            return outcome;
        }
        let crawls = self.in_window < MIN_RATE * RATE_WINDOW.as_secs();
        (self.waited, self.in_window) = (Duration::ZERO, 0);
        if crawls {
            let message = "a stream moved less than 1 KiB for each second of 30 that it was waited for";
            return Err(DriverError::new(Reason::Timeout, message).with_unknown_outcome());
        }
        outcome
    }

    pub(super) fn made(&mut self, bytes: u64) {
        self.in_window += bytes;
    }
}
