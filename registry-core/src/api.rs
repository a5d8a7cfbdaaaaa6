//! The HTTP edge: a request becomes an [`operation::Operation`], the operation a call of the registry, its outcome a
//! response. Owns everything that HTTP says and the registry does not know.

mod availability;
mod blobs;
mod catalog;
pub mod client_addr;
mod error;
mod extensions;
mod health;
mod manifests;
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

use crate::auth::{Auth, Caller, Need};
use crate::oci::RepositoryName;
use crate::registry::Registry;
use error::ApiError;
use operation::{Operation, Target};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Everything under one fallback: the paths of the spec have names of any depth before their fixed parts.
pub fn router(registry: Arc<Registry>, auth: Auth) -> Router {
    // Orchestrators have no login, and ask before the spec's paths begin.
    let health = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(registry.clone());
    Router::new().fallback(handle).with_state(Arc::new(Edge { registry, auth })).merge(health)
}

/// What every request needs.
#[derive(Debug)]
struct Edge {
    registry: Arc<Registry>,
    auth: Auth,
}

async fn handle(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let id = request_id();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let client = request.extensions().get::<client_addr::ClientAddr>().and_then(|client| client.ip);
    let mut storage = None;
    let outcome = match operation::parse(&method, request.uri()) {
        Ok(operation) => {
            storage = operation.name.as_ref().map(|name| edge.registry.storages().of(name).name());
            admit(&edge, operation, request).await
        }
        Err(error) => Err(error.into()),
    };
    let mut response = outcome.unwrap_or_else(|error| {
        error.log(&id, &method, &path, storage);
        error.into_response(&id)
    });
    if method == Method::HEAD {
        respond::take_body(&mut response);
    }
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    tracing::debug!(request = id, ?client, %method, path, status = response.status().as_u16(), "answered");
    response
}

/// Every operation passes here, before anything is looked at and before the body is read.
async fn admit(edge: &Edge, operation: Operation, request: Request) -> Result<Response, ApiError> {
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let caller = edge.auth.authenticate(authorization).await?;
    edge.auth.authorise(&caller, need(&operation))?;
    answer(edge, &caller, operation, request).await
}

/// What an operation needs; a new one can't be forgotten here.
fn need(operation: &Operation) -> Need<'_> {
    let Some(name) = &operation.name else { return Need::Entry };
    match operation.target {
        Target::Root | Target::Catalog(_) => Need::Entry,
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
        return about_registry(registry, operation.target, may_read).await;
    };
    let repository = registry.repository(&name);
    let head = request.method() == Method::HEAD;
    match operation.target {
        Target::GetBlob(digest) if head => {
            let may_push = edge.auth.may_push(caller, &name);
            blobs::head(&repository, &digest, request.headers(), may_push).await
        }
        Target::GetBlob(digest) => blobs::get(&repository, &digest, request.headers()).await,
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
        Target::CheckAvailability => availability::check(&repository, request).await,
        Target::Discover => Ok(extensions::discover(Some(&name))),
        Target::Root | Target::Catalog(_) => about_registry(registry, operation.target, may_read).await,
    }
}

/// What has no repository in its path.
async fn about_registry(
    registry: &Registry,
    target: Target,
    may_read: impl Fn(&RepositoryName) -> bool,
) -> Result<Response, ApiError> {
    match target {
        Target::Catalog(page) => catalog::list(registry, &page, may_read).await,
        Target::Discover => Ok(extensions::discover(None)),
        _ => Ok(respond::empty(StatusCode::OK)),
    }
}

fn request_id() -> String {
    longshore_driver_sdk::UploadId::random()
        .map_or_else(|_| "unknown".to_owned(), |id| id.as_str()[..16].to_owned())
}
