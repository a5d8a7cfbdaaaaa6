//! Which extensions there are: `_oci/ext/discover` (distribution spec, extensions/_oci.md).

use axum::response::Response;
use serde_json::json;

use super::respond;
use crate::oci::RepositoryName;

const OCI: &str = "https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md";
const CATALOG: &str = "https://github.com/opencontainers/distribution-spec/blob/main/extensions/README.md";
const OWN: &str = "docs/http-api.md";

/// Of the registry, or of one repository.
pub(super) fn discover(repository: Option<&RepositoryName>) -> Response {
    let extension = |name: &str, url: &str, description: &str, endpoints: &[String]| json!({"name": name, "url": url, "description": description, "endpoints": endpoints});
    let base = repository.map_or_else(|| "/v2".to_owned(), |name| format!("/v2/{name}"));
    let discovery = extension("_oci", OCI, "lists the extensions", &[format!("{base}/_oci/ext/discover")]);
    let other = match repository {
        None => extension("_catalog", CATALOG, "lists the repositories", &["/v2/_catalog".to_owned()]),
        Some(_) => extension(
            "_longshore",
            OWN,
            "tells which of many digests the repository has, in one call",
            &[format!("{base}/_longshore/content/availability")],
        ),
    };
    respond::json("application/json", &json!({"extensions": [discovery, other]}))
}
