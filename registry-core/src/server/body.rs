//! Bodies with a watch on them: a request's must come at a minimum rate, a response's must be taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::pulse::Exchange;
use crate::config::limits::Limits;

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The client sends, but hardly anything.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the client sent {came} bytes in {} s, and at least {least} are asked for: go on over a faster line",
    .over.as_secs()
)]
struct TooSlow {
    came: u64,
    least: u64,
    over: Duration,
}

/// What came in the time that is looked at, which is only that in which it was waited for.
struct Pace {
    least: u64,
    over: Duration,
    came: u64,
    waited: Duration,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        let over = limits.body_rate_over;
        let least = u128::from(limits.body_rate) * over.as_millis() / 1000;
        let least = u64::try_from(least).unwrap_or(u64::MAX).max(1);
        Self { least, over, came: 0, waited: Duration::ZERO }
    }

    fn left(&self) -> Duration {
        self.over.saturating_sub(self.waited)
    }

    fn took(&mut self, bytes: usize, waited: Duration) {
        self.came += bytes as u64;
        self.waited += waited;
    }

    /// The time is over: enough, and it begins again, or too slow.
    fn turn(&mut self) -> Result<(), TooSlow> {
        if self.came < self.least {
            return Err(TooSlow { came: self.came, least: self.least, over: self.over });
        }
        self.came = 0;
        self.waited = Duration::ZERO;
        Ok(())
    }
}

/// A request body that fails when its bytes come too slowly.
pub(super) struct Paced<B> {
    body: B,
    pace: Pace,
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, limits: &Limits) -> Self {
        Self { body, pace: Pace::new(limits), waiting_since: None, alarm: None }
    }

    /// The wait goes on, or the time is over. The alarm is moved only when it must be: most waits are short.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            let end = *self.waiting_since.get_or_insert_with(Instant::now) + self.pace.left();
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
            if alarm.deadline() > end {
                alarm.as_mut().reset(end);
            }
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() < end {
                alarm.as_mut().reset(end);
            } else if let Err(slow) = self.pace.turn() {
                return Poll::Ready(slow);
            } else {
                self.waiting_since = None;
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<Problem>> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = Problem;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Problem>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let waited = self.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                self.pace.took(data.map_or(0, Bytes::len), waited);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.poll_wait(cx).map(|slow| Some(Err(slow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// On HTTP/2 a piece counts as taken when the last of it fits into the client's window: of a whole piece of 256 KiB
/// a slow but steady client would seem to take nothing for as long as it needs for all of it.
const HTTP2_PIECE: usize = 64 * 1024;

/// A response body that tells its exchange what was taken. Its end is the end of the exchange.
pub(super) struct Taken<B> {
    body: B,
    exchange: Exchange,
    most: usize,
    /// Of a piece longer than that.
    rest: Bytes,
    _turn: Option<OwnedSemaphorePermit>,
}

impl<B> Taken<B> {
    /// With the turn that the response was given, if it needed one.
    pub(super) fn new(
        body: B,
        exchange: Exchange,
        version: Version,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let most = if version == Version::HTTP_2 { HTTP2_PIECE } else { usize::MAX };
        Self { body, exchange, most, rest: Bytes::new(), _turn: turn }
    }

    fn part(&mut self, mut data: Bytes) -> Bytes {
        self.rest = data.split_off(data.len().min(self.most));
        data
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Taken<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = if self.rest.is_empty() {
            Pin::new(&mut self.body).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))))
        };
        match &frame {
            Poll::Ready(Some(_)) => self.exchange.gave(),
            Poll::Ready(None) => {}
            Poll::Pending => self.exchange.waits(),
        }
        frame.map_ok(|frame| frame.map_data(|data| self.part(data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::super::pulse::Pulse;
    use super::*;

    /// Pieces of this size that are each waited for so long; gives how many bytes came before it was too slow.
    fn send(piece: usize, pieces: usize, wait: Duration) -> Result<usize, TooSlow> {
        let mut pace = Pace::new(&Limits::default());
        for _ in 0..pieces {
            let mut wait = wait;
            while wait >= pace.left() {
                wait -= pace.left();
                pace.turn()?;
            }
            pace.took(piece, wait);
        }
        Ok(piece * pieces)
    }

    #[test]
    fn less_than_1_kib_a_second_over_30_s_is_too_slow() {
        let second = Duration::from_secs(1);
        let slow = send(1000, 100, second).unwrap_err();
        assert_eq!((slow.least, slow.over), (30 * 1024, 30 * second));
        assert_eq!(send(1, 1, 31 * second).unwrap_err().came, 0);
        assert!(send(1, 31, second).is_err());
    }

    #[test]
    fn a_slow_but_steady_client_may_take_hours() {
        assert_eq!(send(1100, 10_000, Duration::from_secs(1)), Ok(11_000_000));
        assert_eq!(send(64 * 1024, 100, Duration::from_secs(14)), Ok(6_553_600));
    }

    #[test]
    fn time_that_nobody_waited_does_not_count() {
        assert_eq!(send(1, 20_000, Duration::from_millis(1)), Ok(20_000));
    }

    #[tokio::test]
    async fn a_body_that_stands_still_fails_within_its_time_and_says_why() {
        let limits = Limits { body_rate_over: Duration::from_millis(50), ..Limits::default() };
        let silent = futures_util::stream::pending::<Result<Frame<Bytes>, Problem>>();
        let mut body = Paced::new(http_body_util::StreamBody::new(silent), &limits);
        let failed = http_body_util::BodyExt::frame(&mut body).await.expect("a frame").unwrap_err();
        assert!(failed.to_string().contains("at least 51 are asked for"), "{failed}");
    }

    #[tokio::test]
    async fn a_long_piece_is_handed_over_in_parts_on_http_2_and_whole_on_http_1() {
        for (version, parts) in [(Version::HTTP_2, 4), (Version::HTTP_11, 1)] {
            let piece = Bytes::from((0..4 * HTTP2_PIECE).map(|at| at as u8).collect::<Vec<_>>());
            let exchange = Pulse::new(&Limits::default()).begin(version == Version::HTTP_2);
            let body = http_body_util::Full::new(piece.clone());
            let mut taken = Taken::new(body, exchange, version, None);
            let (mut came, mut frames) = (Vec::new(), 0);
            while !taken.is_end_stream() {
                let left = piece.len() - came.len();
                assert_eq!(taken.size_hint().exact(), Some(left as u64));
                let frame = http_body_util::BodyExt::frame(&mut taken).await.expect("a frame").unwrap();
                came.extend_from_slice(frame.data_ref().expect("data"));
                frames += 1;
            }
            assert_eq!((frames, came), (parts, piece.to_vec()));
        }
    }
}
