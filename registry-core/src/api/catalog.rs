//! The catalog, `GET /v2/_catalog`: reserved by the spec, as docker registries have it.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::operation::PageWish;
use super::{pages, respond};
use crate::oci::RepositoryName;
use crate::registry::Registry;

/// A page that nobody asked a size for: each entry costs a look at the store.
const PAGE: usize = 100;

pub(super) async fn list(
    registry: &Registry,
    wish: &PageWish<RepositoryName>,
    may_see: impl Fn(&RepositoryName) -> bool,
) -> Result<Response, ApiError> {
    let mut headers = HeaderMap::new();
    let limit = pages::length(wish.limit, PAGE, &mut headers);
    let page = registry.catalog(wish.last.as_ref(), limit, may_see).await?;
    let names: Vec<_> = page.names.iter().map(RepositoryName::as_str).collect();
    if let Some(last) = names.last().filter(|_| page.more) {
        pages::set_next(&mut headers, "/v2/_catalog", &[("n", &limit.to_string()), ("last", last)]);
    }
    let mut response = respond::json("application/json", &json!({"repositories": names}));
    response.headers_mut().extend(headers);
    Ok(response)
}
