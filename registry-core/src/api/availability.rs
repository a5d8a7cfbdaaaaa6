//! Which of many digests a repository has, in one call: the extension `_longshore/content/availability`. Its shape is that
//! of ECR's `BatchCheckLayerAvailability` (docs/adr/0016).

use std::collections::BTreeSet;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};

use super::error::{ApiError, RequestProblem};
use super::respond;
use crate::oci::{Digest, ErrorCode};
use crate::registry::Repository;
use crate::registry::availability::Available;

/// As many digests as one call may ask for.
const MAX_DIGESTS: usize = 1000;
/// Room for so many of the longest digests.
const MAX_BODY: usize = 256 * 1024;
/// Digests looked up at once for one call: the driver has other callers.
const LOOKS_AT_ONCE: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    digests: Vec<String>,
}

#[derive(Serialize, Default)]
struct Answer {
    available: Vec<Found>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    digest: Digest,
    size: u64,
    media_type: String,
}

#[derive(Serialize)]
struct Failure {
    digest: String,
    code: &'static str,
    reason: String,
}

/// With `lease`, for who may push next.
pub(super) async fn check(
    repository: &Repository,
    request: Request,
    lease: bool,
) -> Result<Response, ApiError> {
    let digests = asked(request).await?;
    let looks: Vec<_> = digests.into_iter().map(|digest| look(repository, digest, lease)).collect();
    let looks: Vec<_> = futures_util::stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
    let mut answer = Answer::default();
    for look in looks {
        match look {
            Ok(found) => answer.available.push(found),
            Err(failure) => answer.failures.push(failure),
        }
    }
    respond::serialized("application/json", &answer)
}

/// Each digest once.
async fn asked(request: Request) -> Result<BTreeSet<String>, ApiError> {
    require_json(request.headers())?;
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            return Err(RequestProblem::BodyTooLarge { limit: MAX_BODY }.into());
        }
        Err(error) => return Err(RequestProblem::Body(error.to_string()).into()),
    };
    let asked: Asked =
        serde_json::from_slice(&body).map_err(|error| RequestProblem::Json(error.to_string()))?;
    if asked.digests.len() > MAX_DIGESTS {
        return Err(RequestProblem::TooManyDigests { limit: MAX_DIGESTS }.into());
    }
    Ok(asked.digests.into_iter().collect())
}

/// A browser sends other types to foreign hosts without asking them first.
fn require_json(headers: &HeaderMap) -> Result<(), RequestProblem> {
    let value = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(RequestProblem::NotJson(essence.chars().take(80).collect()))
}

async fn look(
    repository: &Repository,
    text: String,
    lease: bool,
) -> Result<Result<Found, Failure>, ApiError> {
    let digest: Digest = match text.parse() {
        Ok(digest) => digest,
        Err(error) => {
            let (digest, code) = (text.chars().take(160).collect(), ErrorCode::DigestInvalid.as_str());
            return Ok(Err(Failure { digest, code, reason: format!("{error}") }));
        }
    };
    Ok(match repository.availability(&digest, lease).await? {
        Some(Available::Blob { size }) => {
            Ok(Found { digest, size, media_type: "application/octet-stream".to_owned() })
        }
        Some(Available::Manifest { size, media_type }) => Ok(Found { digest, size, media_type }),
        None => {
            let reason = format!("neither a blob nor a manifest {digest} is in this repository");
            Err(Failure { digest: text, code: ErrorCode::BlobUnknown.as_str(), reason })
        }
    })
}
