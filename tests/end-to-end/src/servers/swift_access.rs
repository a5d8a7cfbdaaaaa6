//! The way into a container by Swift's own API: where it is, who asks, and the tests' own look at what lies there.

mod environment;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::login::{Login, Place, Session};
use super::{ANSWER, PAGE, encode};
pub use environment::SWIFT_STORE;

/// What speaks Swift's API here, and how it knows who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// OpenStack Swift that knows its users itself.
    SwiftTempauth,
    /// OpenStack Swift that asks Keystone who somebody is.
    SwiftKeystone,
    /// Ceph's RGW: auth at /auth/v1.0, storage at /swift/v1, capabilities at /swift/info.
    RgwSwift,
}

impl Flavour {
    pub const ALL: [Self; 3] = [Self::SwiftTempauth, Self::SwiftKeystone, Self::RgwSwift];
}

/// It outlives neither the server nor its container.
#[derive(Clone)]
pub struct SwiftAccess {
    flavour: Flavour,
    auth_url: String,
    storage_url: String,
    /// The server would tell another one to who authenticates.
    storage_url_is_told: bool,
    login: Login,
    /// In Keystone's catalogue.
    place: Option<Place>,
    container: String,
    /// Of the tests' own requests.
    token: Arc<Mutex<Option<String>>>,
    http: reqwest::Client,
}

impl SwiftAccess {
    /// `auth_url` is where to authenticate: with `/auth/v1.0` or `/v3` at its end.
    pub(super) fn new(flavour: Flavour, auth_url: String, storage_url: String, login: Login) -> Self {
        Self {
            flavour,
            auth_url,
            storage_url,
            storage_url_is_told: false,
            login,
            place: None,
            container: "registry".to_owned(),
            token: Arc::default(),
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        }
    }

    /// The endpoint of Keystone's catalogue that is meant.
    #[must_use]
    pub fn at_place(&self, region: &str, interface: &str) -> Self {
        let place = Place { region: region.to_owned(), interface: interface.to_owned() };
        Self { place: Some(place), ..self.clone() }
    }

    /// The same container behind something that stands before the server. Keystone is asked where it is.
    #[must_use]
    pub fn reached_at(&self, url: &str) -> Self {
        let moved = |from: &str| format!("{url}{}", path_of(from));
        let auth_url = match self.flavour {
            Flavour::SwiftKeystone => self.auth_url.clone(),
            Flavour::SwiftTempauth | Flavour::RgwSwift => moved(&self.auth_url),
        };
        let storage_url = moved(&self.storage_url);
        Self { auth_url, storage_url, storage_url_is_told: true, ..self.clone() }
    }

    /// The same place for somebody else.
    #[must_use]
    pub fn as_user(&self, login: Login) -> Self {
        Self { login, token: Arc::default(), ..self.clone() }
    }

    /// Another container, which may not be there.
    #[must_use]
    pub fn in_container(&self, name: &str) -> Self {
        Self { container: name.to_owned(), ..self.clone() }
    }

    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    pub fn auth_url(&self) -> &str {
        &self.auth_url
    }

    /// `http://127.0.0.1:PORT/v1/ACCOUNT`, and RGW's without an account.
    pub fn storage_url(&self) -> &str {
        &self.storage_url
    }

    /// `http://127.0.0.1:PORT`, of the storage.
    pub fn endpoint(&self) -> &str {
        &self.storage_url[..self.storage_url.len() - path_of(&self.storage_url).len()]
    }

    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The one that the server has from the start, unless `in_container` named another.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// What a driver is told, as KEY=VALUE.
    pub fn settings(&self) -> Vec<String> {
        let mut settings = vec![format!("auth_url={}", self.auth_url)];
        settings.extend(self.login.settings());
        if let Some(Place { region, interface }) = &self.place {
            settings.extend([format!("region={region}"), format!("interface={interface}")]);
        }
        if self.storage_url_is_told {
            settings.push(format!("storage_url={}", self.storage_url));
        }
        settings.push(format!("container={}", self.container));
        settings
    }

