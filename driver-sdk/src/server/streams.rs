//! The two streams of the storage service, served past the generated code, which would copy every byte (docs/adr/0020).

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response};
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::storage_service_server::StorageServiceServer;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;

use super::write_session::WriteSession;
use super::{MAX_MESSAGE, Service};
use crate::driver::ReadRange;
use crate::error::Result;
use crate::key::Key;
use crate::streams::{self, Incoming, pieces};
use crate::wire;

/// The storage service: the streams here, the rest by the generated server.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) service: Service,
    pub(super) generated: StorageServiceServer<Service>,
}

impl NamedService for Streams {
    const NAME: &'static str = StorageServiceServer::<Service>::NAME;
}

impl tower::Service<Request<Body>> for Streams {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        tower::Service::<Request<Body>>::poll_ready(&mut self.generated, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.service.clone();
        match request.uri().path() {
            streams::READ_STREAM => async move { Ok(service.read_stream(request.into_body()).await) }.boxed(),
            streams::WRITE_STREAM => {
                std::future::ready(Ok(service.write_stream(request.into_body()))).boxed()
            }
            _ => self.generated.call(request).boxed(),
        }
    }
}

impl Service {
    async fn read_stream(&self, body: Body) -> Response<Body> {
        let answer = async {
            let Some(message) = Incoming::request(body, MAX_MESSAGE).next().await? else {
                return Err(Status::internal("a read without a request"));
            };
            let request = v1::ReadStreamRequest::decode(message).map_err(|error| undecodable(&error))?;
            self.read(request).await.map_err(|error| wire::to_status(&error))
        };
        answer.await.unwrap_or_else(Status::into_http)
    }

    async fn read(&self, request: v1::ReadStreamRequest) -> Result<Response<Body>> {
        let key = Key::parse(&request.key)?;
        let if_match = Some(request.if_match).filter(|etag| !etag.is_empty());
        let range = ReadRange { offset: request.offset, length: request.length, if_match };
        let reading = self.driver.read(&key, range).await?;
        let first = v1::ReadStreamResponse {
            object: Some(wire::object_out(reading.object)),
            offset: request.offset,
            ..Default::default()
        };
        let sums = self.sums;
        let pieces = reading.bytes.scan(request.offset, move |offset, piece| {
            let piece = piece.map(|data| pieces::frame_read(piece_at(offset, data, sums)));
            std::future::ready(Some(piece.map_err(|error| wire::to_status(&error))))
        });
        let first = futures_util::stream::once(std::future::ready(Ok(pieces::frame(&first))));
        Ok(streams::respond(first.chain(pieces)))
    }

    fn write_stream(&self, body: Body) -> Response<Body> {
        let (answers, stream) = mpsc::channel(4);
        let session = WriteSession {
            service: self.clone(),
            messages: Incoming::request(body, MAX_MESSAGE),
            answers: answers.clone(),
        };
        tokio::spawn(async move {
            if let Err(error) = session.run().await {
                tracing::debug!(%error, "write stream ended");
                let _ = answers.send(Err(wire::to_status(&error))).await;
            }
        });
        streams::respond(ReceiverStream::new(stream))
    }
}

fn piece_at(offset: &mut u64, data: Bytes, sums: bool) -> v1::ReadStreamResponse {
    let crc32c = sums.then(|| crc32c::crc32c(&data));
    let piece = v1::ReadStreamResponse { object: None, offset: *offset, crc32c, data };
    *offset += piece.data.len() as u64;
    piece
}

fn undecodable(error: &prost::DecodeError) -> Status {
    Status::internal(format!("cannot decode a message: {error}"))
}
