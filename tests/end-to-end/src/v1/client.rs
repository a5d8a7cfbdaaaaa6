//! Pushes images as docker 1.3 did: `PUT json`, `layer` and `checksum` of each image, then the tags, then the list of images.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Image;

const DOCKER: &str = "docker/1.3.0 go/go1.3.3 kernel/3.16.0 os/linux arch/amd64";

pub struct Client {
    url: String,
    http: reqwest::Client,
}

/// A repository that is pushed to, with the token that was given out for it.
pub struct Push<'a> {
    client: &'a Client,
    repository: String,
    token: HeaderValue,
    pushed: Vec<Value>,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().user_agent(DOCKER).build().expect("a client");
        Self { url: url.to_owned(), http }
    }

    /// `NAMESPACE/NAME`.
    pub async fn push(&self, repository: &str) -> Push<'_> {
        let target = format!("/v1/repositories/{repository}/");
        let answer = self.put(&target, b"[]".to_vec(), token_wanted()).await;
        let token = answer.headers().get("x-docker-token").expect("a token").clone();
        Push { client: self, repository: repository.to_owned(), token, pushed: Vec::new() }
    }

    /// Sets a flag, which is a file of the repository's.
    pub async fn make_private(&self, repository: &str) {
        let target = format!("/v1/repositories/{repository}/properties");
        drop(self.put(&target, br#"{"access": "private"}"#.to_vec(), HeaderMap::new()).await);
    }

    /// What the registry itself says of a repository's tags.
    pub async fn tags(&self, repository: &str) -> Value {
        let target = format!("{}/v1/repositories/{repository}/tags", self.url);
        let answer = self.http.get(target).send().await.expect("an answer of the V1 registry");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    async fn put(&self, target: &str, body: Vec<u8>, headers: HeaderMap) -> reqwest::Response {
        let request = self.http.request(Method::PUT, format!("{}{target}", self.url)).headers(headers);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{target}: {error:?}"));
        let status = answer.status();
        if !matches!(status, StatusCode::OK | StatusCode::NO_CONTENT) {
            panic!("{target}: {status} {}", answer.text().await.unwrap_or_default());
        }
        answer
    }
}

impl Push<'_> {
    pub async fn image(&mut self, image: &Image) {
        self.image_without_checksum(image).await;
        let mut headers = self.headers();
        let sum = HeaderValue::from_str(&image.checksum()).expect("a header");
        headers.insert("x-docker-checksum-payload", sum);
        let target = format!("/v1/images/{}/checksum", image.id);
        drop(self.client.put(&target, Vec::new(), headers).await);
    }

    /// As far as a push comes that is broken off before its checksum: the registry keeps `_inprogress`.
    pub async fn image_without_checksum(&mut self, image: &Image) {
        let folder = format!("/v1/images/{}", image.id);
        drop(self.client.put(&format!("{folder}/json"), image.json.clone(), self.headers()).await);
        drop(self.client.put(&format!("{folder}/layer"), image.layer.clone(), self.headers()).await);
        self.pushed.push(json!({"id": image.id, "checksum": image.checksum()}));
    }

    pub async fn tag(&self, tag: &str, image: &Image) {
        let target = format!("/v1/repositories/{}/tags/{tag}", self.repository);
        let id = Value::from(image.id.as_str()).to_string();
        drop(self.client.put(&target, id.into_bytes(), self.headers()).await);
    }

    pub async fn finish(self) {
        let target = format!("/v1/repositories/{}/images", self.repository);
        let images = Value::from(self.pushed.clone()).to_string();
        drop(self.client.put(&target, images.into_bytes(), self.headers()).await);
    }

    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(reqwest::header::AUTHORIZATION, self.token.clone())])
    }
}

fn token_wanted() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-docker-token", HeaderValue::from_static("true"));
    headers
}
