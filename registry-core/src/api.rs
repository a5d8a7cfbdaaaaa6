//! The HTTP edge: a request becomes an [`operation::Operation`], the operation a call of the registry, its outcome a
//! response. Owns everything that HTTP says and the registry does not know.

mod availability;
mod blobs;
mod catalog;
pub mod client_addr;
mod error;
mod exchange;
mod extensions;
mod health;
mod manifests;
mod metrics;
pub mod operation;
mod pages;
mod preconditions;
mod referrers;
mod respond;
mod tags;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use longshore_driver_sdk::request_id;

use crate::auth::{Auth, Caller, Need, Refusal};
use crate::metrics::Metrics;
use crate::oci::RepositoryName;
use crate::registry::{Registry, RegistryError};
use client_addr::ClientAddr;
use error::ApiError;
use exchange::Exchange;
use operation::{Operation, Target};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Everything under one fallback: the paths of the spec have names of any depth before their fixed parts.
pub fn router(registry: Arc<Registry>, auth: Auth, metrics: Metrics, read_only: bool) -> Router {
    // Orchestrators have no login, and ask before the spec's paths begin.
    let health = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(registry.clone());
    let edge = Edge { registry, auth, metrics: Arc::new(metrics), read_only };
    Router::new().fallback(handle).with_state(Arc::new(edge)).merge(health)
}

/// What every request needs.
#[derive(Debug)]
struct Edge {
    registry: Arc<Registry>,
    auth: Auth,
    metrics: Arc<Metrics>,
    read_only: bool,
}

impl Edge {
    /// Whether a look at a blob may be the beginning of a push, which needs it to be kept.
    fn may_push(&self, caller: &Caller, name: &RepositoryName) -> bool {
        !self.read_only && self.auth.may_push(caller, name)
    }
}

async fn handle(State(edge): State<Arc<Edge>>, mut request: Request) -> Response {
    let mut exchange = Exchange::begin(&mut request, &edge.metrics);
    let mut storage = None;
    let outcome = match operation::parse(request.method(), request.uri()) {
        Ok(operation) => {
            exchange.operation = operation.target.name();
            storage = operation.name.as_ref().map(|name| edge.registry.storages().of(name).name());
            let id = exchange.id.clone();
            id.within(admit(&edge, operation, request, &mut exchange)).await
        }
        Err(error) => Err(error.into()),
    };
    let id = exchange.id.as_str();
    let mut response = outcome.unwrap_or_else(|error| {
        error.log(id, &exchange.method, &exchange.path, storage);
        error.into_response(id)
    });
    if exchange.method == Method::HEAD {
        respond::take_body(&mut response);
    }
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(request_id::HEADER, value);
    }
    exchange.answer(response)
}

/// Every operation passes here, before anything is looked at and before the body is read.
async fn admit(
    edge: &Edge,
    operation: Operation,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, ApiError> {
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let caller = edge.auth.authenticate(authorization).await?;
    if let Caller::User(user) = &caller {
        exchange.user = Some(user.clone());
    }
    let need = need(&operation);
    edge.auth.authorise(&caller, need)?;
    if edge.read_only && need.writes() {
        return Err(Refusal::ReadOnly.into());
    }
    if let Some(name) = operation.name.as_ref().filter(|_| operation.target.adds()) {
        edge.registry.storages().of(name).check_room().map_err(RegistryError::Storage)?;
    }
    answer(edge, &caller, operation, request).await
}

/// What an operation needs; a new one can't be forgotten here.
fn need(operation: &Operation) -> Need<'_> {
    let Some(name) = &operation.name else {
        return if operation.target == Target::Metrics { Need::Operate } else { Need::Entry };
    };
    match operation.target {
        Target::Root | Target::Catalog(_) => Need::Entry,
        Target::Metrics => Need::Operate,
        Target::GetBlob(_)
        | Target::GetManifest(_)
        | Target::ListTags(_)
        | Target::ListReferrers(..)
        | Target::CheckAvailability
        | Target::Discover => Need::Pull(name),
        Target::StartUpload(_)
        | Target::UploadStatus(_)
        | Target::AppendUpload(_)
        | Target::FinishUpload(..)
        | Target::CancelUpload(_)
        | Target::PutManifest(..) => Need::Push(name),
        Target::DeleteBlob(_) | Target::DeleteManifest(_) => Need::Delete(name),
    }
}

async fn answer(
    edge: &Edge,
    caller: &Caller,
    operation: Operation,
    request: Request,
) -> Result<Response, ApiError> {
    let registry = &*edge.registry;
    let may_read = |name: &RepositoryName| edge.auth.may_read(caller, name);
    let Some(name) = operation.name else {
        return about_registry(edge, operation.target, may_read).await;
    };
    let repository = registry.repository(&name);
    let head = request.method() == Method::HEAD;
    match operation.target {
        Target::GetBlob(digest) if head => {
            blobs::head(&repository, &digest, request.headers(), edge.may_push(caller, &name)).await
        }
        Target::GetBlob(digest) => {
            let client = request.extensions().get::<ClientAddr>().and_then(|client| client.ip);
            blobs::get(&repository, &digest, request.headers(), client, &edge.metrics.redirects).await
        }
        Target::DeleteBlob(digest) => blobs::delete(&repository, &digest).await,
        Target::StartUpload(wish) => uploads::start(registry, repository, wish, request, may_read).await,
        Target::UploadStatus(id) => uploads::status(&repository, &id).await,
        Target::AppendUpload(id) => uploads::append(repository, id, request).await,
        Target::FinishUpload(id, digest) => uploads::finish(repository, id, digest, request).await,
        Target::CancelUpload(id) => uploads::cancel(&repository, &id).await,
        Target::GetManifest(reference) => manifests::get(&repository, &reference, request.headers()).await,
        Target::PutManifest(reference, tags) => {
            manifests::put(registry, repository, reference, tags, request).await
        }
        Target::DeleteManifest(reference) => {
            manifests::delete(&repository, &reference, request.headers()).await
        }
        Target::ListTags(page) => tags::list(&repository, &page).await,
        Target::ListReferrers(subject, wish) => referrers::list(&repository, &subject, wish).await,
        Target::CheckAvailability => {
            availability::check(&repository, request, edge.may_push(caller, &name)).await
        }
        Target::Discover => Ok(extensions::discover(Some(&name))),
        Target::Root | Target::Catalog(_) | Target::Metrics => {
            about_registry(edge, operation.target, may_read).await
        }
    }
}

/// What has no repository in its path.
async fn about_registry(
    edge: &Edge,
    target: Target,
    may_read: impl Fn(&RepositoryName) -> bool,
) -> Result<Response, ApiError> {
    match target {
        Target::Metrics => metrics::text(&edge.metrics),
        Target::Catalog(page) => catalog::list(&edge.registry, &page, may_read).await,
        Target::Discover => Ok(extensions::discover(None)),
        _ => Ok(respond::empty(StatusCode::OK)),
    }
}
