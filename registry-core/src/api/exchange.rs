//! A request from its head to the last byte of its response: the line of the access log, and what metrics are told. The
//! end is when the response's body is dropped, whether it was sent to its end or the client went away.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use longshore_driver_sdk::request_id::{self, RequestId};

use super::client_addr::ClientAddr;
use crate::metrics::Metrics;
use crate::metrics::requests::Ended;

/// What is known of a request, and more of it as it goes on.
pub(super) struct Exchange {
    pub(super) id: RequestId,
    pub(super) method: Method,
    pub(super) path: String,
    /// From the closed list of [`super::operation`].
    pub(super) operation: &'static str,
    pub(super) user: Option<Arc<str>>,
    client: Option<IpAddr>,
    agent: String,
    begin: Instant,
    status: u16,
    received: Arc<AtomicU64>,
    sent: u64,
    metrics: Arc<Metrics>,
}

impl Exchange {
    /// From now on the request's body is counted.
    pub(super) fn begin(request: &mut Request, metrics: &Arc<Metrics>) -> Self {
        metrics.requests.began();
        let client = request.extensions().get::<ClientAddr>();
        let received = Arc::new(AtomicU64::new(0));
        let new = Self {
            id: id(client, request.headers()),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            operation: "none",
            user: None,
            client: client.and_then(|client| client.ip),
            agent: agent(request.headers()),
            begin: Instant::now(),
            status: 0,
            received: received.clone(),
            sent: 0,
            metrics: metrics.clone(),
        };
        if !request.body().is_end_stream() {
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = Body::new(Received { body, count: received });
        }
        new
    }

    /// The response has begun; the exchange ends with its body.
    pub(super) fn answer(mut self, response: Response) -> Response {
        self.status = response.status().as_u16();
        response.map(|body| Body::new(Sent { body, exchange: self }))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (took, received) = (self.begin.elapsed(), self.received.load(Ordering::Relaxed));
        let ended = Ended { operation: self.operation, status: self.status, took, received, sent: self.sent };
        self.metrics.requests.ended(&ended);
        tracing::info!(
            target: "access",
            request = %self.id,
            client = self.client.map(tracing::field::display),
            user = self.user.as_deref(),
            method = %self.method,
            path = self.path,
            operation = self.operation,
            status = self.status,
            received,
            sent = self.sent,
            seconds = took.as_secs_f64(),
            agent = self.agent,
            "request"
        );
    }
}

/// That of a trusted proxy, so that its log and ours can be laid side by side; a stranger's could be anybody's.
fn id(client: Option<&ClientAddr>, headers: &HeaderMap) -> RequestId {
    let named = client.filter(|client| client.by_proxy).and_then(|_| headers.get(request_id::HEADER));
    let named = named.and_then(|value| RequestId::parse(value.to_str().ok()?));
    named.unwrap_or_else(RequestId::random)
}

/// Cut, so that no client makes the log grow faster than others.
fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or_default().chars().take(128).collect()
}

struct Received {
    body: Body,
    count: Arc<AtomicU64>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.count.fetch_add(data_of(&frame), Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Sent {
    body: Body,
    exchange: Exchange,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.exchange.sent += data_of(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn data_of(frame: &Poll<Option<Result<Frame<Bytes>, axum::Error>>>) -> u64 {
    match frame {
        Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, |data| data.len() as u64),
        _ => 0,
    }
}
