//! What was received and not sent yet: a file without a name, so that neither the size of a part nor the number of uploads
//! counts in memory.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use longshore_driver_sdk::backend::blocking;
use longshore_driver_sdk::{DriverError, Result};

use crate::body::{self, Content};

pub(super) struct Buffer {
    directory: PathBuf,
    file: Option<Arc<File>>,
    /// The session's offset at which the file begins.
    base: u64,
    length: u64,
}

impl Buffer {
    pub(super) fn new(directory: &Path, base: u64) -> Self {
        Self { directory: directory.to_owned(), file: None, base, length: 0 }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.base + self.length
    }

    pub(super) fn append(&mut self, pieces: &[Bytes]) -> Result<()> {
        let file = self.file()?;
        blocking(|| {
            for piece in pieces {
                file.write_all_at(piece, self.length).map_err(|error| self.failed(error))?;
                self.length += piece.len() as u64;
            }
            Ok(())
        })
    }

    /// The bytes from one offset to another.
    pub(super) fn content(&self, from: u64, to: u64) -> Content {
        match &self.file {
            Some(file) if from < to => Content::of_file(file, from - self.base..to - self.base),
            _ => Content::default(),
        }
    }

    /// Takes everything before an offset out; what is behind it stays. What was taken out is sent from the old file.
    pub(super) fn cut(&mut self, at: u64) -> Result<Content> {
        let content = self.content(self.base, at);
        let mut rest = Self::new(&self.directory, at);
        if let Some(file) = &self.file {
            let mut from = at - self.base;
            while from < self.length {
                let piece =
                    blocking(|| body::read(file, from, self.length)).map_err(|error| self.failed(error))?;
                from += piece.len() as u64;
                rest.append(&[piece])?;
            }
        }
        *self = rest;
        Ok(content)
    }

    fn file(&mut self) -> Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = blocking(|| tempfile::tempfile_in(&self.directory)).map_err(|error| self.failed(error))?;
        Ok(Arc::clone(self.file.insert(Arc::new(file))))
    }

    fn failed(&self, error: std::io::Error) -> DriverError {
        DriverError::io(format!("keep what was received in {} (spool=)", self.directory.display()), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bytes(content: Content) -> Vec<u8> {
        content.stream().collect().await.unwrap().to_vec()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_cut_out_and_what_stays_are_all_there_is() {
        let mut buffer = Buffer::new(&std::env::temp_dir(), 100);
        buffer.append(&[Bytes::from_static(b"abc"), Bytes::from_static(b"defgh")]).unwrap();
        assert_eq!((buffer.base(), buffer.end()), (100, 108));
        let cut = buffer.cut(105).unwrap();
        buffer.append(&[Bytes::from_static(b"ij")]).unwrap();
        assert_eq!(bytes(cut).await, b"abcde");
        assert_eq!((buffer.base(), buffer.end()), (105, 110));
        assert_eq!(bytes(buffer.content(105, 110)).await, b"fghij");
        assert_eq!(bytes(buffer.content(107, 107)).await, b"");
    }
}