    /// Asks for a new token. An error is the status of a refusal.
    pub async fn authenticate(&self) -> Result<Session, StatusCode> {
        self.login.authenticate(&self.http, &self.auth_url, self.place.as_ref()).await
    }

    /// What the server says that it can do: `/info`, and `/swift/info` of RGW.
    pub async fn capabilities(&self) -> serde_json::Value {
        let info = if self.flavour == Flavour::RgwSwift { "/swift/info" } else { "/info" };
        let answer = self.http.get(format!("{}{info}", self.endpoint())).timeout(ANSWER).send().await;
        answer.expect("an answer").json().await.expect("capabilities")
    }

    /// A request under the storage URL, with a token; with a new one where the server refuses the one that was used.
    /// `encode` makes a path of a name.
    pub async fn send(&self, method: Method, target: &str, body: Bytes) -> Response {
        let sent = self.attempt(method.clone(), target, body, &[]).await;
        sent.unwrap_or_else(|why| panic!("{method} {target}: {why}"))
    }

    /// The same with headers, where no answer is to be expected.
    pub async fn attempt(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        headers: &[(&'static str, &str)],
    ) -> Result<Response, String> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = known {
            let answer = self.request(method.clone(), target, &token, body.clone(), headers).send().await;
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
        }
        let session = self.login.attempt(&self.http, &self.auth_url, self.place.as_ref()).await?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.token.clone());
        let answer = self.request(method, target, &session.token, body, headers).send().await;
        answer.map_err(|error| format!("{error:?}"))
    }

