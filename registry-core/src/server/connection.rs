//! One connection from its accept to its end: TLS, which HTTP it speaks, its requests, and every limit that it is under.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, Version};
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::body::{Paced, Taken};
use super::proxies;
use super::pulse::{Due, Pulse};
use super::stream::{Rewound, Socket, Watched};
use super::tls::Acceptors;
use crate::config::limits::Limits;
use crate::config::proxies::TrustedProxies;

/// What an HTTP/2 client begins with (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS connection: a handshake record (RFC 8446 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
const NOT_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 58\r\nConnection: close\r\n\r\n\
      This port speaks TLS: use https:// instead of http:// here";

/// What all connections share.
pub(super) struct Edge {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) trusted: TrustedProxies,
    /// Requests under way may finish, and no more begin.
    pub(super) drain: CancellationToken,
    /// Everything ends now.
    pub(super) cut: CancellationToken,
}

type Stream = Rewound<Either<Watched, Box<TlsStream<Watched>>>>;

/// Serves a connection until it ends.
pub(super) async fn serve(edge: Arc<Edge>, socket: Socket, peer: Option<IpAddr>, tls: Option<Acceptors>) {
    let pulse = Pulse::new(&edge.limits);
    let over_tls = tls.is_some();
    let begun = tokio::select! {
        begun = begin(&edge.limits, socket, pulse.clone(), tls) => begun,
        () = edge.drain.cancelled() => return,
    };
    let Some((stream, http2)) = begun else { return };
    let downloads = Arc::new(Semaphore::new(edge.limits.http2_downloads.into()));
    let requests = Requests { edge: edge.clone(), pulse: pulse.clone(), peer, tls: over_tls, downloads };
    let connection = if http2 {
        Connection::Http2(Box::pin(
            http2_builder(&edge.limits).serve_connection(TokioIo::new(stream), requests),
        ))
    } else {
        Connection::Http1(Box::pin(
            http1_builder(&edge.limits).serve_connection(TokioIo::new(stream), requests),
        ))
    };
    drive(connection, &pulse, &edge, peer).await;
}

/// TLS if there is a certificate, then which HTTP it is. `None`: it did not come so far.
async fn begin(
    limits: &Limits,
    socket: Socket,
    pulse: Arc<Pulse>,
    tls: Option<Acceptors>,
) -> Option<(Stream, bool)> {
    let mut stream = match tls {
        None => Either::Left(Watched::new(socket, pulse.clone())),
        Some(acceptors) => {
            let handshake =
                tokio::time::timeout(limits.tls_handshake, handshake(socket, pulse.clone(), &acceptors));
            let stream = handshake.await.ok()??;
            pulse.restart();
            Either::Right(Box::new(stream))
        }
    };
    let agreed = match &stream {
        Either::Right(stream) => stream.get_ref().1.alpn_protocol().map(|protocol| protocol == b"h2"),
        Either::Left(_) => None,
    };
    if let Some(http2) = agreed {
        return Some((Rewound::new(Bytes::new(), stream), http2));
    }
    let first = tokio::time::timeout(limits.header_read, first_bytes(&mut stream)).await.ok()?.ok()?;
    let http2 = first.as_ref() == PREFACE;
    Some((Rewound::new(first, stream), http2))
}

async fn handshake(socket: Socket, pulse: Arc<Pulse>, acceptors: &Acceptors) -> Option<TlsStream<Watched>> {
    let mut first = [0];
    if let Either::Left(tcp) = &socket
        && tcp.peek(&mut first).await.ok()? == 1
        && first[0] != TLS_HANDSHAKE
    {
        say_not_tls(socket).await;
        return None;
    }
    match acceptors.current().accept(Watched::new(socket, pulse)).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

/// What the client sent is read: bytes left unread would take the answer with them when the socket is closed.
async fn say_not_tls(mut socket: Socket) {
    let _ = socket.write_all(NOT_TLS).await;
    let _ = socket.shutdown().await;
    let _ = tokio::io::copy(&mut socket.take(64 * 1024), &mut tokio::io::sink()).await;
}

/// As many bytes as are needed to tell HTTP/2 from HTTP/1.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Bytes> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let left = PREFACE.len() - first.len();
        if stream.read_buf(&mut (&mut first).limit(left)).await? == 0 {
            break;
        }
    }
    Ok(first.freeze())
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Its clock runs on an idle connection too; the pulse knows the difference.
        .header_read_timeout(None)
        .half_close(true)
        .max_header_size(limits.header_size as usize)
        .max_headers(limits.header_fields.into());
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_pending_accept_reset_streams(limits.http2_resets as usize)
        .max_local_error_reset_streams(limits.http2_resets as usize)
        .max_header_list_size(limits.header_size)
        .max_frame_size(256 * 1024)
        .keep_alive_interval(limits.http2_ping)
        .keep_alive_timeout(limits.http2_ping);
    builder
}

