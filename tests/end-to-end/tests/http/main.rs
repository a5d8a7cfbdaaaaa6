//! HTTP behaviour, one file for each section of the distribution specification, against the release binaries.

mod bad_input;
mod blobs;
mod catalog;
mod documented;
mod errors;
mod extensions;
mod manifests;
mod over_s3;
mod over_swift;
mod preconditions;
mod redirects;
mod referrers;
mod tags;
mod uploads;

use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST, image_manifest};
use longshore_end_to_end::{Client, sha256};
use reqwest::Response;

const REPOSITORY: &str = "team/app";

/// The code of the first error in a body.
async fn code(response: Response) -> String {
    let text = response.text().await.expect("a body");
    let body: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let message = body["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "an error says what happened: {text}");
    body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Where the next page is, as the header Link tells it.
fn follow(response: &Response) -> Option<String> {
    let link = header(response, "link");
    if link.is_empty() {
        return None;
    }
    let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    Some(next.unwrap_or_else(|| panic!("a Link to the next page: {link}")).to_owned())
}

/// A small image with a layer of this text, pushed under a tag; gives the manifest's bytes.
async fn push_image(client: &Client, repository: &str, tag: &str, layer: &str) -> bytes::Bytes {
    let config = client.push_blob(repository, "{}").await.expect("config");
    let digest = client.push_blob(repository, layer.to_owned()).await.expect("layer");
    let manifest = image_manifest((&config, 2), &[(&digest, layer.len() as u64)]);
    client.put_manifest(repository, tag, OCI_MANIFEST, manifest.clone()).await.expect("manifest");
    manifest
}

fn index_of(children: &[&bytes::Bytes]) -> bytes::Bytes {
    let manifests: Vec<_> = children
        .iter()
        .map(|child| serde_json::json!({"mediaType": OCI_MANIFEST, "digest": sha256(child), "size": child.len()}))
        .collect();
    serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string().into()
}

fn sha512(content: &[u8]) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha512::digest(content);
    format!("sha512:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
