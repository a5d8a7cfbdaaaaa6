//! Reads. Owns the stream of pieces. What lies in the page cache is read where the request is served; what does not is
//! read in a blocking thread, one piece ahead of the one that is on its way.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use longshore_driver_sdk::{
    ByteStream, DriverError, Key, Limits, Object, ReadRange, Reading, Reason, Result, backend,
};
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use crate::etag;
use crate::tree::{Tree, object};

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
    let mut content = zeroed(object.size).map_err(|error| read_failed(key, error))?;
    file.read_exact_at(&mut content, 0).map_err(|error| read_failed(key, error))?;
    Ok((object, content.freeze()))
}

/// The same for what is small and needs no disk; `None`: ask [`get`]. Does not block.
pub(crate) fn get_if_cached(tree: &Tree, key: &Key) -> Option<(Object, Bytes)> {
    let file = tree.root.file_if_cached(key.as_str()).ok()?;
    let stat = rustix::fs::fstat(&file).ok().filter(etag::is_small)?;
    let mut content = zeroed(u64::try_from(stat.st_size).ok()?).ok()?;
    if !read_if_cached(&file, 0, &mut content) {
        return None;
    }
    Some((object(key.clone(), &stat, Some(etag::of_small(&content))), content.freeze()))
}

/// A small object as a stream, when all of it is asked for and it needs no disk. Does not block.
pub(crate) fn open_if_cached(tree: &Tree, key: &Key, range: &ReadRange) -> Option<Reading> {
    if *range != ReadRange::default() {
        return None;
    }
    let (object, content) = get_if_cached(tree, key)?;
    Some(Reading { object, bytes: Box::pin(stream::iter((!content.is_empty()).then_some(Ok(content)))) })
}

/// An object opened for reading, and the bytes asked for. Blocks.
pub(crate) fn open(tree: &Tree, key: Key, range: &ReadRange) -> Result<Reading> {
    let file = tree.open(&key)?;
    let object = tree.describe(&key, &file)?;
    let wanted = backend::range(&object, range)?;
    let bytes = pieces(key, file, wanted.start, wanted.end);
    Ok(Reading { object, bytes })
}

/// What is read next: at most one piece is on its way from the disk.
struct Pieces {
    key: Key,
    file: Arc<File>,
    offset: u64,
    end: u64,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
    /// The piece before the last: by now it has been sent, and its memory can be used again. New memory for each piece
    /// costs more than reading it.
    spare: [Bytes; 2],
}

impl Pieces {
    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        let piece = match self.ahead.take() {
            Some(ahead) => ahead.await.map_err(io::Error::other).flatten(),
            None if self.offset == self.end => return None,
            None => self.read().await,
        };
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Some((Err(read_failed(&self.key, error)), self)),
        };
        Some((Ok(piece), self))
    }

    async fn read(&mut self) -> io::Result<Bytes> {
        let mut buffer = self.buffer()?;
        let offset = self.advance();
        if read_if_cached(&self.file, offset, &mut buffer) {
            return Ok(self.keep(buffer.freeze()));
        }
        let file = self.file.clone();
        let piece = from_disk(file, offset, buffer).await.map_err(io::Error::other)??;
        self.read_ahead()?;
        Ok(self.keep(piece))
    }

    /// A file that is not in the page cache here is not there a piece further either.
    fn read_ahead(&mut self) -> io::Result<()> {
        if self.offset < self.end {
            let buffer = self.buffer()?;
            let offset = self.advance();
            self.ahead = Some(from_disk(self.file.clone(), offset, buffer));
        }
        Ok(())
    }

    fn advance(&mut self) -> u64 {
        let offset = self.offset;
        self.offset += PIECE.min(self.end - offset);
        offset
    }

    /// Memory for the next piece: that of an earlier one, if nobody holds it.
    fn buffer(&mut self) -> io::Result<BytesMut> {
        let length = PIECE.min(self.end - self.offset);
        match std::mem::take(&mut self.spare[0]).try_into_mut() {
            Ok(spare) if spare.len() as u64 == length => Ok(spare),
            _ => zeroed(length),
        }
    }

    fn keep(&mut self, piece: Bytes) -> Bytes {
        self.spare.rotate_left(1);
        self.spare[1] = piece.clone();
        piece
    }
}

fn pieces(key: Key, file: File, offset: u64, end: u64) -> ByteStream {
    let spare = [Bytes::new(), Bytes::new()];
    let pieces = Pieces { key, file: Arc::new(file), offset, end, ahead: None, spare };
    // Nothing is read before somebody asks.
    Box::pin(stream::unfold(pieces, Pieces::next))
}

fn from_disk(file: Arc<File>, offset: u64, mut buffer: BytesMut) -> JoinHandle<io::Result<Bytes>> {
    tokio::task::spawn_blocking(move || {
        file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.freeze())
    })
}

/// Fills the buffer if all of it lies in the page cache (preadv2, RWF_NOWAIT).
fn read_if_cached(file: &File, offset: u64, buffer: &mut [u8]) -> bool {
    let length = buffer.len();
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT);
    read.is_ok_and(|read| read == length)
}

/// A piece is at most as long as a message.
fn zeroed(length: u64) -> io::Result<BytesMut> {
    usize::try_from(length).map(BytesMut::zeroed).map_err(io::Error::other)
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
