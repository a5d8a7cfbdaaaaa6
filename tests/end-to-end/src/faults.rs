//! A front before a real HTTP server, for what a real server can't be made to do: it refuses some requests, cuts some
//! connections in the middle of a body, or changes an answer. All else it passes on as it came.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;
type Edit = Box<dyn Fn(String) -> String + Send>;

/// What becomes of a request.
pub enum Fault {
    /// Nothing bad.
    Pass,
    /// The front answers itself; the server hears nothing.
    Answer(Response<String>),
    /// The connections to both sides break after so many bytes of the request's body.
    CutRequest(u64),
    /// The same, after so many bytes of the answer's body.
    CutAnswer(u64),
    /// The server's answer with another text.
    Edit(Edit),
}

type Judge = dyn Fn(&Parts) -> Fault + Send + Sync;

/// It listens until it is dropped.
pub struct FaultyFront {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl FaultyFront {
    /// Before the server at this URL; the judge is asked of each request.
    pub async fn before(server: &str, judge: impl Fn(&Parts) -> Fault + Send + Sync + 'static) -> Self {
        let server = server.trim_start_matches("http://").parse().expect("http://ADDRESS:PORT");
        Self::listen(Some(server), judge).await
    }

    /// Before nothing: each request has to be answered here.
    pub async fn alone(answer: impl Fn(&Parts) -> Response<String> + Send + Sync + 'static) -> Self {
        Self::listen(None, move |asked| Fault::Answer(answer(asked))).await
    }

    async fn listen(
        server: Option<SocketAddr>,
        judge: impl Fn(&Parts) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        Self { address, accepting: tokio::spawn(accept(listener, server, Arc::new(judge))) }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FaultyFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Option<SocketAddr>, judge: Arc<Judge>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        let judge = Arc::clone(&judge);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(server, Arc::clone(&judge), request));
            // How it ends is seen by the client.
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(
    server: Option<SocketAddr>,
    judge: Arc<Judge>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let (asked, body) = request.into_parts();
    let fault = judge(&asked);
    if let Fault::Answer(answer) = fault {
        // Who still sends would not read it.
        body.collect().await?;
        return Ok(answer.map(text));
    }
    let upload = if let Fault::CutRequest(after) = fault { after } else { u64::MAX };
    let socket = TcpStream::connect(server.ok_or("there is no server")?).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(asked, cut(body, upload))).await?;
    match fault {
        Fault::CutAnswer(after) => Ok(answer.map(|body| cut(body, after))),
        Fault::Edit(edit) => edited(answer, edit).await,
        _ => Ok(answer.map(|body| cut(body, u64::MAX))),
    }
}

/// A body that breaks after so many bytes.
fn cut(body: Incoming, after: u64) -> Body {
    if body.is_end_stream() {
        return text(String::new());
    }
    let mut left = after;
    let frames = body.into_data_stream().map(move |piece| {
        let piece = piece?;
        left = left.checked_sub(piece.len() as u64).ok_or("cut")?;
        Ok(Frame::data(piece))
    });
    StreamBody::new(frames).boxed_unsync()
}

async fn edited(answer: Response<Incoming>, edit: Edit) -> Result<Response<Body>, Error> {
    let (mut parts, body) = answer.into_parts();
    let whole = body.collect().await?.to_bytes();
    let edited = edit(String::from_utf8(whole.to_vec())?);
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(parts, text(edited)))
}

fn text(text: String) -> Body {
    if text.is_empty() {
        return Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}
