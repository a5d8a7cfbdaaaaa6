//! What is received: messages, cut out of a body.

use std::pin::Pin;

use bytes::Buf as _;
use http_body::Body as _;
use tonic::body::Body;
use tonic::{Code, Status};

use super::pieces::{PREFIX, Rope};

/// The messages of a body, each as the bytes that it consists of.
pub(crate) struct Incoming {
    body: Body,
    received: Rope,
    /// Of the message that has begun.
    length: Option<usize>,
    max_message: usize,
    /// Whether it is an answer, which ends with a status.
    is_answer: bool,
}

impl Incoming {
    pub(crate) fn request(body: Body, max_message: usize) -> Self {
        Self { body, received: Rope::default(), length: None, max_message, is_answer: false }
    }

    pub(crate) fn answer(body: Body, max_message: usize) -> Self {
        Self { body, received: Rope::default(), length: None, max_message, is_answer: true }
    }

    /// The next one; `None`: the other side ended them, with status OK if it is an answer. Nothing is lost when the
    /// future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Rope>, Status> {
        loop {
            if self.length.is_none() && self.received.remaining() >= PREFIX {
                self.length = Some(self.take_prefix()?);
            }
            if let Some(length) = self.length
                && self.received.remaining() >= length
            {
                self.length = None;
                return Ok(Some(self.received.split_to(length)));
            }
            let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await else {
                return self.end(None);
            };
            match frame?.into_data() {
                Ok(data) => self.received.push(data),
                Err(frame) => {
                    let status = frame.into_trailers().ok().and_then(|map| Status::from_header_map(&map));
                    return self.end(status);
                }
            }
        }
    }

    fn take_prefix(&mut self) -> Result<usize, Status> {
        let compressed = self.received.get_u8();
        let length = self.received.get_u32() as usize;
        if compressed != 0 {
            return Err(Status::internal("a compressed message, where no compression was agreed"));
        }
        if length > self.max_message {
            return Err(Status::internal(format!(
                "a message of {length} bytes; at most {} are allowed (rule R6)",
                self.max_message
            )));
        }
        Ok(length)
    }

    fn end(&self, status: Option<Status>) -> Result<Option<Rope>, Status> {
        match status {
            Some(status) if status.code() != Code::Ok => Err(status),
            None if self.is_answer => Err(Status::unavailable("the driver ended an answer without a status")),
            _ if self.length.is_some() || self.received.has_remaining() => {
                Err(Status::internal("a stream ended in the middle of a message"))
            }
            _ => Ok(None),
        }
    }
}
