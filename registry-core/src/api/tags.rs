//! Tags: spec end-8.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::operation::PageWish;
use super::{pages, respond};
use crate::oci::Tag;
use crate::registry::Repository;

/// A page that nobody asked a size for.
const PAGE: usize = 1000;

pub(super) async fn list(repository: &Repository, wish: &PageWish<Tag>) -> Result<Response, ApiError> {
    let mut headers = HeaderMap::new();
    let limit = pages::length(wish.limit, PAGE, &mut headers);
    // n=0 asks for nothing, of a repository that must be there all the same.
    let mut page = repository.list_tags(wish.last.as_ref().map(Tag::as_str), limit.max(1)).await?;
    page.tags.truncate(limit);
    if let Some(last) = page.tags.last().filter(|_| page.more) {
        let path = format!("/v2/{}/tags/list", repository.name());
        pages::set_next(&mut headers, &path, &[("n", &limit.to_string()), ("last", last)]);
    }
    let mut response =
        respond::json("application/json", &json!({"name": repository.name().as_str(), "tags": page.tags}));
    response.headers_mut().extend(headers);
    Ok(response)
}
