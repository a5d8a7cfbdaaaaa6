//! A driver that is bad in one way: a real gRPC server on a socket of its own, which passes every call on to the real
//! filesystem driver, except for what the test tells it to do otherwise.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use longshore_end_to_end::scratch;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What becomes of one message of an answer; the messages of an answer are counted from 0.
pub(crate) type Edit = Arc<dyn Fn(usize, Bytes) -> Vec<Step> + Send + Sync>;
/// What is done to a connection instead of speaking HTTP/2 on it.
pub(crate) type Raw = Arc<dyn Fn(UnixStream) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

/// A piece of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A gRPC message.
    Message(Bytes),
    /// Bytes as they are.
    Bytes(Bytes),
    /// A byte a second.
    Trickle(Bytes),
    /// Over and over, without a rest, as long as somebody takes it.
    Forever(Bytes),
    /// A second in which nothing comes.
    Rest,
    /// Nothing more ever comes, and no end either.
    Hang,
    /// The answer ends here, without a status.
    End,
}

/// What becomes of a call.
#[derive(Clone)]
pub(crate) enum Act {
    Pass,
    /// It is taken, and nothing is ever answered.
    Hang,
    Edit(Edit),
    /// HTTP status, content type, body.
    Http(u16, &'static str, Bytes),
    /// Nothing but this status of gRPC.
    Status(&'static str),
}

/// How the driver is bad at the moment.
#[derive(Clone)]
enum Manner {
    Good,
    /// This call is; all others are good.
    Call(String, Act),
    Every(Act),
    Connection(Raw),
}

struct Shared {
    manner: Mutex<Manner>,
    target: Mutex<PathBuf>,
    called: Mutex<BTreeSet<String>>,
    /// Counts up when all connections are to end.
    cut: watch::Sender<u64>,
}

/// Ends with the test.
pub(crate) struct Front {
    shared: Arc<Shared>,
    sockets: TempDir,
    _tasks: JoinSet<()>,
}

impl Front {
    pub(crate) fn start() -> Self {
        let sockets = scratch::socket_directory();
        let listener = UnixListener::bind(sockets.path().join("front.sock")).expect("bind");
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Good),
            target: Mutex::new(sockets.path().join("driver.sock")),
            called: Mutex::default(),
            cut: watch::channel(0).0,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, sockets, _tasks: tasks }
    }

