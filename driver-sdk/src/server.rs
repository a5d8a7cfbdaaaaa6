//! Any [`Driver`] as a service on a socket. Owns what is the same for every driver: the handshake, the checks that the
//! contract asks of each request, the order of a write stream's messages, and the HTTP/2 settings of this end.

mod pages;
mod streams;
mod write_session;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use longshore_driver_proto::v1::storage_service_server::{StorageService, StorageServiceServer};
use tonic::{Request, Response, Status, Streaming};

use crate::driver::{Condition, Driver, ListQuery, SignRequest, UploadId, UploadQuery};
use crate::endpoint::{Connection, Listener};
use crate::error::{DriverError, Optional as _, Reason, Result};
use crate::key::{InvalidKey, Key, KeyPrefix};
use crate::request_id;
use crate::wire;
use streams::Streams;

/// The one version this SDK speaks.
pub const PROTOCOL: v1::Version = v1::Version { major: 1, minor: 1 };
/// No message is larger (rule R6).
pub(crate) const MAX_MESSAGE: usize = 5 * 1024 * 1024;
/// Measured best for pieces of 256 KiB (docs/adr/0006).
pub(crate) const FRAME: u32 = 256 * 1024;
/// What may wait unread of one upload.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// Large enough that no stream that is slow holds up the others of its connection (docs/adr/0006).
pub(crate) const CONNECTION_WINDOW: u32 = 1 << 30;
const DELETE_MAX: usize = 1000;

/// Serves `driver` until `shutdown` resolves; calls under way may finish for `grace`.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    driver: Arc<dyn Driver>,
    listener: Listener,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> std::result::Result<(), tonic::transport::Error> {
    let service = Service::new(driver, listener.sums());
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<StorageServiceServer<Service>>().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = http2()
        .add_service(health)
        .add_optional_service(usable(reflection().build_v1()))
        .add_optional_service(usable(reflection().build_v1alpha()))
        .add_service(IdentityServiceServer::new(service.clone()))
        .add_service(storage(&service))
        .serve_with_incoming_shutdown(accept(listener), async {
            let _ = stopped.await;
        });
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => {}
    }
    service.draining.store(true, Ordering::Relaxed);
    let _ = stop.send(());
    // What is marked by now is durable at once (contract clause D5): a stream that ends later is no longer live when the
    // driver is drained at the end, and whoever sent the signal may lose patience before.
    let (ended, settled) = tokio::join!(tokio::time::timeout(grace, server), service.driver.drain(grace));
    if let Err(error) = settled {
        tracing::warn!(%error, "live uploads can't be made durable");
    }
    ended.unwrap_or(Ok(()))
}

fn http2() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .trace_fn(span)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
}

