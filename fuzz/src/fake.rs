//! A driver that answers what an input tells it to: the far end of a connection that the core dialled.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_driver_proto::v1;
use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::TrustedPeer;
use prost::Message as _;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::body::Body;

use crate::grpc::{self, End};
use crate::script::Script;
use crate::{connection, grpc::frame};

/// An answer, made up.
#[derive(Debug)]
pub struct Answer {
    pub http_status: u16,
    pub head: HeaderMap,
    pub parts: Vec<Bytes>,
    pub end: End,
}

impl Answer {
    /// As a good driver answers a unary call.
    pub fn ok(message: &[u8]) -> Self {
        Self {
            http_status: 200,
            head: HeaderMap::new(),
            parts: vec![frame(message).into()],
            end: End::Trailers(status(0, "", &[])),
        }
    }

    /// The same bytes, as a script wants them framed, cut and ended.
    pub fn scripted(script: &mut Script<'_>, framed: Vec<u8>) -> Self {
        let mut head = HeaderMap::new();
        let http_status = match script.byte() {
            0xff => 100 + u16::from(script.byte()) * 2,
            0xfe => {
                head = scripted_status(script);
                200
            }
            _ => 200,
        };
        let end = scripted_end(script);
        let parts = grpc::cut(framed, script.bytes());
        Self { http_status, head, parts, end }
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(grpc::body(self.parts, self.end));
        // What is no status of HTTP can't be sent by this server.
        *response.status_mut() = http::StatusCode::from_u16(self.http_status)
            .ok()
            .filter(|status| !status.is_informational())
            .unwrap_or_default();
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response.headers_mut().extend(self.head);
        response
    }
}

/// How a script ends a body: well, most of the time.
pub fn scripted_end(script: &mut Script<'_>) -> End {
    match script.byte() {
        0xff => End::Never,
        0xfe => End::Reset,
        0xfd => End::Plain,
        0xfc => End::Trailers(scripted_status(script)),
        _ => End::Trailers(status(0, "", &[])),
    }
}

fn scripted_status(script: &mut Script<'_>) -> HeaderMap {
    let code = script.byte() % 20;
    let message: String = script.text();
    let details = script.bytes();
    status(code, &message, details)
}

/// A status as trailers.
pub fn status(code: u8, message: &str, details: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Ok(message) = HeaderValue::from_str(message) {
        map.insert("grpc-message", message);
    }
    if !details.is_empty() {
        let encoded = encode_base64(details);
        if let Ok(details) = HeaderValue::from_str(&encoded) {
            map.insert("grpc-status-details-bin", details);
        }
    }
    map
}

/// As binary metadata is written, without padding.
fn encode_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |group: u32, at: usize| char::from(LETTERS[(group >> (18 - 6 * at) & 63) as usize]);
    let encode = |chunk: &[u8]| {
        let group = (0..3).fold(0, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        (0..=chunk.len()).map(move |at| letter(group, at)).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}

/// What a good driver says of itself.
pub fn hello() -> v1::HandshakeResponse {
    v1::HandshakeResponse {
        selected: Some(v1::Version { major: 1, minor: 0 }),
        driver_name: "fake".to_owned(),
        limits: Some(v1::Limits {
            max_chunk_bytes: 64 * 1024,
            max_inline_bytes: 4 * 1024 * 1024 + 64 * 1024,
            max_page: 1000,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Answers the handshake, and every later call with the answer that `respond` gives.
pub fn serve<F>(connection: DuplexStream, hello: Answer, respond: F)
where
    F: Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
{
    let hello = Mutex::new(Some(hello));
    let respond = Arc::new(move |request: Request<Incoming>| {
        let first = request.uri().path().ends_with("/Handshake");
        match hello.lock().expect("nobody panics with it").take().filter(|_| first) {
            Some(hello) => hello.into_response(),
            None => respond(request),
        }
    });
    let service = service_fn(move |request| {
        let response = respond(request);
        async move { Ok::<_, Infallible>(response) }
    });
    tokio::spawn(async move {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _broken = server.serve_connection(TokioIo::new(connection), service).await;
    });
}

/// A core that has shaken hands with a driver.
pub async fn dial(connection: DuplexStream) -> Option<RemoteDriver> {
    let remote = Remote {
        endpoint: "tcp://127.0.0.1:1".parse().expect("an endpoint"),
        trusted: TrustedPeer::default(),
        store_id: None,
        deadlines: Deadlines::default(),
        core_instance: "fuzz".to_owned(),
    };
    let channel = connection::channel(connection).await?;
    longshore_driver_sdk::fuzzing::remote(channel, &remote).await.ok()
}

/// Answers every call with the next of these; when there are none left, with the last kind of failure.
pub fn in_turn(answers: Vec<Answer>) -> impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static {
    let answers = Mutex::new(answers.into_iter());
    move |request| {
        drain(request);
        let next = answers.lock().expect("nobody panics with it").next();
        next.map_or_else(no_more, Answer::into_response)
    }
}

fn no_more() -> Response<Body> {
    let end = End::Trailers(status(13, "", &[]));
    Answer { http_status: 200, head: HeaderMap::new(), parts: Vec::new(), end }.into_response()
}

fn drain(request: Request<Incoming>) {
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {}
    });
}

/// One step of a driver's end of a write stream: how many messages of the core it waits for, and what it says then.
#[derive(Debug)]
pub struct Step {
    pub waits_for: u64,
    pub says: Vec<u8>,
}

/// Answers one write stream step by step.
pub fn stepwise(
    steps: Vec<Step>,
    end: End,
) -> impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static {
    let once = Mutex::new(Some((steps, end)));
    move |request| match once.lock().expect("nobody panics with it").take() {
        None => no_more(),
        Some((steps, end)) => {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(walk(request, steps, end, sender));
            let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|frame| (frame, receiver))
            });
            let mut response = Response::new(Body::new(http_body_util::StreamBody::new(Box::pin(frames))));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            response
        }
    }
}

type Frame = Result<http_body::Frame<Bytes>, tonic::Status>;

async fn walk(request: Request<Incoming>, steps: Vec<Step>, end: End, sender: mpsc::Sender<Frame>) {
    let mut core = Core { body: request.into_body(), received: Vec::new() };
    for step in steps {
        for _ in 0..step.waits_for {
            if !core.message().await {
                return;
            }
        }
        let _gone = sender.send(Ok(http_body::Frame::data(step.says.into()))).await;
    }
    match end {
        End::Plain => return,
        End::Trailers(trailers) => {
            let _gone = sender.send(Ok(http_body::Frame::trailers(trailers))).await;
        }
        End::Reset => {
            let _gone = sender.send(Err(tonic::Status::cancelled("reset"))).await;
        }
        End::Never => std::future::pending().await,
    }
    while core.message().await {}
}

/// What the core sends.
struct Core {
    body: Incoming,
    received: Vec<u8>,
}

impl Core {
    /// Takes one message; false when there is none any more.
    async fn message(&mut self) -> bool {
        loop {
            if let Some(message) = grpc::split(&self.received).0.first() {
                let length = frame(message).len();
                let message = v1::WriteStreamRequest::decode(*message).expect("the core sends messages");
                assert!(message.msg.is_some(), "the core sent an empty message");
                self.received.drain(..length);
                return true;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.received.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                _ => return false,
            }
        }
    }
}