enum Connection {
    Http1(Pin<Box<http1::Connection<TokioIo<Stream>, Requests>>>),
    Http2(Pin<Box<http2::Connection<TokioIo<Stream>, Requests, TokioExecutor>>>),
}

impl Connection {
    async fn ended(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(connection) => connection.as_mut().await,
            Self::Http2(connection) => connection.as_mut().await,
        }
    }

    /// Ends when the requests under way are answered (HTTP/2: after a GOAWAY).
    fn finish(&mut self) {
        match self {
            Self::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Self::Http2(connection) => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn drive(mut connection: Connection, pulse: &Pulse, edge: &Edge, peer: Option<IpAddr>) {
    let (drain, cut) = (edge.drain.cancelled(), edge.cut.cancelled());
    let alarm = tokio::time::sleep(edge.limits.header_read);
    tokio::pin!(drain, cut, alarm);
    let mut draining = false;
    loop {
        match pulse.due() {
            Ok(Due::Cut(why)) => {
                tracing::debug!(?peer, why, "connection ended");
                return;
            }
            Ok(Due::Retire(_)) => {
                connection.finish();
                continue;
            }
            Err(Some(next)) if next != alarm.deadline() => alarm.as_mut().reset(next),
            Err(_) => {}
        }
        tokio::select! {
            biased;
            ended = connection.ended() => {
                if let Err(error) = ended {
                    tracing::debug!(?peer, %error, "a connection broke");
                }
                return;
            }
            () = pulse.earlier() => {}
            () = &mut alarm, if !alarm.is_elapsed() => {}
            () = &mut drain, if !draining => {
                draining = true;
                connection.finish();
                pulse.retire();
            }
            () = &mut cut => return,
        }
    }
}

/// The requests of one connection on their way to the router.
struct Requests {
    edge: Arc<Edge>,
    pulse: Arc<Pulse>,
    peer: Option<IpAddr>,
    tls: bool,
    downloads: Arc<Semaphore>,
}

/// A download that is under way keeps up to 1 MiB of the blob in the core (docs/adr/0006), also while nobody takes it.
fn is_download(request: &Request<Incoming>) -> bool {
    request.method() == Method::GET && request.uri().path().contains("/blobs/")
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<Taken<Body>>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let version = request.version();
        let exchange = self.pulse.begin(version == Version::HTTP_2);
        let Edge { router, limits, trusted, .. } = &*self.edge;
        if request.headers().len() > limits.header_fields.into() {
            let mut refused = Response::new(Taken::new(Body::empty(), exchange, version, None));
            *refused.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Box::pin(async { Ok(refused) });
        }
        let downloads = is_download(&request).then(|| self.downloads.clone());
        let client = proxies::client_addr(trusted, self.peer, self.tls, request.uri(), request.headers());
        let mut request = request.map(|body| {
            if body.is_end_stream() { Body::empty() } else { Body::new(Paced::new(body, limits)) }
        });
        request.extensions_mut().insert(client);
        let mut router = router.clone();
        Box::pin(async move {
            let turn = match downloads {
                Some(downloads) => {
                    exchange.queue(true);
                    let turn = downloads.acquire_owned().await.ok();
                    exchange.queue(false);
                    turn
                }
                None => None,
            };
            Ok(router.call(request).await?.map(|body| Taken::new(body, exchange, version, turn)))
        })
    }
}