fn storage(service: &Service) -> Streams {
    let generated = StorageServiceServer::new(service.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    Streams { service: service.clone(), generated }
}

/// The storage service without a server around it.
#[cfg(feature = "fuzzing")]
pub(crate) fn storage_alone(
    driver: Arc<dyn Driver>,
    sums: bool,
) -> impl tower::Service<
    http::Request<tonic::body::Body>,
    Response = http::Response<tonic::body::Body>,
    Error = std::convert::Infallible,
    Future: Future<
        Output = std::result::Result<http::Response<tonic::body::Body>, std::convert::Infallible>,
    > + Send,
> + Clone {
    storage(&Service::new(driver, sums))
}

/// Serves one connection that is there already.
#[cfg(feature = "fuzzing")]
pub(crate) async fn serve_over(
    driver: Arc<dyn Driver>,
    connection: tokio::io::DuplexStream,
) -> std::result::Result<(), tonic::transport::Error> {
    let service = Service::new(driver, true);
    let connections = futures_util::stream::iter([std::io::Result::Ok(connection)]);
    let server = http2().add_service(IdentityServiceServer::new(service.clone()));
    server.add_service(storage(&service)).serve_with_incoming(connections).await
}

/// What a tool like grpcurl asks a server for: its services, its messages, and those of an error's details (rule R4).
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(longshore_driver_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// A driver without reflection still serves; that it lacks it is said.
fn usable<S>(built: std::result::Result<S, tonic_reflection::server::Error>) -> Option<S> {
    built.map_err(|error| tracing::error!(%error, "no reflection: the descriptors are damaged")).ok()
}

/// Around all that is logged of a call: the client's request that it is made for.
fn span(call: &http::Request<()>) -> tracing::Span {
    let Some(request) = request_id::of(call.headers()) else { return tracing::Span::none() };
    let span = tracing::error_span!("call", %request);
    tracing::debug!(parent: &span, method = call.uri().path(), "called");
    span
}

fn accept(listener: Listener) -> impl futures_util::Stream<Item = std::io::Result<Connection>> {
    futures_util::stream::unfold(
        listener,
        |listener| async move { Some((listener.accept().await, listener)) },
    )
}

#[derive(Clone)]
struct Service {
    driver: Arc<dyn Driver>,
    instance: Arc<str>,
    draining: Arc<AtomicBool>,
    /// Whether pieces go out with a checksum.
    sums: bool,
}

impl Service {
    fn new(driver: Arc<dyn Driver>, sums: bool) -> Self {
        let instance = UploadId::random()
            .map_or_else(|_| format!("{:?}", SystemTime::now()), |id| id.as_str().to_owned());
        Self { driver, instance: instance.into(), draining: Arc::new(AtomicBool::new(false)), sums }
    }

    async fn store_id(&self) -> Result<String> {
        match self.driver.get(&Key::store_id()).await.optional()? {
            None => Ok(String::new()),
            Some((_, content)) => {
                String::from_utf8(content.to_vec()).map(|text| text.trim_end().to_owned()).map_err(|_| {
                    DriverError::new(Reason::IoError, "the store id in the store is damaged: it is no text")
                })
            }
        }
    }

    async fn handshake(&self, request: v1::HandshakeRequest) -> Result<v1::HandshakeResponse> {
        if !request.supported.iter().any(|version| version.major == PROTOCOL.major) {
            return Err(DriverError::new(
                Reason::VersionMismatch,
                format!("this driver speaks protocol version {}.{} only", PROTOCOL.major, PROTOCOL.minor),
            ));
        }
        self.driver.ready().await?;
        let store_id = self.store_id().await?;
        if let Some(expected) = request.expected_store_id.filter(|expected| *expected != store_id) {
            let found =
                if store_id.is_empty() { "one that was never initialised".to_owned() } else { store_id };
            return Err(DriverError::new(
                Reason::StoreMismatch,
                format!("the core expects store {expected}, here is {found}"),
            ));
        }
        let description = self.driver.description();
        tracing::debug!(core = request.core_instance, version = request.core_version, "handshake");
        Ok(v1::HandshakeResponse {
            selected: Some(PROTOCOL),
            driver_name: description.name,
            driver_version: description.version,
            driver_instance: self.instance.to_string(),
            store_id,
            capabilities: Some(wire::capabilities_out(&description.capabilities)),
            limits: Some(wire::limits_out(&description.limits)),
            now: Some(SystemTime::now().into()),
        })
    }

    async fn put(&self, request: v1::PutRequest) -> Result<v1::PutResponse> {
        use v1::put_request::Condition as Wire;
        let condition = match request.condition {
            Some(Wire::Always(_)) => Condition::Always,
            Some(Wire::IfAbsent(_)) => Condition::IfAbsent,
            Some(Wire::IfMatch(etag)) => Condition::IfMatch(etag),
            None => {
                return Err(wire::misunderstood(
                    "a put without a condition that this driver knows (rule R2)",
                ));
            }
        };
        let key = Key::parse_with_store_id(&request.key)?;
        self.check_put(&key, &condition, request.content.len())?;
        if key.is_store_id() && !is_store_id(&request.content) {
            return Err(wire::misunderstood("a store id is 1 to 64 bytes of [A-Za-z0-9-] (rule R8)"));
        }
        if key.is_store_id() && !self.driver.description().capabilities.put_if_absent {
            return self.put_store_id_once(key, request.content).await;
        }
        let object = self.driver.put(&key, request.content, condition).await?;
        Ok(v1::PutResponse { object: Some(wire::object_out(object)) })
    }

    fn check_put(&self, key: &Key, condition: &Condition, size: usize) -> Result<()> {
        let description = self.driver.description();
        if size > description.limits.max_inline as usize {
            return Err(DriverError::new(
                Reason::TooLarge,
                format!(
                    "a put of {size} bytes at {key}: at most {} go in one message, more needs an upload",
                    description.limits.max_inline
                ),
            ));
        }
        let supported = match condition {
            Condition::Always => !key.is_store_id(),
            Condition::IfAbsent => description.capabilities.put_if_absent || key.is_store_id(),
            Condition::IfMatch(_) => description.capabilities.put_if_match && !key.is_store_id(),
        };
        if supported {
            return Ok(());
        }
        Err(DriverError::new(
            Reason::NotSupported,
            format!("a put at {key} with a condition that this driver did not declare"),
        ))
    }

    /// For backends without an atomic if-absent: a store's id is made by one operator, once (rule R8).
    async fn put_store_id_once(&self, key: Key, content: bytes::Bytes) -> Result<v1::PutResponse> {
        if self.driver.stat(&key).await.optional()?.is_some() {
            return Err(DriverError::new(Reason::KeyExists, "this store has an id already"));
        }
        let object = self.driver.put(&key, content, Condition::Always).await?;
        Ok(v1::PutResponse { object: Some(wire::object_out(object)) })
    }

    /// Plain items together, for a backend that takes many keys by one request; others one by one.
    async fn delete_items(&self, items: Vec<v1::delete_request::Item>) -> Vec<v1::delete_response::Outcome> {
        let mut outcomes = vec![v1::delete_response::Outcome::default(); items.len()];
        let (mut places, mut plain, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (place, item) in items.into_iter().enumerate() {
            match Key::parse(&item.key) {
                // Named again, it is gone by then: its turn is after all others.
                Ok(key) if item.if_match.is_none() && seen.insert(key.clone()) => {
                    places.push(place);
                    plain.push(key);
                }
                parsed => others.push((place, parsed, item.if_match)),
            }
        }
        if !plain.is_empty() {
            for (place, deleted) in places.into_iter().zip(self.driver.delete_all(&plain).await) {
                outcomes[place] = outcome(deleted);
            }
        }
        for (place, key, if_match) in others {
            outcomes[place] = outcome(self.delete_one(key, if_match.as_deref()).await);
        }
        outcomes
    }

    async fn delete_one(
        &self,
        key: std::result::Result<Key, InvalidKey>,
        if_match: Option<&str>,
    ) -> Result<bool> {
        let key = key?;
        if if_match.is_some() && !self.driver.description().capabilities.delete_if_match {
            return Err(DriverError::new(Reason::NotSupported, "a conditional delete"));
        }
        self.driver.delete(&key, if_match).await
    }

    async fn list(&self, request: v1::ListRequest) -> Result<v1::ListResponse> {
        let max = self.driver.description().limits.max_page;
        let limit = if request.limit == 0 { max } else { request.limit.min(max) };
        let query = ListQuery {
            prefix: KeyPrefix::parse(&request.prefix)?,
            recursive: request.recursive,
            start_after: request.start_after,
            limit: limit as usize,
        };
        let page = self.driver.list(&query).await?;
        let (entries, more) = pages::fit(page.entries.into_iter().map(wire::entry_out), page.more);
        Ok(v1::ListResponse { entries, more })
    }

    async fn list_uploads(&self, request: v1::ListUploadsRequest) -> Result<v1::ListUploadsResponse> {
        let max = self.driver.description().limits.max_page;
        let limit = if request.limit == 0 { max } else { request.limit.min(max) };
        let idle_since = request.idle_since.and_then(|time| SystemTime::try_from(time).ok());
        let query = UploadQuery { start_after: request.start_after, limit: limit as usize, idle_since };
        let page = self.driver.list_uploads(&query).await?;
        let (uploads, more) = pages::fit(page.entries.into_iter().map(wire::upload_out), page.more);
        Ok(v1::ListUploadsResponse { uploads, more })
    }

    fn refuse_while_draining(&self) -> Result<()> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(DriverError::new(
                Reason::Draining,
                "the driver is about to stop and takes no new sessions",
            ));
        }
        Ok(())
    }
}

fn is_store_id(text: &[u8]) -> bool {
    (1..=64).contains(&text.len()) && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// The answer to a unary call.
fn answer<T>(result: Result<T>) -> std::result::Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| {
        if matches!(error.reason(), Reason::IoError | Reason::DriverBug | Reason::NoSpace) {
            tracing::error!(%error, "call failed");
        }
        wire::to_status(&error)
    })
}

