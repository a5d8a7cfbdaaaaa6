//! Manifests: spec end-3, end-7 and end-9.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use longshore_driver_sdk::request_id;

use super::error::{ApiError, RequestProblem};
use super::{preconditions, respond};
use crate::oci::{Digest, Reference, Tag};
use crate::registry::manifests::PushManifest;
use crate::registry::{Registry, RegistryError, Repository};

pub(super) async fn get(
    repository: &Repository,
    reference: &Reference,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let manifest = repository.manifest(reference).await?;
    if let Some(response) = preconditions::not_modified(request, &manifest.digest) {
        return Ok(response);
    }
    let mut response = Response::new(Body::from(manifest.bytes.clone()));
    let headers = response.headers_mut();
    respond::set(headers, header::CONTENT_TYPE, &manifest.media_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
    respond::set_digest(headers, &manifest.digest);
    Ok(response)
}

pub(super) async fn put(
    registry: &Registry,
    repository: Repository,
    reference: Reference,
    mut tags: Vec<Tag>,
    request: Request,
) -> Result<Response, ApiError> {
    // One that is no text is no type either, and must not pass for none.
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let precondition = preconditions::of_write(request.headers());
    let body = body(request, registry.rules().max_manifest).await?;
    let asked = tags.clone();
    let digest = match &reference {
        Reference::Digest(digest) => Some(digest.clone()),
        Reference::Tag(tag) => {
            tags.push(tag.clone());
            None
        }
    };
    let work = async move {
        let pushed =
            repository.put_manifest(PushManifest { digest, tags, media_type, body, precondition }).await?;
        let mut response = respond::empty(StatusCode::CREATED);
        let headers = response.headers_mut();
        respond::set(
            headers,
            header::LOCATION,
            &format!("/v2/{}/manifests/{}", repository.name(), pushed.digest),
        );
        respond::set(headers, respond::CONTENT_DIGEST, &pushed.digest.to_string());
        if let Some(subject) = pushed.subject {
            respond::set(headers, respond::OCI_SUBJECT, &subject.to_string());
        }
        if !pushed.missing.is_empty() {
            respond::warn(headers, &incomplete(&pushed.missing));
        }
        for tag in asked {
            if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
                headers.append(respond::OCI_TAG, value);
            }
        }
        Ok(response)
    };
    // Every step of a push that was begun is done, even when the client goes away.
    request_id::spawn(work).await.unwrap_or(Err(ApiError::Request(RequestProblem::Dropped)))
}

fn incomplete(missing: &[Digest]) -> String {
    let digests: Vec<_> = missing.iter().map(ToString::to_string).collect();
    format!(
        "the manifest is stored, but can't be pulled whole: {} of what it names are not in this repository: {}",
        digests.len(),
        digests.join(", ")
    )
}

async fn body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(RegistryError::ManifestTooLarge { limit }.into())
        }
        Err(error) => Err(RequestProblem::Body(error.to_string()).into()),
    }
}

pub(super) async fn delete(
    repository: &Repository,
    reference: &Reference,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let precondition = preconditions::of_write(request);
    match reference {
        Reference::Tag(tag) => repository.delete_tag(tag, &precondition).await?,
        Reference::Digest(digest) => repository.delete_manifest(digest, &precondition).await?,
    }
    Ok(respond::empty(StatusCode::ACCEPTED))
}
