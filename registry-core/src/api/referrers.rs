//! Referrers: spec end-12.

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::Serialize;

use super::error::ApiError;
use super::operation::ReferrersWish;
use super::{pages, respond};
use crate::oci::{Descriptor, Digest, media_type};
use crate::registry::Repository;
use crate::registry::referrers::{ReferrersPage, ReferrersQuery};

/// A page that nobody asked a size for.
const PAGE: usize = 1000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

pub(super) async fn list(
    repository: &Repository,
    subject: &Digest,
    wish: ReferrersWish,
) -> Result<Response, ApiError> {
    let mut headers = HeaderMap::new();
    let limit = pages::length(wish.page.limit, PAGE, &mut headers);
    let artifact_type = wish.artifact_type.as_deref();
    let query = ReferrersQuery { artifact_type, last: wish.page.last.as_ref(), limit };
    let ReferrersPage { found, last } = repository.referrers(subject, &query).await?;
    if let Some(last) = last {
        let path = format!("/v2/{}/referrers/{subject}", repository.name());
        let (limit, last) = (limit.to_string(), last.to_string());
        let mut query = vec![("n", &*limit), ("last", &*last)];
        query.extend(artifact_type.map(|wanted| ("artifactType", wanted)));
        pages::set_next(&mut headers, &path, &query);
    }
    if artifact_type.is_some() {
        headers.insert(respond::OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    let index = Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests: found };
    let mut response = respond::serialized(media_type::OCI_INDEX, &index)?;
    response.headers_mut().extend(headers);
    Ok(response)
}
