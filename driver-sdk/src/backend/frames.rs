//! A read from a server whose frames come in sizes of their own: small messages are costly (contract clause T7), and an end
//! that comes too soon must not be taken for one.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};

use super::PIECE;
use crate::driver::ByteStream;
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;

/// Bytes of a read in one message, but for the last: a message costs as much as some thousand bytes.
const LEAST_PIECE: usize = 64 * 1024;

/// What is left of a read.
struct Rest<S> {
    key: Key,
    frames: S,
    left: u64,
    /// Came in one frame with what went before.
    over: Bytes,
}

/// `length` bytes of the object at a key, in pieces of the agreed size.
pub fn in_pieces<S, E>(key: Key, frames: S, length: u64) -> ByteStream
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Send + Unpin + 'static,
    E: std::fmt::Display,
{
    let rest = Rest { key, frames, left: length, over: Bytes::new() };
    stream::try_unfold(rest, |mut rest| async move {
        if rest.left == 0 {
            return Ok(None);
        }
        let piece = rest.piece().await?;
        Ok(Some((piece, rest)))
    })
    .boxed()
}

impl<S, E> Rest<S>
where
    S: Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    /// What comes in large frames goes on as it came; small ones are gathered.
    async fn piece(&mut self) -> Result<Bytes> {
        let most = self.left.min(PIECE as u64) as usize;
        let least = most.min(LEAST_PIECE);
        let mut gathered = BytesMut::new();
        while gathered.len() < least {
            let mut frame = std::mem::take(&mut self.over);
            if frame.is_empty() {
                frame = self.frame().await?;
            }
            if gathered.is_empty() && frame.len() >= least {
                let piece = frame.split_to(frame.len().min(most));
                self.over = frame;
                self.left -= piece.len() as u64;
                return Ok(piece);
            }
            let wanted = least - gathered.len();
            gathered.reserve(wanted);
            gathered.extend_from_slice(&frame.split_to(frame.len().min(wanted)));
            self.over = frame;
        }
        self.left -= gathered.len() as u64;
        Ok(gathered.freeze())
    }

    async fn frame(&mut self) -> Result<Bytes> {
        let key = &self.key;
        match self.frames.next().await {
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(DriverError::new(
                Reason::BackendUnavailable,
                format!("GET {key}: the connection broke with {} bytes to come: {error}", self.left),
            )),
            None => Err(DriverError::new(
                Reason::ShortObject,
                format!("GET {key}: the server ended it with {} bytes to come", self.left),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    fn read(frames: &[usize], length: u64) -> ByteStream {
        let frames: Vec<std::result::Result<Bytes, String>> =
            frames.iter().map(|size| Ok(Bytes::from(vec![7; *size]))).collect();
        in_pieces(Key::parse("a").unwrap(), stream::iter(frames), length)
    }

    #[tokio::test]
    async fn small_frames_are_gathered_and_large_ones_are_cut() {
        let pieces: Vec<Bytes> = read(&[1, 2, 70_000, 600_000], 670_003).try_collect().await.unwrap();
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 670_003);
        let (last, all) = pieces.split_last().unwrap();
        assert!(all.iter().all(|piece| (LEAST_PIECE..=PIECE).contains(&piece.len())));
        assert!(last.len() <= PIECE);
    }

    #[tokio::test]
    async fn an_end_too_soon_is_an_error_and_what_is_behind_the_end_is_not_read() {
        let error = read(&[10], 11).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.reason(), Reason::ShortObject);
        let pieces: Vec<Bytes> = read(&[10, 10], 5).try_collect().await.unwrap();
        assert_eq!(pieces, [Bytes::from(vec![7; 5])]);
    }
}