    /// Where the core finds the bad driver.
    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.path().join("front.sock")
    }

    /// Where the real driver listens.
    pub(crate) fn driver_socket(&self) -> PathBuf {
        self.sockets.path().join("driver.sock")
    }

    /// From now on this call is answered badly, and all others well.
    pub(crate) fn spoil(&self, call: &str, act: Act) {
        self.set(Manner::Call(call.to_owned(), act));
    }

    pub(crate) fn spoil_every_call(&self, act: Act) {
        self.set(Manner::Every(act));
    }

    /// New connections get this; those that there are end.
    pub(crate) fn spoil_connections(&self, raw: Raw) {
        self.set(Manner::Connection(raw));
        self.cut();
    }

    /// All is well again, over new connections.
    pub(crate) fn heal(&self) {
        self.set(Manner::Good);
        self.cut();
    }

    /// All is well again, over the connections that there are.
    pub(crate) fn relent(&self) {
        self.set(Manner::Good);
    }

    fn set(&self, manner: Manner) {
        *self.shared.manner.lock().expect("the manner") = manner;
    }

    /// Another driver behind the same socket.
    pub(crate) fn point_at(&self, socket: &Path) {
        socket.clone_into(&mut self.shared.target.lock().expect("the target"));
        self.cut();
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Whether this call was ever made.
    pub(crate) fn saw(&self, call: &str) -> bool {
        self.shared.called.lock().expect("the calls").contains(call)
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        let shared = Arc::clone(&shared);
        let mut cut = shared.cut.subscribe();
        connections.spawn(async move {
            tokio::select! {
                () = serve(socket, shared) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn serve(socket: UnixStream, shared: Arc<Shared>) {
    let manner = shared.manner.lock().expect("the manner").clone();
    if let Manner::Connection(raw) = manner {
        return raw(socket).await;
    }
    let target = shared.target.lock().expect("the target").clone();
    let Ok(driver) = UnixStream::connect(&target).await else { return };
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, driver) = builder
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .handshake(TokioIo::new(driver))
        .await
        .expect("HTTP/2 with the driver");
    let service = service_fn(move |request| answer(Arc::clone(&shared), sender.clone(), request));
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .serve_connection(TokioIo::new(socket), service);
    // Either end may go first; the other end sees its connection end too.
    tokio::select! {
        _ended = server => {}
        _ended = driver => {}
    }
}

type Sender = hyper::client::conn::http2::SendRequest<Incoming>;

async fn answer(
    shared: Arc<Shared>,
    mut driver: Sender,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    shared.called.lock().expect("the calls").insert(call.clone());
    let act = match shared.manner.lock().expect("the manner").clone() {
        Manner::Call(spoiled, act) if spoiled == call => act,
        Manner::Every(act) => act,
        _ => Act::Pass,
    };
    match act {
        Act::Pass => Ok(driver.send_request(request).await?.map(|body| edited(body, pass()))),
        Act::Edit(edit) => Ok(driver.send_request(request).await?.map(|body| edited(body, edit))),
        Act::Hang => std::future::pending().await,
        Act::Http(status, content_type, body) => {
            let response = Response::builder().status(status).header("content-type", content_type);
            Ok(response.body(http_body_util::Full::new(body).boxed_unsync()).expect("a response"))
        }
        Act::Status(code) => {
            let response = Response::builder().header("content-type", "application/grpc");
            let response = response.header("grpc-status", code);
            Ok(response.body(http_body_util::Empty::new().boxed_unsync()).expect("a response"))
        }
    }
}

fn pass() -> Edit {
    Arc::new(|_, message| vec![Step::Message(message)])
}

/// The driver's answer, each message of it edited; its status stays.
fn edited(mut body: Incoming, edit: Edit) -> Body {
    let (frames, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut held, mut count) = (BytesMut::new(), 0);
        while let Some(Ok(frame)) = body.frame().await {
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return drop(frames.send(trailers).await),
            };
            held.extend_from_slice(&data);
            while let Some(message) = take_message(&mut held) {
                for step in edit(count, message) {
                    if !send(&frames, step).await {
                        return;
                    }
                }
                count += 1;
            }
        }
    });
    let frames = futures_util::stream::unfold(received, |mut received| async move {
        Some((Ok(received.recv().await?), received))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn take_message(held: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(held.get(1..5)?.try_into().ok()?) as usize;
    if held.len() < 5 + length {
        return None;
    }
    held.advance(5);
    Some(held.split_to(length).freeze())
}

/// A message with its prefix.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&[0][..]);
    bytes.extend_from_slice(&u32::try_from(message.len()).expect("a small message").to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.freeze()
}

/// Whether the answer goes on.
async fn send(frames: &mpsc::Sender<Frame<Bytes>>, step: Step) -> bool {
    match step {
        Step::Message(message) => frames.send(Frame::data(framed(&message))).await.is_ok(),
        Step::Bytes(bytes) => frames.send(Frame::data(bytes)).await.is_ok(),
        Step::Trickle(mut bytes) => {
            while !bytes.is_empty() {
                if frames.send(Frame::data(bytes.split_to(1))).await.is_err() {
                    return false;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            true
        }
        Step::Rest => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            true
        }
        Step::Forever(bytes) => {
            while frames.send(Frame::data(bytes.clone())).await.is_ok() {}
            false
        }
        Step::Hang => {
            frames.closed().await;
            false
        }
        Step::End => false,
    }
}
