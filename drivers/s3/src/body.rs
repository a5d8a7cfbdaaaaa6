//! What is sent: bytes in memory, or a range of a file. A file is read anew when the SDK tries again, so no part lies in
//! memory as a whole.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use longshore_driver_sdk::backend::{PIECE, blocking};
use md5::{Digest as _, Md5};

/// Bytes to be sent once or more, first what is in memory, then the file's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) head: Bytes,
    pub(crate) file: Option<(Arc<File>, Range<u64>)>,
    /// CRC32C of all of it, if somebody took it already.
    pub(crate) sum: Option<u32>,
}

impl Content {
    pub(crate) fn of_file(file: &Arc<File>, range: Range<u64>) -> Self {
        Self { head: Bytes::new(), file: Some((Arc::clone(file), range)), sum: None }
    }

    pub(crate) fn len(&self) -> u64 {
        let rest = self.file.as_ref().map_or(0, |(_, range)| range.end - range.start);
        self.head.len() as u64 + rest
    }

    /// CRC32C of all of it (RFC 3720 B.4).
    pub(crate) fn crc32c(&self) -> std::io::Result<u32> {
        if let Some(sum) = self.sum {
            return Ok(sum);
        }
        let mut sum = 0;
        self.each(|piece| sum = crc32c::crc32c_append(sum, piece))?;
        Ok(sum)
    }

    /// MD5 of all of it (RFC 1321), which is what etags are made of.
    pub(crate) fn md5(&self) -> std::io::Result<[u8; 16]> {
        let mut digest = Md5::new();
        self.each(|piece| digest.update(piece))?;
        Ok(digest.finalize().into())
    }

    fn each(&self, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
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

    pub(crate) fn stream(self) -> ByteStream {
        if self.file.is_none() {
            return ByteStream::from(self.head);
        }
        ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(Sending::of(&self))))
    }
}

impl From<Bytes> for Content {
    fn from(head: Bytes) -> Self {
        Self { head, file: None, sum: None }
    }
}

/// One sending of it.
struct Sending {
    head: Bytes,
    file: Option<(Arc<File>, Range<u64>)>,
}

impl Sending {
    fn of(content: &Content) -> Self {
        Self { head: content.head.clone(), file: content.file.clone() }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if !self.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.head)))));
        }
        let Some((file, range)) = self.file.as_mut().filter(|(_, range)| !range.is_empty()) else {
            return Poll::Ready(None);
        };
        let piece = blocking(|| read(file, range.start, range.end));
        Poll::Ready(Some(piece.map(|piece| {
            range.start += piece.len() as u64;
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
pub(crate) fn read(file: &File, at: u64, end: u64) -> std::io::Result<Bytes> {
    let length = (end - at).min(PIECE as u64) as usize;
    let mut piece = vec![0; length];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_is_its_head_and_the_range_of_the_file_each_time_it_is_sent() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..PIECE + 1000).map(|at| at as u8).collect();
        file.write_all(&bytes).unwrap();
        let content = Content {
            head: Bytes::from_static(b"head"),
            file: Some((Arc::new(file), 10..PIECE as u64 + 500)),
            sum: None,
        };
        let expected = [b"head", &bytes[10..PIECE + 500]].concat();
        assert_eq!(content.len(), expected.len() as u64);
        assert_eq!(content.crc32c().unwrap(), crc32c::crc32c(&expected));
        let body = content.stream().into_inner();
        let again = body.try_clone().unwrap();
        for body in [body, again] {
            assert_eq!(ByteStream::new(body).collect().await.unwrap().to_vec(), expected);
        }
    }
}
