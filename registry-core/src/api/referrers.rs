//! Referrers: spec end-12.

use axum::http::HeaderValue;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::respond;
use crate::oci::{Digest, media_type};
use crate::registry::Repository;

pub(super) async fn list(
    repository: &Repository,
    subject: &Digest,
    artifact_type: Option<String>,
) -> Result<Response, ApiError> {
    let mut found = repository.referrers(subject).await?;
    if let Some(wanted) = &artifact_type {
        found.retain(|descriptor| descriptor.artifact_type.as_ref() == Some(wanted));
    }
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": found});
    let mut response = respond::json(media_type::OCI_INDEX, &index);
    if artifact_type.is_some() {
        response.headers_mut().insert(respond::OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}
