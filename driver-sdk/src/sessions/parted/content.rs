//! What is sent: bytes in memory, or a range of a file. A file is read anew each time it is sent, so no part lies in memory
//! as a whole.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::spooled::Spooled;
use crate::backend::{PIECE, blocking};
use crate::moved::Moved;

/// Bytes to be sent once or more, first what is in memory, then the file's.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub head: Bytes,
    pub file: Option<(Arc<Spooled>, Range<u64>)>,
    /// CRC32C of all of it, if somebody took it already.
    pub sum: Option<u32>,
    /// Where is counted what of it was sent.
    pub moved: Moved,
    /// It is of a stream that waits, and not of a call that has a deadline.
    pub of_stream: bool,
}

impl Content {
    pub fn of_file(file: &Arc<Spooled>, range: Range<u64>) -> Self {
        Self { file: Some((Arc::clone(file), range)), ..Self::default() }
    }

    pub fn len(&self) -> u64 {
        let rest = self.file.as_ref().map_or(0, |(_, range)| range.end - range.start);
        self.head.len() as u64 + rest
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For a stream that waits as long as the store has it (contract clause U22).
    #[must_use]
    pub fn of_stream(self, moved: &Moved) -> Self {
        Self { moved: moved.clone(), of_stream: true, ..self }
    }

    /// CRC32C of all of it (RFC 3720 B.4).
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn crc32c(&self) -> std::io::Result<u32> {
        if let Some(sum) = self.sum {
            return Ok(sum);
        }
        let mut sum = 0;
        self.each(|piece| sum = crc32c::crc32c_append(sum, piece))?;
        Ok(sum)
    }

    /// Shows all of it, piece by piece.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn each(&self, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
        take(&self.head);
        let Some((file, range)) = &self.file else { return Ok(()) };
        let mut at = range.start;
        while at < range.end {
            let piece = read(file, at, range.end)?;
            take(&piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// The body of one request.
    pub fn sending(&self) -> Sending {
        Sending { head: self.head.clone(), file: self.file.clone(), moved: self.moved.clone() }
    }
}

impl From<Bytes> for Content {
    fn from(head: Bytes) -> Self {
        Self { head, ..Self::default() }
    }
}

/// One sending of it.
#[derive(Debug)]
pub struct Sending {
    head: Bytes,
    file: Option<(Arc<Spooled>, Range<u64>)>,
    moved: Moved,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if !this.head.is_empty() {
            this.moved.add(this.head.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.head)))));
        }
        let Some((file, range)) = this.file.as_mut().filter(|(_, range)| !range.is_empty()) else {
            return Poll::Ready(None);
        };
        let piece = blocking(|| read(file, range.start, range.end));
        Poll::Ready(Some(piece.map(|piece| {
            range.start += piece.len() as u64;
            this.moved.add(piece.len() as u64);
            Frame::data(piece)
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.file.as_ref().is_none_or(|(_, range)| range.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.file.as_ref().map_or(0, |(_, range)| range.end - range.start);
        SizeHint::with_exact(self.head.len() as u64 + rest)
    }
}

/// The next piece of a file, not past `end`.
pub(super) fn read(file: &Spooled, at: u64, end: u64) -> std::io::Result<Bytes> {
    let length = (end - at).min(PIECE as u64) as usize;
    let mut piece = vec![0; length];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use http_body::Body as _;

    use super::*;

    pub(in super::super) async fn bytes(content: &Content) -> Vec<u8> {
        let (mut body, mut bytes) = (content.sending(), Vec::new());
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
        bytes
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_is_its_head_and_the_range_of_the_file_each_time_it_is_sent() {
        let mut file = tempfile::tempfile().unwrap();
        let all: Vec<u8> = (0..PIECE + 1000).map(|at| at as u8).collect();
        file.write_all(&all).unwrap();
        let content = Content {
            head: Bytes::from_static(b"head"),
            file: Some((Arc::new(Spooled::from(file)), 10..PIECE as u64 + 500)),
            ..Content::default()
        };
        let expected = [b"head", &all[10..PIECE + 500]].concat();
        assert_eq!(content.len(), expected.len() as u64);
        assert_eq!(content.crc32c().unwrap(), crc32c::crc32c(&expected));
        for sendings in 1..=2 {
            assert_eq!(content.sending().size_hint().exact(), Some(expected.len() as u64));
            assert_eq!(bytes(&content).await, expected);
            assert_eq!(content.moved.total(), sendings * expected.len() as u64);
        }
    }
}
