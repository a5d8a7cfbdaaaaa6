//! What is sent: the body of a call or of its answer, and the headers around it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service as _;

use super::pieces::Framed;
use crate::request_id;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Messages as a body. An answer ends with its status; a call just ends.
pub(crate) struct Outgoing<S> {
    messages: S,
    /// The data of a message whose first part was sent.
    data: Bytes,
    is_answer: bool,
    ended: bool,
}

impl<S> Outgoing<S>
where
    S: Stream<Item = Result<Framed, Status>> + Send + Unpin + 'static,
{
    fn body(messages: S, is_answer: bool) -> Body {
        Body::new(Self { messages, data: Bytes::new(), is_answer, ended: false })
    }

    fn end(&mut self, status: &Status) -> Option<Result<Frame<Bytes>, Status>> {
        self.ended = true;
        match (self.is_answer, status.code()) {
            (true, _) => {
                let mut trailers = HeaderMap::new();
                Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
            }
            (false, Code::Ok) => None,
            (false, _) => Some(Err(status.clone())),
        }
    }
}

impl<S> http_body::Body for Outgoing<S>
where
    S: Stream<Item = Result<Framed, Status>> + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
            Some(Ok([head, data])) => {
                self.data = data;
                Some(Ok(Frame::data(head)))
            }
            Some(Err(status)) => self.end(&status),
            None => self.end(&Status::new(Code::Ok, "")),
        })
    }
}

/// Calls a method with these messages; the answer's head has come when this returns, and tells of no failure.
pub(crate) async fn call<S>(mut channel: Channel, path: &'static str, messages: S) -> Result<Body, Status>
where
    S: Stream<Item = Result<Framed, Status>> + Send + Unpin + 'static,
{
    let mut request = Request::post(path)
        .body(Outgoing::body(messages, false))
        .map_err(|error| Status::internal(error.to_string()))?;
    request.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    request_id::attach(request.headers_mut());
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(transport)?;
    let response = channel.call(request).await.map_err(transport)?;
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ if response.status() != http::StatusCode::OK => {
            Err(Status::unknown(format!("the driver answered with HTTP {}", response.status())))
        }
        _ => Ok(response.into_body()),
    }
}

/// An answer of these messages.
pub(crate) fn respond<S>(messages: S) -> Response<Body>
where
    S: Stream<Item = Result<Framed, Status>> + Send + Unpin + 'static,
{
    let mut response = Response::new(Outgoing::body(messages, true));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

fn transport(error: tonic::transport::Error) -> Status {
    Status::from_error(error.into())
}