    /// A request with exactly this token.
    pub fn request(
        &self,
        method: Method,
        target: &str,
        token: &str,
        body: Bytes,
        headers: &[(&'static str, &str)],
    ) -> RequestBuilder {
        let value = |text: &str| HeaderValue::from_str(text).expect("a header's value");
        let mut all: HeaderMap =
            headers.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect();
        all.insert("x-auth-token", value(token));
        if method == Method::PUT || method == Method::POST {
            // The client leaves it out where a body is empty, and Swift asks for it.
            all.insert(CONTENT_LENGTH, body.len().into());
        }
        self.http
            .request(method, format!("{}{target}", self.storage_url))
            .timeout(ANSWER)
            .headers(all)
            .body(body)
    }

    pub async fn create_container(&self) {
        let created = self.send(Method::PUT, &format!("/{}", self.container), Bytes::new()).await;
        assert!(created.status().is_success(), "create {}: {}", self.container, created.status());
    }

    /// With all that is in it.
    pub async fn delete_container(&self) {
        self.delete_all().await;
        let deleted = self.send(Method::DELETE, &format!("/{}", self.container), Bytes::new()).await;
        assert!(deleted.status().is_success(), "delete {}: {}", self.container, deleted.status());
    }

    /// Sets headers of the container: its quota, its access lists.
    pub async fn update_container(&self, headers: &[(&'static str, &str)]) {
        let target = format!("/{}", self.container);
        let answer = self.attempt(Method::POST, &target, Bytes::new(), headers).await;
        let status = answer.unwrap_or_else(|why| panic!("POST {target}: {why}")).status();
        assert!(status.is_success(), "POST {target}: {status}");
    }

    /// More than so many bytes in the container are refused with 413. Swift counts what it has heard of so far.
    pub async fn set_quota(&self, bytes: u64) {
        self.update_container(&[("x-container-meta-quota-bytes", &bytes.to_string())]).await;
    }

    pub async fn lift_quota(&self) {
        self.update_container(&[("x-remove-container-meta-quota-bytes", "x")]).await;
    }

    pub async fn put(&self, name: &str, body: impl Into<Bytes>) {
        let answer = self.send(Method::PUT, &self.target(name), body.into()).await;
        assert!(answer.status().is_success(), "PUT {name}: {}", answer.status());
    }

    /// An object, the content of its segments if it is a manifest. None where there is no such object.
    pub async fn get(&self, name: &str) -> Option<Bytes> {
        self.got(&self.target(name)).await
    }

    /// What a manifest says, in the server's own JSON; None: it is a plain object. RGW answers with nothing.
    pub async fn manifest(&self, name: &str) -> Option<String> {
        if !self.head(name).await?.contains_key("x-static-large-object") {
            return None;
        }
        let said = self.got(&format!("{}?multipart-manifest=get", self.target(name))).await?;
        (!said.is_empty()).then(|| String::from_utf8(said.into()).expect("text"))
    }

    async fn got(&self, target: &str) -> Option<Bytes> {
        let answer = self.send(Method::GET, target, Bytes::new()).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(answer.status().is_success(), "GET {target}: {}", answer.status());
        Some(answer.bytes().await.expect("a whole body"))
    }

    /// The headers of an object. None where there is none.
    pub async fn head(&self, name: &str) -> Option<HeaderMap> {
        let answer = self.send(Method::HEAD, &self.target(name), Bytes::new()).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(answer.status().is_success(), "HEAD {name}: {}", answer.status());
        Some(answer.headers().clone())
    }

    /// Of a manifest, the manifest alone.
    pub async fn delete(&self, name: &str) {
        let answer = self.send(Method::DELETE, &self.target(name), Bytes::new()).await;
        assert!(answer.status().is_success(), "DELETE {name}: {}", answer.status());
    }

    /// All that the container lists, segments too.
    pub async fn delete_all(&self) {
        for name in self.names("").await {
            let answer = self.send(Method::DELETE, &self.target(&name), Bytes::new()).await;
            let gone = answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND;
            assert!(gone, "DELETE {name}: {}", answer.status());
        }
    }

    /// All names in the container that begin so, those of segments too, in the server's order.
    pub async fn names(&self, prefix: &str) -> Vec<String> {
        self.sizes(prefix).await.into_iter().map(|(name, _)| name).collect()
    }

    /// The same, each with the size that the listing gives: of a manifest Swift gives its object's, RGW its own.
    pub async fn sizes(&self, prefix: &str) -> Vec<(String, u64)> {
        let entries = self.entries(prefix, PAGE).await.into_iter();
        let size = |entry: &serde_json::Value| entry["bytes"].as_u64().expect("a size");
        entries.map(|entry| (name_of(&entry).to_owned(), size(&entry))).collect()
    }

    /// The entries of the container's JSON listing as they are, by pages of so many.
    pub(crate) async fn entries(&self, prefix: &str, page: usize) -> Vec<serde_json::Value> {
        self.try_entries(prefix, page).await.unwrap_or_else(|why| panic!("list {prefix}: {why}"))
    }

    /// The same, where no answer is to be expected.
    pub(crate) async fn try_entries(
        &self,
        prefix: &str,
        page: usize,
    ) -> Result<Vec<serde_json::Value>, String> {
        let mut found: Vec<serde_json::Value> = Vec::new();
        loop {
            let marker = found.last().map(|last| format!("&marker={}", encode(name_of(last), false)));
            let (marker, prefix) = (marker.unwrap_or_default(), encode(prefix, false));
            let target = format!("/{}?format=json&limit={page}&prefix={prefix}{marker}", self.container);
            let answer = self.attempt(Method::GET, &target, Bytes::new(), &[]).await?;
            if !answer.status().is_success() {
                return Err(answer.status().to_string());
            }
            let listing = answer.json::<Vec<serde_json::Value>>().await;
            let listing = listing.map_err(|error| format!("{error:?}"))?;
            let is_last = listing.len() < page;
            found.extend(listing);
            if is_last {
                return Ok(found);
            }
        }
    }

    fn target(&self, name: &str) -> String {
        format!("/{}/{}", self.container, encode(name, true))
    }
}

fn name_of(entry: &serde_json::Value) -> &str {
    entry["name"].as_str().expect("an entry's name")
}

/// Of a URL, from the slash after the port.
pub(crate) fn path_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url[after_scheme..].find('/').map_or("", |at| &url[after_scheme + at..])
}
