//! `/healthz`: the process lives. `/readyz`: every storage can be used. Neither asks a driver, nor for a login.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::respond;
use crate::registry::Registry;

pub(super) async fn alive() -> Response {
    respond::empty(StatusCode::OK)
}

/// Names the storages and the reason by its code; what a driver wrote about it stands in the log.
pub(super) async fn ready(State(registry): State<Arc<Registry>>) -> Response {
    let health = registry.health();
    let ready = health.iter().all(|(_, problem)| problem.is_none());
    let storages: Map<String, Value> = health
        .into_iter()
        .map(|(name, problem)| (name.to_owned(), json!(problem.unwrap_or("READY"))))
        .collect();
    let mut response = respond::json("application/json", &json!({"ready": ready, "storages": storages}));
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
