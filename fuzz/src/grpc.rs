//! gRPC's framing, written a second time: bodies cut anywhere, and what is in an answer.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::body::Body;
use tonic::{Code, Status};

/// A flag for compression, and the length.
const PREFIX: usize = 5;
/// Rule R6.
pub const MAX_MESSAGE: usize = 5 * 1024 * 1024;

/// A message with its prefix.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a message of a fuzzer is short");
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// The messages in these bytes, and whether nothing else is there.
pub fn split(mut bytes: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() {
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if prefix[0] != 0 || length > MAX_MESSAGE || rest.len() < length {
            return (messages, false);
        }
        let (message, rest) = rest.split_at(length);
        messages.push(message);
        bytes = rest;
    }
    (messages, bytes.is_empty())
}

/// Cuts bytes as a connection may have cut them; 0 stands for a cut far away.
pub fn cut(bytes: Vec<u8>, cuts: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::from(bytes);
    let mut parts = Vec::new();
    for cut in cuts {
        let length = if *cut == 0 { 100_000 } else { usize::from(*cut) };
        parts.push(rest.split_to(length.min(rest.len())));
    }
    parts.push(rest);
    parts
}

/// How a body ends.
#[derive(Debug, Clone)]
pub enum End {
    Plain,
    Trailers(HeaderMap),
    /// The other side resets the stream.
    Reset,
    /// Nothing more comes, and nobody says so.
    Never,
}

/// A body of these parts.
pub fn body(parts: Vec<Bytes>, end: End) -> Body {
    let end = match end {
        End::Plain => None,
        End::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
        End::Reset => Some(Err(Status::cancelled("reset"))),
        End::Never => return Body::new(StreamBody::new(never(parts))),
    };
    let frames = parts.into_iter().map(|part| Ok(Frame::data(part))).chain(end);
    Body::new(StreamBody::new(stream::iter(frames)))
}

fn never(parts: Vec<Bytes>) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Status>> {
    use futures_util::StreamExt as _;
    stream::iter(parts.into_iter().map(|part| Ok(Frame::data(part)))).chain(stream::pending())
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// `None`: it ended without one.
    pub status: Option<Status>,
}

impl Answer {
    pub async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes>,
    {
        let mut status = Status::from_header_map(response.headers());
        let mut body = std::pin::pin!(response.into_body());
        let mut bytes = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    status = status.or_else(|| Status::from_header_map(&trailers));
                }
            }
        }
        Self { bytes, status }
    }

    pub fn code(&self) -> Option<Code> {
        self.status.as_ref().map(Status::code)
    }

    /// Whole messages, decoded.
    pub fn messages<M: prost::Message + Default>(&self) -> Vec<M> {
        let (messages, clean) = split(&self.bytes);
        assert!(clean, "an answer with something else than messages in it");
        messages.into_iter().map(|message| M::decode(message).expect("an answer can be decoded")).collect()
    }
}
