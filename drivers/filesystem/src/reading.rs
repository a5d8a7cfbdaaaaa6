//! Reads. Owns the stream of pieces: one is read ahead while one is on its way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};
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
    let content =
        read_piece(&file, 0, object.size, &mut BytesMut::new()).map_err(|error| read_failed(key, error))?;
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
    next: Option<JoinHandle<(File, io::Result<Bytes>, BytesMut)>>,
    /// The buffer of the piece before the last: by now that one has been sent, and its memory can be used again. New
    /// memory for each piece, taken and given back on other threads, would pile up in the allocator.
    spare: BytesMut,
}

impl Ahead {
    fn start(&mut self, file: File) {
        let (offset, length) = (self.offset, PIECE.min(self.end - self.offset));
        self.offset += length;
        let mut buffer = std::mem::take(&mut self.spare);
        self.next = (length > 0).then(|| {
            tokio::task::spawn_blocking(move || {
                let piece = read_piece(&file, offset, length, &mut buffer);
                (file, piece, buffer)
            })
        });
    }

    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        let outcome = match self.next.take()?.await {
            Ok((file, Ok(piece), buffer)) => {
                self.start(file);
                self.spare = buffer;
                Ok(piece)
            }
            Ok((_, Err(error), _)) => Err(read_failed(&self.key, error)),
            Err(error) => Err(DriverError::new(
                Reason::DriverBug,
                format!("reading {} was broken off: {error}", self.key),
            )),
        };
        Some((outcome, self))
    }
}

fn pieces(key: Key, file: File, offset: u64, end: u64) -> ByteStream {
    let mut ahead = Ahead { key, offset, end, next: None, spare: BytesMut::new() };
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

/// Reads into the buffer's memory, which is taken again if nobody holds the piece that was read into it before.
fn read_piece(file: &File, offset: u64, length: u64, buffer: &mut BytesMut) -> io::Result<Bytes> {
    // A piece is at most as long as a message.
    buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    file.read_exact_at(buffer, offset)?;
    Ok(buffer.split().freeze())
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
