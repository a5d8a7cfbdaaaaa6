//! The way into a bucket: where it is, with which keys, and the tests' own look at what lies there.

use std::fmt;

use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, Response, StatusCode};

use super::signature::{Credentials, encode};
use super::{ANSWER, Implementation, Options};

/// Small, so that a test can fill more than one.
pub const PAGE: usize = 100;

/// The environment variable that gives a way into a bucket to a test executable: what `S3Access` shows. The core refuses
/// a variable that begins as its own do and is none.
pub const STORE: &str = "TEST_S3_STORE";

/// It outlives neither the server nor its bucket.
#[derive(Clone)]
pub struct S3Access {
    implementation: Implementation,
    endpoint: String,
    credentials: Credentials,
    bucket: String,
    http: reqwest::Client,
}

impl S3Access {
    pub(super) fn new(implementation: Implementation, endpoint: String) -> Self {
        Self {
            implementation,
            endpoint,
            credentials: Credentials::for_tests(implementation),
            bucket: "registry".to_owned(),
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        }
    }

    pub(super) fn with(mut self, options: &Options) -> Self {
        if let Some(region) = options.region {
            region.clone_into(&mut self.credentials.region);
        }
        if let Some(authority) = &options.authority {
            let pem = std::fs::read(authority.certificate()).expect("the authority's certificate");
            let trusted = reqwest::Certificate::from_pem(&pem).expect("a certificate");
            let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build();
            self.http = client.expect("a client");
        }
        self
    }

    /// The one that `STORE` tells, where somebody set it.
    pub fn from_environment() -> Option<Self> {
        let told = std::env::var(STORE).ok()?;
        let implementation =
            Implementation::ALL.into_iter().find(|one| told.starts_with(&format!("{one:?} ")));
        let (_, endpoint) = told.split_once(' ')?;
        let implementation = implementation.unwrap_or_else(|| panic!("{STORE}={told} names no server"));
        Some(Self::new(implementation, endpoint.to_owned()))
    }

    /// The same bucket behind something that stands before the server.
    #[must_use]
    pub fn reached_at(&self, url: &str) -> Self {
        Self { endpoint: url.to_owned(), ..self.clone() }
    }

    pub fn implementation(&self) -> Implementation {
        self.implementation
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn access_key(&self) -> &str {
        &self.credentials.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.credentials.secret_key
    }

    pub fn region(&self) -> &str {
        &self.credentials.region
    }

    /// What `access_key`, `secret_key` and `region` are parts of.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The one that the server has from the start.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// A signed request for a path and query as they go on the wire: `encode` makes a path of a key.
    pub async fn send(&self, method: Method, target: &str, body: Bytes) -> Response {
        let sent = self.attempt(method.clone(), target, body).await;
        sent.unwrap_or_else(|error| panic!("{method} {target}: {error:?}"))
    }

    /// The same, where no answer is to be expected.
    pub async fn attempt(&self, method: Method, target: &str, body: Bytes) -> reqwest::Result<Response> {
        let signed = self.credentials.sign(method.as_str(), &self.endpoint, target, &body);
        let url = format!("{}{target}", self.endpoint);
        // The client leaves the header out where a body is empty, and S3 refuses an object without it.
        let length = (method == Method::PUT || method == Method::POST).then_some(body.len());
        let mut request = self.http.request(method, url).timeout(ANSWER);
        if let Some(length) = length {
            request = request.header(CONTENT_LENGTH, length);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request.body(body).send().await
    }

    pub async fn put(&self, key: &str, body: impl Into<Bytes>) {
        let answer = self.send(Method::PUT, &self.target(key), body.into()).await;
        assert!(answer.status().is_success(), "PUT {key}: {}", answer.status());
    }

    /// None where there is no such object.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let answer = self.send(Method::GET, &self.target(key), Bytes::new()).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(answer.status().is_success(), "GET {key}: {}", answer.status());
        Some(answer.bytes().await.expect("a whole body"))
    }

    pub async fn delete(&self, key: &str) {
        let answer = self.send(Method::DELETE, &self.target(key), Bytes::new()).await;
        assert!(answer.status().is_success(), "DELETE {key}: {}", answer.status());
    }

    /// All keys in the bucket that begin so, in the server's order.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        self.sizes(prefix).await.into_iter().map(|(key, _)| key).collect()
    }

    /// The same, each with the size of its object.
    pub async fn sizes(&self, prefix: &str) -> Vec<(String, u64)> {
        let mut found: Vec<(String, u64)> = Vec::new();
        loop {
            let after = found.last().map(|(last, _)| format!("&start-after={}", encode(last, false)));
            let (after, prefix) = (after.unwrap_or_default(), encode(prefix, false));
            let target = format!("/{}?list-type=2&max-keys={PAGE}&prefix={prefix}{after}", self.bucket);
            let answer = self.send(Method::GET, &target, Bytes::new()).await;
            assert!(answer.status().is_success(), "list {prefix}: {}", answer.status());
            let page = answer.text().await.expect("a whole listing");
            let sizes = elements(&page, "Size").into_iter().map(|size| size.parse().expect("a size"));
            found.extend(elements(&page, "Key").into_iter().zip(sizes));
            if elements(&page, "IsTruncated") != ["true"] {
                return found;
            }
        }
    }

    fn target(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket, encode(key, true))
    }
}

/// The value of `STORE`: the bucket and the keys are the same for every server of an implementation.
impl fmt::Display for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.implementation, self.endpoint)
    }
}

/// The texts of the elements of this name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
    parts.map(|(text, _)| unescape(text)).collect()
}

fn unescape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&#34;", "\"").replace("&#39;", "'").replace("&apos;", "'").replace("&amp;", "&")
}