#[tonic::async_trait]
impl IdentityService for Service {
    async fn handshake(
        &self,
        request: Request<v1::HandshakeRequest>,
    ) -> std::result::Result<Response<v1::HandshakeResponse>, Status> {
        answer(self.handshake(request.into_inner()).await)
    }

    async fn probe(
        &self,
        _: Request<v1::ProbeRequest>,
    ) -> std::result::Result<Response<v1::ProbeResponse>, Status> {
        answer(self.driver.probe().await.map(wire::probe_out))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> std::result::Result<Response<v1::DrainResponse>, Status> {
        self.draining.store(true, Ordering::Relaxed);
        let grace = wire::duration(request.into_inner().grace.as_ref()).unwrap_or_default();
        answer(
            self.driver.drain(grace).await.map(|sessions_left_open| v1::DrainResponse { sessions_left_open }),
        )
    }
}

type NoStream<T> = futures_util::stream::Pending<std::result::Result<T, Status>>;

fn outcome(deleted: Result<bool>) -> v1::delete_response::Outcome {
    match deleted {
        Ok(existed) => v1::delete_response::Outcome { existed, code: 0, reason: String::new() },
        Err(error) => {
            if !is_the_callers(error.reason()) {
                // An outcome carries the reason alone: what happened is said here or nowhere.
                tracing::warn!(%error, "a key can't be deleted");
            }
            v1::delete_response::Outcome {
                existed: false,
                code: wire::code(error.reason()) as i32,
                reason: error.reason().as_str().to_owned(),
            }
        }
    }
}

/// Refused for what was asked, not for what the backend did.
fn is_the_callers(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PreconditionFailed | Reason::InvalidKey | Reason::NotSupported | Reason::RequestNotUnderstood
    )
}

