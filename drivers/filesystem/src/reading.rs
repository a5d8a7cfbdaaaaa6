//! Reads. Owns the stream of pieces: one is read ahead while one is on its way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures_util::stream;
use longshore_driver_sdk::{
    ByteStream, Detail, DriverError, Key, Limits, Object, ReadRange, Reading, Reason, Result,
};
use tokio::task::JoinHandle;

use crate::tree::Tree;

const PIECE: u64 = 256 * 1024;

/// A small object, whole. Blocks.
pub(crate) fn get(tree: &Tree, key: &Key) -> Result<(Object, Bytes)> {
    let file = tree.open(key)?;
    let object = tree.describe(key, &file)?;
    let most = Limits::default().max_inline;
    if object.size > u64::from(most) {
        let message = format!(
            "the object at key {key} has {} bytes, a message carries {most}; read it as a stream",
            object.size
        );
        return Err(DriverError::new(Reason::TooLarge, message));
    }
    let content = read_piece(&file, 0, object.size).map_err(|error| read_failed(key, error))?;
    Ok((object, content))
}

/// An object opened for reading, and the bytes asked for. Blocks.
pub(crate) fn open(tree: &Tree, key: Key, range: &ReadRange) -> Result<Reading> {
    let file = tree.open(&key)?;
    let object = tree.describe(&key, &file)?;
    if range.if_match.is_some() && range.if_match != object.etag {
        let message = format!("the object at key {key} is another one by now, with etag {:?}", object.etag);
        return Err(DriverError::new(Reason::PreconditionFailed, message));
    }
    if range.offset > object.size {
        let message =
            format!("offset {} lies behind the end of {key}, which has {} bytes", range.offset, object.size);
        return Err(DriverError::new(Reason::OffsetPastEnd, message).with_detail(Detail::Size(object.size)));
    }
    let length = (object.size - range.offset).min(range.length.unwrap_or(u64::MAX));
    let bytes = pieces(key, file, range.offset, range.offset + length);
    Ok(Reading { object, bytes })
}

struct Ahead {
    key: Key,
    offset: u64,
    end: u64,
    next: Option<JoinHandle<(File, io::Result<Bytes>)>>,
}

impl Ahead {
    fn start(&mut self, file: File) {
        let (offset, length) = (self.offset, PIECE.min(self.end - self.offset));
        self.offset += length;
        self.next = (length > 0).then(|| {
            tokio::task::spawn_blocking(move || {
                let piece = read_piece(&file, offset, length);
                (file, piece)
            })
        });
    }

    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        let outcome = match self.next.take()?.await {
            Ok((file, Ok(piece))) => {
                self.start(file);
                Ok(piece)
            }
            Ok((_, Err(error))) => Err(read_failed(&self.key, error)),
            Err(error) => Err(DriverError::new(
                Reason::DriverBug,
                format!("reading {} was broken off: {error}", self.key),
            )),
        };
        Some((outcome, self))
    }
}

fn pieces(key: Key, file: File, offset: u64, end: u64) -> ByteStream {
    let mut ahead = Ahead { key, offset, end, next: None };
    // Nothing is read before somebody asks.
    let mut file = Some(file);
    let first = stream::once(async move {
        if let Some(file) = file.take() {
            ahead.start(file);
        }
        stream::unfold(ahead, Ahead::next)
    });
    Box::pin(futures_util::StreamExt::flatten(first))
}

fn read_piece(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    // A piece is at most as long as a message.
    let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, offset)?;
    Ok(piece.into())
}

fn read_failed(key: &Key, error: io::Error) -> DriverError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let message = format!(
            "the object at key {key} became shorter while it was read; something else writes below the root"
        );
        return DriverError::new(Reason::ShortObject, message);
    }
    DriverError::io(format!("read the object at key {key}"), error)
}
