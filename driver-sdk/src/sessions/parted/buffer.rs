//! What was received and not sent yet: a file without a name, so that neither the size of a part nor the number of uploads
//! counts in memory. Owns the sums of what it holds, taken as bytes come: a part is not read once more for its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{self, Content};
use super::schedule::MARK_EVERY;
use super::spooled::Spooled;
use crate::backend::blocking;
use crate::error::{DriverError, Result};
use crate::moved::Moved;
use bytes::Bytes;

/// The bytes of one session that no part has yet.
pub struct Buffer {
    directory: PathBuf,
    file: Option<Arc<Spooled>>,
    /// Of parts that were sent: to write over what a file system has room for already is cheaper than to make it again.
    spare: Vec<Spooled>,
    /// The session's offset at which the file begins.
    base: u64,
    length: u64,
    sums: Option<Sums>,
    moved: Moved,
}

impl Buffer {
    /// For bytes from an offset on; with sums where parts are sent with theirs. What is sent of it is counted in `moved`.
    pub fn new(directory: &Path, base: u64, with_sums: bool, moved: &Moved) -> Self {
        let (sums, moved) = (with_sums.then(Sums::default), moved.clone());
        Self { directory: directory.to_owned(), file: None, spare: Vec::new(), base, length: 0, sums, moved }
    }

    /// The session's offset at which it begins.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.base + self.length
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the file takes no more.
    pub fn append(&mut self, pieces: &[Bytes]) -> Result<()> {
        let file = self.file()?;
        blocking(|| {
            for piece in pieces {
                file.write_all_at(piece, self.length).map_err(|error| self.failed(error))?;
                if let Some(sums) = &mut self.sums {
                    sums.append(self.base + self.length, piece);
                }
                self.length += piece.len() as u64;
            }
            Ok(())
        })
    }

    /// The bytes from one offset to another.
    pub fn content(&self, from: u64, to: u64) -> Content {
        let content = match &self.file {
            Some(file) if from < to => Content {
                sum: self.sum(from, to),
                ..Content::of_file(file, from - self.base..to - self.base)
            },
            _ => Content::default(),
        };
        content.of_stream(&self.moved)
    }

    /// The sum of these bytes, if it is known without a look at them.
    fn sum(&self, from: u64, to: u64) -> Option<u32> {
        let sums = self.sums.as_ref().filter(|_| from == self.base)?;
        if to == self.end() { Some(sums.of_all()) } else { sums.until(to) }
    }

    /// Takes everything before an offset out; what is behind it stays. What was taken out is sent from the old file.
    ///
    /// # Errors
    /// When the file can't be read, or takes no more.
    pub fn cut(&mut self, at: u64) -> Result<Content> {
        let content = self.content(self.base, at);
        let mut rest = Self::new(&self.directory, at, self.sums.is_some(), &self.moved);
        rest.spare = std::mem::take(&mut self.spare);
        if let Some(file) = &self.file {
            let mut from = at - self.base;
            while from < self.length {
                let piece = blocking(|| content::read(file, from, self.length))
                    .map_err(|error| self.failed(error))?;
                from += piece.len() as u64;
                rest.append(&[piece])?;
            }
        }
        *self = rest;
        Ok(content)
    }

    /// Takes the file of a part back that was sent, unless somebody still reads it.
    pub fn recycle(&mut self, content: Content) {
        if let Some((file, _)) = content.file
            && let Some(file) = Arc::into_inner(file)
        {
            self.spare.push(file);
        }
    }

    fn file(&mut self) -> Result<Arc<Spooled>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = match self.spare.pop() {
            Some(file) => file,
            None => blocking(|| Spooled::new_in(&self.directory)).map_err(|error| self.failed(error))?,
        };
        Ok(Arc::clone(self.file.insert(Arc::new(file))))
    }

    fn failed(&self, error: std::io::Error) -> DriverError {
        DriverError::io(format!("keep what was received in {} (spool=)", self.directory.display()), error)
    }
}

/// CRC32C (RFC 3720 B.4) of all bytes from the first up to each mark, where parts end.
#[derive(Default)]
struct Sums {
    marks: Vec<(u64, u32)>,
    all: u32,
}

impl Sums {
    fn append(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = MARK_EVERY - offset % MARK_EVERY;
            let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (before, behind) = bytes.split_at(length);
            self.all = crc32c::crc32c_append(self.all, before);
            offset += length as u64;
            if offset.is_multiple_of(MARK_EVERY) {
                self.marks.push((offset, self.all));
            }
            bytes = behind;
        }
    }

    fn of_all(&self) -> u32 {
        self.all
    }

    fn until(&self, offset: u64) -> Option<u32> {
        self.marks.iter().find(|(mark, _)| *mark == offset).map(|(_, sum)| *sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bytes(content: Content) -> Vec<u8> {
        content::tests::bytes(&content).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_cut_out_and_what_stays_are_all_there_is() {
        let mut buffer = Buffer::new(&std::env::temp_dir(), 100, true, &Moved::default());
        buffer.append(&[Bytes::from_static(b"abc"), Bytes::from_static(b"defgh")]).unwrap();
        assert_eq!((buffer.base(), buffer.end()), (100, 108));
        let cut = buffer.cut(105).unwrap();
        buffer.append(&[Bytes::from_static(b"ij")]).unwrap();
        assert_eq!(bytes(cut).await, b"abcde");
        assert_eq!((buffer.base(), buffer.end()), (105, 110));
        assert_eq!(bytes(buffer.content(105, 110)).await, b"fghij");
        assert_eq!(bytes(buffer.content(107, 107)).await, b"");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_is_written_over_once_nobody_reads_it() {
        let mut buffer = Buffer::new(&std::env::temp_dir(), 0, true, &Moved::default());
        buffer.append(&[Bytes::from_static(b"a long first part")]).unwrap();
        let first = buffer.cut(17).unwrap();
        let read_by_another = first.clone();
        buffer.recycle(first);
        assert!(buffer.spare.is_empty());
        buffer.recycle(read_by_another);
        assert_eq!(buffer.spare.len(), 1);
        buffer.append(&[Bytes::from_static(b"second")]).unwrap();
        assert!(buffer.spare.is_empty());
        let second = buffer.cut(23).unwrap();
        assert_eq!((second.len(), second.sum), (6, Some(crc32c::crc32c(b"second"))));
        assert_eq!(bytes(second).await, b"second");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sums_up_to_marks_and_to_the_end_are_those_of_the_bytes() {
        let base = MARK_EVERY - 3;
        let mut buffer = Buffer::new(&std::env::temp_dir(), base, true, &Moved::default());
        let all: Vec<u8> = (0..MARK_EVERY + 10).map(|at| (at % 251) as u8).collect();
        let all = Bytes::from(all);
        for piece in [all.slice(..1), all.slice(1..MARK_EVERY as usize), all.slice(MARK_EVERY as usize..)] {
            buffer.append(&[piece]).unwrap();
        }
        for to in [MARK_EVERY, 2 * MARK_EVERY, buffer.end()] {
            let content = buffer.content(base, to);
            assert_eq!(content.sum, Some(crc32c::crc32c(&all[..(to - base) as usize])), "{to}");
        }
        // Not known, and so found by reading.
        assert_eq!(buffer.content(base, base + 2).sum, None);
        assert_eq!(buffer.content(base + 1, buffer.end()).sum, None);
        let _first = buffer.cut(2 * MARK_EVERY).unwrap();
        let rest = buffer.content(2 * MARK_EVERY, buffer.end());
        assert_eq!(rest.sum, Some(crc32c::crc32c(&all[(2 * MARK_EVERY - base) as usize..])));
    }
}
