//! `/metrics`, in the format that Prometheus scrapes. It tells of all storages: for those who may read all of them.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::error::{ApiError, RequestProblem};
use crate::metrics::{CONTENT_TYPE, Metrics};

pub(super) fn text(metrics: &Metrics) -> Result<Response, ApiError> {
    let text = metrics.text().map_err(|error| RequestProblem::Unwritable(error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
