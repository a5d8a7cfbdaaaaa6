//! Tags: spec end-8.

use axum::http::header;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::operation::PageWish;
use super::respond;
use crate::registry::Repository;

/// A page that nobody asked a size for.
const PAGE: usize = 1000;

pub(super) async fn list(repository: &Repository, wish: &PageWish) -> Result<Response, ApiError> {
    let limit = wish.limit.unwrap_or(PAGE);
    // n=0 asks for nothing, of a repository that must be there all the same.
    let mut page = repository.list_tags(wish.last.as_deref(), limit.max(1)).await?;
    page.tags.truncate(limit);
    let mut response =
        respond::json("application/json", &json!({"name": repository.name().as_str(), "tags": page.tags}));
    if let Some(last) = page.tags.last().filter(|_| page.more) {
        let next = format!("</v2/{}/tags/list?n={limit}&last={last}>; rel=\"next\"", repository.name());
        respond::set(response.headers_mut(), header::LINK, &next);
    }
    Ok(response)
}
