//! ReadStream as a check uses it.

use bytes::{Bytes, BytesMut};
use longshore_driver_proto::v1;
use tonic::Streaming;

use crate::call::{Call, DEADLINE, Said, late};
use crate::connection::Connection;

/// What a read gave, piece by piece.
#[derive(Debug, Default)]
pub struct Read {
    pub messages: Vec<v1::ReadStreamResponse>,
}

impl Read {
    /// All the data.
    pub fn bytes(&self) -> Bytes {
        let mut all = BytesMut::new();
        for message in &self.messages {
            all.extend_from_slice(&message.data);
        }
        all.freeze()
    }

    /// Of the first message.
    pub fn object(&self) -> Option<&v1::Object> {
        self.messages.first()?.object.as_ref()
    }
}

/// A read from the start to the end.
pub fn whole(key: &str) -> v1::ReadStreamRequest {
    v1::ReadStreamRequest { key: key.to_owned(), ..v1::ReadStreamRequest::default() }
}

/// A read of a range.
pub fn range(key: &str, offset: u64, length: Option<u64>) -> v1::ReadStreamRequest {
    v1::ReadStreamRequest { key: key.to_owned(), offset, length, ..v1::ReadStreamRequest::default() }
}

impl Connection {
    /// Opens a read and leaves it to the caller to take the pieces.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn open_read(&self, request: v1::ReadStreamRequest) -> Call<Streaming<v1::ReadStreamResponse>> {
        let opened = tokio::time::timeout(DEADLINE, self.storage.clone().read_stream(request)).await;
        Said::of(opened.unwrap_or_else(|_| Err(late("the head of the answer"))))
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// What the driver said, at once or in the middle.
    pub async fn read(&self, request: v1::ReadStreamRequest) -> Call<Read> {
        let mut stream = self.open_read(request).await?;
        let mut read = Read::default();
        while let Some(message) = next(&mut stream).await? {
            read.messages.push(message);
        }
        Ok(read)
    }

    /// Reads a key to its end: the bytes.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn read_key(&self, key: &str) -> Call<Bytes> {
        self.read(whole(key)).await.map(|read| read.bytes())
    }
}

/// The next piece; `None`: the read ended with OK.
///
/// # Errors
/// What the driver said.
pub async fn next(stream: &mut Streaming<v1::ReadStreamResponse>) -> Call<Option<v1::ReadStreamResponse>> {
    let next = tokio::time::timeout(DEADLINE, stream.message()).await;
    next.unwrap_or_else(|_| Err(late("the next piece"))).map_err(|status| Said::from(&status))
}