/// The generated server is behind [`Streams`], which answers both streams itself.
fn passed_by() -> Status {
    Status::internal("a stream came to the generated server")
}

#[tonic::async_trait]
impl StorageService for Service {
    async fn stat(
        &self,
        request: Request<v1::StatRequest>,
    ) -> std::result::Result<Response<v1::StatResponse>, Status> {
        answer(
            async {
                let object = self.driver.stat(&Key::parse_with_store_id(&request.into_inner().key)?).await?;
                Ok(v1::StatResponse { object: Some(wire::object_out(object)) })
            }
            .await,
        )
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> std::result::Result<Response<v1::GetResponse>, Status> {
        answer(
            async {
                let (object, content) =
                    self.driver.get(&Key::parse_with_store_id(&request.into_inner().key)?).await?;
                Ok(v1::GetResponse { object: Some(wire::object_out(object)), content })
            }
            .await,
        )
    }

    async fn put(
        &self,
        request: Request<v1::PutRequest>,
    ) -> std::result::Result<Response<v1::PutResponse>, Status> {
        answer(self.put(request.into_inner()).await)
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> std::result::Result<Response<v1::DeleteResponse>, Status> {
        let items = request.into_inner().items;
        if items.len() > DELETE_MAX {
            return answer(Err(wire::misunderstood("a delete names at most 1000 keys")));
        }
        answer(Ok(v1::DeleteResponse { outcomes: self.delete_items(items).await }))
    }

    async fn r#move(
        &self,
        request: Request<v1::MoveRequest>,
    ) -> std::result::Result<Response<v1::MoveResponse>, Status> {
        let request = request.into_inner();
        answer(
            async {
                let object =
                    self.driver.rename(&Key::parse(&request.from)?, &Key::parse(&request.to)?).await?;
                Ok(v1::MoveResponse { object: Some(wire::object_out(object)) })
            }
            .await,
        )
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> std::result::Result<Response<v1::ListResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }

    type ReadStreamStream = NoStream<v1::ReadStreamResponse>;

    async fn read_stream(
        &self,
        _: Request<v1::ReadStreamRequest>,
    ) -> std::result::Result<Response<Self::ReadStreamStream>, Status> {
        Err(passed_by())
    }

    type WriteStreamStream = NoStream<v1::WriteStreamResponse>;

    async fn write_stream(
        &self,
        _: Request<Streaming<v1::WriteStreamRequest>>,
    ) -> std::result::Result<Response<Self::WriteStreamStream>, Status> {
        Err(passed_by())
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> std::result::Result<Response<v1::GetUploadResponse>, Status> {
        answer(
            async {
                let upload =
                    self.driver.get_upload(&UploadId::parse(&request.into_inner().upload_id)?).await?;
                Ok(v1::GetUploadResponse { upload: Some(wire::upload_out(upload)) })
            }
            .await,
        )
    }

    async fn list_uploads(
        &self,
        request: Request<v1::ListUploadsRequest>,
    ) -> std::result::Result<Response<v1::ListUploadsResponse>, Status> {
        answer(self.list_uploads(request.into_inner()).await)
    }

    async fn end_upload(
        &self,
        request: Request<v1::EndUploadRequest>,
    ) -> std::result::Result<Response<v1::EndUploadResponse>, Status> {
        let request = request.into_inner();
        answer(
            async {
                let fence = wire::fence_in(request.fence)?;
                let existed = self.driver.end_upload(&UploadId::parse(&request.upload_id)?, &fence).await?;
                Ok(v1::EndUploadResponse { existed })
            }
            .await,
        )
    }

    async fn sign(
        &self,
        request: Request<v1::SignRequest>,
    ) -> std::result::Result<Response<v1::SignResponse>, Status> {
        let request = request.into_inner();
        answer(
            async {
                let ttl = wire::duration(request.ttl.as_ref()).unwrap_or_default();
                let wish = SignRequest { head: request.head, ttl, content_type: request.content_type };
                let signed = self.driver.sign(&Key::parse(&request.key)?, &wish).await?;
                Ok(signed.map_or_else(v1::SignResponse::default, |signed| v1::SignResponse {
                    url: signed.url,
                    expires: Some(signed.expires.into()),
                }))
            }
            .await,
        )
    }
}
