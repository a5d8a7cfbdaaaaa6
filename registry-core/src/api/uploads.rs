//! Uploads: spec end-4, end-5, end-6, end-11, end-13 and end-14.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::TryStreamExt;
use longshore_driver_sdk::UploadId;
use longshore_driver_sdk::request_id;

use super::error::{ApiError, RequestProblem};
use super::operation::UploadWish;
use super::respond;
use crate::oci::{ContentRange, Digest, RepositoryName};
use crate::registry::uploads::Chunk;
use crate::registry::{Registry, Repository};

pub(super) async fn start(
    registry: &Registry,
    repository: Repository,
    wish: UploadWish,
    request: Request,
    may_read: impl Fn(&RepositoryName) -> bool,
) -> Result<Response, ApiError> {
    if let Some(digest) = &wish.mount {
        let mounted = match &wish.from {
            // As if it were not there.
            Some(from) if !may_read(from) => false,
            Some(from) => repository.mount_blob(digest, &registry.repository(from)).await?,
            None => registry.mount_from_any(&repository, digest, may_read).await?,
        };
        if mounted {
            return Ok(respond::created_blob(repository.name(), digest));
        }
    }
    if let Some(digest) = wish.whole {
        let chunk = chunk(request)?;
        let done = repository.clone();
        return detached(async move {
            done.upload_whole(&digest, chunk).await?;
            Ok(respond::created_blob(done.name(), &digest))
        })
        .await;
    }
    let started = repository.start_upload(wish.algorithm).await?;
    let mut response = progress(&repository, &started.id, StatusCode::ACCEPTED, 0);
    if let Some(length) = started.min_chunk {
        response.headers_mut().insert(respond::OCI_CHUNK_MIN_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

pub(super) async fn status(repository: &Repository, id: &UploadId) -> Result<Response, ApiError> {
    let durable = repository.upload_offset(id).await?;
    Ok(progress(repository, id, StatusCode::NO_CONTENT, durable))
}

pub(super) async fn append(
    repository: Repository,
    id: UploadId,
    request: Request,
) -> Result<Response, ApiError> {
    let chunk = chunk(request).map_err(ApiError::from)?;
    let location = location(&repository, &id);
    detached(async move {
        let durable =
            repository.append(&id, chunk).await.map_err(|error| ApiError::Upload(error, location))?;
        Ok(progress(&repository, &id, StatusCode::ACCEPTED, durable))
    })
    .await
}

pub(super) async fn finish(
    repository: Repository,
    id: UploadId,
    digest: Digest,
    request: Request,
) -> Result<Response, ApiError> {
    let chunk = chunk(request)?;
    let location = location(&repository, &id);
    detached(async move {
        repository
            .finish_upload(&id, &digest, chunk)
            .await
            .map_err(|error| ApiError::Upload(error, location))?;
        Ok(respond::created_blob(repository.name(), &digest))
    })
    .await
}

pub(super) async fn cancel(repository: &Repository, id: &UploadId) -> Result<Response, ApiError> {
    repository.cancel_upload(id).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Goes on when the client goes away: what was begun is brought to a durable end, within the driver's deadlines.
async fn detached(
    work: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    request_id::spawn(work).await.unwrap_or(Err(ApiError::Request(RequestProblem::Dropped)))
}

fn location(repository: &Repository, id: &UploadId) -> String {
    format!("/v2/{}/blobs/uploads/{id}", repository.name())
}

fn progress(repository: &Repository, id: &UploadId, status: StatusCode, durable: u64) -> Response {
    let mut response = respond::empty(status);
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    respond::set(headers, header::LOCATION, &location(repository, id));
    respond::set(headers, respond::UPLOAD_UUID, id.as_str());
    respond::set_upload_range(headers, durable);
    response
}

fn chunk(request: Request) -> Result<Chunk, RequestProblem> {
    let range = content_range(request.headers())?;
    let length = content_length(request.headers());
    if let (Some(range), Some(length)) = (range, length)
        && range.0.length() != length
    {
        return Err(RequestProblem::LengthDiffers { length, range: range.0.length() });
    }
    let body = request.into_body().into_data_stream().map_err(|error| error.to_string());
    Ok(Chunk {
        start: range.map(|range| range.0.first),
        length: range.map(|range| range.0.length()).or(length),
        body: Box::pin(body),
    })
}

fn content_range(headers: &HeaderMap) -> Result<Option<ContentRange>, RequestProblem> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    Ok(Some(value.to_str().unwrap_or("(not text)").parse()?))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use longshore_driver_sdk::memory::MemoryDriver;

    use super::*;
    use crate::oci::Algorithm;
    use crate::registry::Rules;
    use crate::registry::store::Store;
    use crate::storage::{Route, Storages};

    async fn min_length(driver: MemoryDriver) -> Option<String> {
        let store = Arc::new(Store::new("main".to_owned(), Arc::new(driver)));
        let storages = Storages::new(vec![Route { prefix: String::new(), store }]).unwrap();
        let registry = Registry::new(storages, Rules::default(), "test".to_owned());
        let repository = registry.repository(&"a".parse().unwrap());
        let wish = UploadWish { whole: None, mount: None, from: None, algorithm: Algorithm::Sha256 };
        let response =
            start(&registry, repository, wish, Request::new(Body::empty()), |_| true).await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let length = response.headers().get("oci-chunk-min-length");
        length.map(|length| length.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn a_part_size_is_told_as_the_least_length_of_a_chunk() {
        assert_eq!(min_length(MemoryDriver::with_marks_every(5 << 20)).await.as_deref(), Some("5242880"));
        assert_eq!(min_length(MemoryDriver::default()).await, None, "any length is as good");
    }
}
