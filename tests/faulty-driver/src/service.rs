//! The two generated services over the driver.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::identity_service_server::IdentityService;
use longshore_driver_proto::v1::storage_service_server::StorageService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::driver::Driver;
use crate::faults::Fault;
use crate::refusal::{REQUEST_NOT_UNDERSTOOD, Refusal, Result};
use crate::uploads;

type Answer<T> = std::result::Result<Response<T>, Status>;

/// Answers that may wait unread.
const QUEUE: usize = 16;

#[derive(Clone)]
pub(crate) struct Service(pub(crate) Arc<Driver>);

impl Service {
    fn fault(&self) -> Fault {
        self.0.store.fault
    }

    fn answer<T>(&self, outcome: Result<T>) -> Answer<T> {
        outcome.map(Response::new).map_err(|refusal| refusal.into_status(self.fault()))
    }

    /// T9: an id of another form is passed over.
    fn take<T>(&self, request: Request<T>) -> std::result::Result<T, Status> {
        let refuse = || Refusal::new(REQUEST_NOT_UNDERSTOOD, "x-request-id").into_status(self.fault());
        let id = request.metadata().get("x-request-id").map(|id| id.to_str().unwrap_or_default());
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match id {
            Some(_) if self.fault() == Fault::RequestIdRefused => Err(refuse()),
            Some(id) if self.fault() == Fault::RequestIdOddRefused && !id.bytes().all(fits) => Err(refuse()),
            _ => Ok(request.into_inner()),
        }
    }
}

#[tonic::async_trait]
impl IdentityService for Service {
    async fn handshake(&self, request: Request<v1::HandshakeRequest>) -> Answer<v1::HandshakeResponse> {
        self.answer(self.0.store.handshake(&self.take(request)?, &self.0.instance))
    }

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Answer<v1::ProbeResponse> {
        self.take(request)?;
        if self.fault() == Fault::ProbeSlow {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        self.answer(self.0.store.probe())
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Answer<v1::DrainResponse> {
        let grace = self.take(request)?.grace.and_then(|grace| Duration::try_from(grace).ok());
        let open = self.0.drain(grace.unwrap_or_default()).await;
        let wrong = u32::from(self.fault() == Fault::DrainCountWrong);
        Ok(Response::new(v1::DrainResponse { sessions_left_open: open + wrong }))
    }
}

#[tonic::async_trait]
impl StorageService for Service {
    async fn stat(&self, request: Request<v1::StatRequest>) -> Answer<v1::StatResponse> {
        if self.fault() == Fault::DrainRefusesAll && self.0.is_draining() {
            return self.answer(Err(Refusal::new(crate::refusal::DRAINING, "about to stop")));
        }
        self.answer(self.0.store.stat(&self.take(request)?.key))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        self.answer(self.0.store.get(&self.take(request)?.key))
    }

    async fn put(&self, request: Request<v1::PutRequest>) -> Answer<v1::PutResponse> {
        self.answer(self.0.store.put(&self.take(request)?))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        self.answer(self.0.store.delete(&self.take(request)?.items))
    }

    async fn r#move(&self, request: Request<v1::MoveRequest>) -> Answer<v1::MoveResponse> {
        let request = self.take(request)?;
        self.answer(self.0.store.rename(&request.from, &request.to))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        self.answer(self.0.store.list(&self.take(request)?))
    }

    type ReadStreamStream =
        Pin<Box<dyn Stream<Item = std::result::Result<v1::ReadStreamResponse, Status>> + Send>>;

    async fn read_stream(&self, request: Request<v1::ReadStreamRequest>) -> Answer<Self::ReadStreamStream> {
        let reading = self.0.store.begin_read(&self.take(request)?);
        let reading = reading.map_err(|refusal| refusal.into_status(self.fault()))?;
        let reading = reading.in_turn(&self.0.turns).await;
        Ok(Response::new(Box::pin(reading.pieces())))
    }

    type WriteStreamStream = ReceiverStream<std::result::Result<v1::WriteStreamResponse, Status>>;

    async fn write_stream(
        &self,
        request: Request<Streaming<v1::WriteStreamRequest>>,
    ) -> Answer<Self::WriteStreamStream> {
        let (answers, queue) = mpsc::channel(QUEUE);
        let messages = self.take(request)?;
        tokio::spawn(uploads::new_stream(&self.0).run(messages, answers));
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn get_upload(&self, request: Request<v1::GetUploadRequest>) -> Answer<v1::GetUploadResponse> {
        self.answer(self.0.store.get_upload(&self.take(request)?.upload_id))
    }

    async fn list_uploads(
        &self,
        request: Request<v1::ListUploadsRequest>,
    ) -> Answer<v1::ListUploadsResponse> {
        self.answer(self.0.store.list_uploads(&self.take(request)?))
    }

    async fn end_upload(&self, request: Request<v1::EndUploadRequest>) -> Answer<v1::EndUploadResponse> {
        let request = self.take(request)?;
        self.answer(self.0.end_upload(request).await)
    }

    async fn sign(&self, request: Request<v1::SignRequest>) -> Answer<v1::SignResponse> {
        if self.fault() == Fault::SignHangs {
            std::future::pending::<()>().await;
        }
        self.answer(self.0.signer.sign(&self.0.store, &self.take(request)?))
    }
}
