//! A client of the distribution API, in the words of the specification.

use std::path::Path;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use crate::digest::sha256;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// Why a request of a helper did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no whole answer: {0:?}")]
    Transport(#[from] reqwest::Error),
    #[error("{what}: {status}: {body}")]
    Status { what: String, status: StatusCode, body: String },
    #[error("{0}")]
    Answer(String),
}

impl Failure {
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Transport(_) | Self::Answer(_) => None,
        }
    }
}

impl Client {
    /// Direct, whatever proxies the environment names; no redirects are followed.
    pub fn new(url: &str) -> Self {
        Self::trusting(url, None)
    }

    /// Over TLS with the authority in this PEM file and no other; over a unix socket with `unix:///path`.
    pub fn trusting(url: &str, authority: Option<&Path>) -> Self {
        Self::built(url, authority, |builder| builder)
    }

    /// With settings of the test's own, HTTP/2 among them.
    pub fn built(
        url: &str,
        authority: Option<&Path>,
        set: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Self {
        let mut builder =
            set(reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()));
        if let Some(path) = authority {
            let pem = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(&pem).expect("a certificate")]);
        }
        let url = match url.strip_prefix("unix://") {
            Some(path) => {
                builder = builder.unix_socket(Path::new(path));
                "http://localhost".to_owned()
            }
            None => url.to_owned(),
        };
        Self { http: builder.build().expect("an HTTP client"), url }
    }

    /// A request for a path (`/v2/...`) or for a Location as the registry gave it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        if path.starts_with("http://") || path.starts_with("https://") {
            return self.http.request(method, path);
        }
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub async fn head_blob(&self, repository: &str, digest: &str) -> reqwest::Result<Response> {
        self.request(Method::HEAD, &blob_path(repository, digest)).send().await
    }

    pub async fn get_blob(&self, repository: &str, digest: &str) -> Result<Bytes, Failure> {
        let response = self.get(&blob_path(repository, digest)).send().await?;
        Ok(expect(StatusCode::OK, "GET blob", response).await?.bytes().await?)
    }

    pub async fn get_blob_range(
        &self,
        repository: &str,
        digest: &str,
        range: &str,
    ) -> reqwest::Result<Response> {
        self.get(&blob_path(repository, digest)).header(RANGE, range).send().await
    }

    /// POST: a new upload session; gives its location.
    pub async fn start_upload(&self, repository: &str) -> Result<String, Failure> {
        let response = self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send().await?;
        location(&expect(StatusCode::ACCEPTED, "POST upload", response).await?)
    }

    /// PATCH of one chunk with Content-Range; gives the next location and the durable offset.
    pub async fn patch(&self, location: &str, offset: u64, chunk: Bytes) -> Result<(String, u64), Failure> {
        let response = self.patch_request(location, offset, chunk).send().await?;
        let response = expect(StatusCode::ACCEPTED, "PATCH", response).await?;
        Ok((self::location(&response)?, durable_offset(response.headers())?))
    }

    pub fn patch_request(&self, location: &str, offset: u64, chunk: Bytes) -> RequestBuilder {
        let last = (offset + chunk.len() as u64).saturating_sub(1);
        let request =
            self.request(Method::PATCH, location).header("Content-Range", format!("{offset}-{last}"));
        request.header(CONTENT_TYPE, "application/octet-stream").body(chunk)
    }

    /// GET of the session: where it goes on, and the durable offset.
    pub async fn upload_status(&self, location: &str) -> Result<(String, u64), Failure> {
        let response = self.get(location).send().await?;
        let response = expect(StatusCode::NO_CONTENT, "GET upload", response).await?;
        Ok((self::location(&response)?, durable_offset(response.headers())?))
    }

    /// PUT that ends the session under this digest.
    pub async fn finish_upload(&self, location: &str, digest: &str) -> Result<(), Failure> {
        let response = self.request(Method::PUT, &finish_path(location, digest)).send().await?;
        expect(StatusCode::CREATED, "PUT upload", response).await.map(drop)
    }

    /// The same with the last chunk.
    pub async fn finish_upload_with(&self, location: &str, digest: &str, rest: Bytes) -> Result<(), Failure> {
        let response = self.request(Method::PUT, &finish_path(location, digest)).body(rest).send().await?;
        expect(StatusCode::CREATED, "PUT upload", response).await.map(drop)
    }

    /// POST, PATCH, PUT; gives the digest.
    pub async fn push_blob(&self, repository: &str, content: impl Into<Bytes>) -> Result<String, Failure> {
        let content = content.into();
        let digest = sha256(&content);
        let location = self.start_upload(repository).await?;
        let (location, durable) = self.patch(&location, 0, content.clone()).await?;
        if durable != content.len() as u64 {
            return Err(Failure::Answer(format!("{durable} bytes durable of {}", content.len())));
        }
        self.finish_upload(&location, &digest).await?;
        Ok(digest)
    }

    pub async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: impl Into<Bytes>,
    ) -> Result<Response, Failure> {
        let request = self.request(Method::PUT, &manifest_path(repository, reference));
        let response = request.header(CONTENT_TYPE, media_type).body(manifest.into()).send().await?;
        expect(StatusCode::CREATED, "PUT manifest", response).await
    }

    /// The manifest's bytes as the registry keeps them.
    pub async fn get_manifest(&self, repository: &str, reference: &str) -> Result<Bytes, Failure> {
        let response = self.get(&manifest_path(repository, reference)).send().await?;
        Ok(expect(StatusCode::OK, "GET manifest", response).await?.bytes().await?)
    }
}

/// An image manifest of one configuration and these layers (digest, size).
pub fn image_manifest(config: (&str, u64), layers: &[(&str, u64)]) -> Bytes {
    let descriptor = |media_type: &str, (digest, size): (&str, u64)| serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size });
    let layers: Vec<_> = layers.iter().map(|layer| descriptor(OCI_LAYER, *layer)).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": layers,
    });
    Bytes::from(manifest.to_string())
}

pub fn blob_path(repository: &str, digest: &str) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

pub fn manifest_path(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

/// A location may already carry a query.
pub fn finish_path(location: &str, digest: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

pub async fn expect(status: StatusCode, what: &str, response: Response) -> Result<Response, Failure> {
    if response.status() == status {
        return Ok(response);
    }
    let (what, status) = (format!("{what} {}", response.url()), response.status());
    let body = response.text().await.unwrap_or_else(|error| error.to_string());
    Err(Failure::Status { what, status, body })
}

pub fn location(response: &Response) -> Result<String, Failure> {
    let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    header.map(str::to_owned).ok_or_else(|| Failure::Answer(format!("no Location: {response:?}")))
}

/// `Range: 0-N` of an upload counts the byte N; a session without a byte says `0-0` or has no Range.
pub fn durable_offset(headers: &HeaderMap) -> Result<u64, Failure> {
    let Some(range) = headers.get(RANGE) else { return Ok(0) };
    let range = range.to_str().unwrap_or_default();
    offset_of_range(range).ok_or_else(|| Failure::Answer(format!("Range: {range:?}")))
}

pub fn offset_of_range(range: &str) -> Option<u64> {
    let last: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
