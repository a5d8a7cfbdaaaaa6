//! OpenStack's Identity API, version 3: a token for a project, and the catalogue that says where its object store is.

use std::time::Duration;

use longshore_driver_sdk::{DriverError, Reason, Result};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Granted;
use crate::config::{Config, Interface, Secret};
use crate::failure;

const WHAT: &str = "log in to Keystone";
/// Both have this id in every installation that Keystone's bootstrap made.
const DEFAULT_DOMAIN: &str = "default";
/// Names in a message.
const NAMED: usize = 20;

pub(crate) struct Login {
    http: reqwest::Client,
    /// Up to and with `/v3`.
    base: String,
    identity: Value,
    /// `None`: an application credential has its own.
    scope: Option<Value>,
    place: Place,
    who: Who,
}

/// For messages.
struct Who {
    kind: Kind,
    user: String,
    project: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Password,
    ApplicationCredential,
    Token,
}

/// Which of the catalogue's addresses.
struct Place {
    storage_url: Option<String>,
    region: Option<String>,
    interface: Interface,
}

impl Login {
    pub(crate) fn new(http: &reqwest::Client, config: &Config, url: &str) -> Result<Self> {
        let (kind, identity) = identity(config);
        let mut scope = scope(config);
        if kind == Kind::ApplicationCredential {
            scope = None;
        }
        let user_domain = config.user_domain.as_deref().unwrap_or(DEFAULT_DOMAIN);
        let user = format!("{} of the domain {user_domain}", config.user.as_deref().unwrap_or("?"));
        let project = match (&config.project_id, &config.project) {
            (Some(id), _) => format!("with the id {id}"),
            (None, Some(name)) => {
                let domain = config.project_domain.as_deref().unwrap_or(DEFAULT_DOMAIN);
                format!("{name} of the domain {domain}")
            }
            (None, None) => "that the login is for".to_owned(),
        };
        Ok(Self {
            http: http.clone(),
            base: base(url),
            identity,
            scope,
            place: Place {
                storage_url: config.storage_url.clone(),
                region: config.region.clone(),
                interface: config.interface.unwrap_or_default(),
            },
            who: Who { kind, user, project },
        })
    }

    pub(crate) async fn run(&self) -> Result<Granted> {
        let answer = self.ask(self.scope.as_ref()).await?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
                if self.is_keystone(&answer) =>
            {
                return Err(self.refused(&answer.status()).await);
            }
            status => return Err(self.failed(status, answer).await),
        }
        let token = answer.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        let token = token.map(str::to_owned).ok_or_else(|| self.no_keystone("there is no token in it"))?;
        let text = answer.bytes().await.map_err(|error| failure::unsent(WHAT, &self.base, &error))?;
        let body: Body =
            serde_json::from_slice(&text).map_err(|error| self.no_keystone(&error.to_string()))?;
        let url = self.place.find(&body.token.catalog, &self.who.project)?;
        Granted::new(&url, &token, lifetime(&body.token))
    }

    async fn ask(&self, scope: Option<&Value>) -> Result<reqwest::Response> {
        let mut auth = json!({ "identity": self.identity });
        if let Some(scope) = scope {
            auth["scope"] = scope.clone();
        }
        let request = self.http.post(format!("{}/auth/tokens", self.base)).json(&json!({ "auth": auth }));
        request.send().await.map_err(|error| failure::unsent(WHAT, &self.base, &error))
    }

    /// Any web server may answer 404.
    fn is_keystone(&self, answer: &reqwest::Response) -> bool {
        answer.status() != StatusCode::NOT_FOUND || answer.headers().contains_key("x-openstack-request-id")
    }

    /// Keystone says the same of a wrong password and of a wrong project. A login without a project tells them apart.
    async fn refused(&self, status: &StatusCode) -> DriverError {
        let say = |text: String| {
            DriverError::new(Reason::BackendCredentials, format!("{WHAT}: {text} ({})", status.as_u16()))
        };
        match self.who.kind {
            Kind::ApplicationCredential => {
                return say(
                    "there is no such application credential, it has expired, or its secret is another; \
                     mend `application_credential_id` and `application_credential_secret`"
                        .to_owned(),
                );
            }
            Kind::Token => {
                return say(format!(
                    "the token has expired, was revoked, or is not for the project {}; set another `token`",
                    self.who.project
                ));
            }
            Kind::Password => {}
        }
        let unscoped = match self.ask(Some(&json!("unscoped"))).await {
            Ok(answer) if answer.status().is_success() => answer,
            _ => {
                let user = &self.who.user;
                return say(format!(
                    "there is no user {user} with this password; mend `user`, `password` and `user_domain`"
                ));
            }
        };
        let projects = self.projects(&unscoped).await;
        let there = if projects.is_empty() { "none".to_owned() } else { projects.join(", ") };
        say(format!(
            "there is no project {} in which the user {} has a role; it has one in: {there}; mend `project` and `project_domain`",
            self.who.project, self.who.user
        ))
    }

    /// The projects that a user may log in to, for a message: nothing where that is not told.
    async fn projects(&self, unscoped: &reqwest::Response) -> Vec<String> {
        let Some(token) = unscoped.headers().get("x-subject-token") else { return Vec::new() };
        let request = self.http.get(format!("{}/auth/projects", self.base)).header("x-auth-token", token);
        let Ok(answer) = request.send().await else { return Vec::new() };
        let text = answer.bytes().await.unwrap_or_default();
        let projects: Projects = serde_json::from_slice(&text).unwrap_or_default();
        projects.projects.into_iter().map(|project| project.name).take(NAMED).collect()
    }

    async fn failed(&self, status: StatusCode, answer: reqwest::Response) -> DriverError {
        let text = answer.text().await.unwrap_or_default();
        let (status, text) = (status.as_u16(), failure::plain(&text));
        if status >= 500 || status == 429 {
            let message = format!("{WHAT}: {} failed ({status} {text})", self.base);
            return DriverError::new(Reason::BackendUnavailable, message);
        }
        self.no_keystone(&format!("{status} {text}"))
    }

    fn no_keystone(&self, problem: &str) -> DriverError {
        DriverError::new(
            Reason::BackendUnavailable,
            format!("{WHAT}: {} does not answer as Keystone does ({problem}); mend `auth_url`", self.base),
        )
    }
}

/// Up to and with `/v3`: people give more of it, or less.
fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/auth/tokens").unwrap_or(url);
    if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") }
}

fn domain(name: Option<&str>) -> Value {
    match name {
        // Its name is `Default`, and many write it as they find it.
        None => json!({ "id": DEFAULT_DOMAIN }),
        Some(name) if name.eq_ignore_ascii_case(DEFAULT_DOMAIN) => json!({ "id": DEFAULT_DOMAIN }),
        Some(name) => json!({ "name": name }),
    }
}

fn identity(config: &Config) -> (Kind, Value) {
    if let Some(token) = &config.token {
        return (Kind::Token, json!({ "methods": ["token"], "token": { "id": token.reveal() } }));
    }
    let user = || json!({ "name": config.user, "domain": domain(config.user_domain.as_deref()) });
    let secret = config.application_credential_secret.as_ref().map(Secret::reveal);
    let credential = match (&config.application_credential_id, &config.application_credential_name) {
        (Some(id), _) => json!({ "id": id, "secret": secret }),
        (None, Some(name)) => json!({ "name": name, "user": user(), "secret": secret }),
        (None, None) => {
            let mut user = user();
            user["password"] = json!(config.password.as_ref().map(Secret::reveal));
            return (Kind::Password, json!({ "methods": ["password"], "password": { "user": user } }));
        }
    };
    let identity = json!({ "methods": ["application_credential"], "application_credential": credential });
    (Kind::ApplicationCredential, identity)
}

fn scope(config: &Config) -> Option<Value> {
    match (&config.project_id, &config.project) {
        (Some(id), _) => Some(json!({ "project": { "id": id } })),
        (None, Some(name)) => {
            let domain = domain(config.project_domain.as_deref());
            Some(json!({ "project": { "name": name, "domain": domain } }))
        }
        (None, None) => None,
    }
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    issued_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    region_id: Option<String>,
    url: String,
}

impl Endpoint {
    fn region(&self) -> &str {
        self.region_id.as_deref().or(self.region.as_deref()).unwrap_or_default()
    }
}

#[derive(Default, Deserialize)]
struct Projects {
    projects: Vec<Project>,
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

/// By the server's clock alone.
fn lifetime(token: &Token) -> Option<Duration> {
    let time = |text: &Option<String>| text.as_deref()?.parse::<jiff::Timestamp>().ok();
    let span = time(&token.expires_at)?.duration_since(time(&token.issued_at)?);
    Some(Duration::try_from(span).unwrap_or_default())
}

impl Place {
    fn find(&self, catalog: &[Service], project: &str) -> Result<String> {
        if let Some(url) = &self.storage_url {
            return Ok(url.clone());
        }
        let refuse =
            |text: String| Err(DriverError::new(Reason::BackendCredentials, format!("{WHAT}: {text}")));
        let stores = catalog.iter().filter(|service| service.kind == "object-store");
        let endpoints: Vec<&Endpoint> = stores.flat_map(|service| &service.endpoints).collect();
        if endpoints.is_empty() {
            return refuse(format!(
                "the catalogue of the project {project} has no object-store; mend `project`, or set `storage_url`"
            ));
        }
        let interface = self.interface.as_str();
        let of_interface: Vec<&&Endpoint> =
            endpoints.iter().filter(|endpoint| endpoint.interface == interface).collect();
        let regions = |endpoints: &[&&Endpoint]| {
            let mut names: Vec<_> = endpoints.iter().map(|endpoint| endpoint.region().to_owned()).collect();
            names.sort();
            names.dedup();
            names
        };
        let there = regions(&of_interface);
        let found = of_interface
            .iter()
            .find(|endpoint| self.region.as_deref().is_none_or(|region| endpoint.region() == region));
        match (found, &self.region) {
            (Some(_), None) if there.len() > 1 => refuse(format!(
                "there is an object-store in several regions: {}; set `region` to one of them",
                there.join(", ")
            )),
            (Some(endpoint), _) => Ok(endpoint.url.clone()),
            (None, Some(region)) if !there.is_empty() => refuse(format!(
                "there is no object-store in the region {region}; there is one in: {}; mend `region`",
                there.join(", ")
            )),
            (None, _) => refuse(format!(
                "the object-store has no {interface} address in the catalogue; mend `interface`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOG: &str = r#"{"token": {"methods": ["password"], "issued_at": "2026-11-26T04:54:03.000000Z",
        "expires_at": "2026-11-26T05:54:03.000000Z", "catalog": [
        {"type": "identity", "name": "keystone", "endpoints": [
            {"interface": "public", "region_id": "one", "region": "one", "url": "http://k/v3"}]},
        {"type": "object-store", "name": "swift", "endpoints": [
            {"interface": "public", "region_id": "one", "region": "one", "url": "http://one/v1/AUTH_p"},
            {"interface": "internal", "region_id": "one", "region": "one", "url": "http://in/v1/AUTH_p"},
            {"interface": "public", "region": "two", "url": "http://two/v1/AUTH_p"}]}]}}"#;

    fn find(region: Option<&str>, interface: Interface) -> Result<String> {
        let body: Body = serde_json::from_str(CATALOG).unwrap();
        let place = Place { storage_url: None, region: region.map(str::to_owned), interface };
        place.find(&body.token.catalog, "p")
    }

    #[test]
    fn an_address_is_found_by_region_and_interface() {
        assert_eq!(find(Some("one"), Interface::Public).unwrap(), "http://one/v1/AUTH_p");
        assert_eq!(find(Some("two"), Interface::Public).unwrap(), "http://two/v1/AUTH_p");
        assert_eq!(find(None, Interface::Internal).unwrap(), "http://in/v1/AUTH_p");
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let said = |region, interface| find(region, interface).unwrap_err().message().to_owned();
        assert!(said(Some("three"), Interface::Public).contains("there is one in: one, two"));
        assert!(said(None, Interface::Public).contains("several regions: one, two"));
        assert!(said(None, Interface::Admin).contains("no admin address"));
        let place = Place { storage_url: None, region: None, interface: Interface::Public };
        assert!(place.find(&[], "p").unwrap_err().message().contains("has no object-store"));
        let place = Place { storage_url: Some("http://set".to_owned()), ..place };
        assert_eq!(place.find(&[], "p").unwrap(), "http://set");
    }

    #[test]
    fn a_life_is_counted_by_the_clock_of_the_server() {
        let body: Body = serde_json::from_str(CATALOG).unwrap();
        assert_eq!(lifetime(&body.token), Some(Duration::from_secs(3600)));
        let over =
            Token { issued_at: body.token.expires_at, expires_at: body.token.issued_at, catalog: vec![] };
        assert_eq!(lifetime(&over), Some(Duration::ZERO));
    }

    #[test]
    fn a_url_is_taken_with_or_without_its_version() {
        for url in ["http://k", "http://k/v3", "http://k/v3/", "http://k/v3/auth/tokens"] {
            assert_eq!(base(url), "http://k/v3");
        }
    }

    #[test]
    fn each_way_to_log_in_is_written_as_keystone_reads_it() {
        let config = |text: &str| -> Config { toml::from_str(&format!("container = 'c'\n{text}")).unwrap() };
        let (_, password) = identity(&config("user = 'u'\npassword = 'p'\nuser_domain = 'd'"));
        let user = json!({ "name": "u", "password": "p", "domain": { "name": "d" } });
        assert_eq!(password, json!({ "methods": ["password"], "password": { "user": user } }));
        let credential = config("application_credential_id = 'i'\napplication_credential_secret = 's'");
        assert_eq!(identity(&credential).1["application_credential"], json!({ "id": "i", "secret": "s" }));
        let credential = config(
            "application_credential_name = 'n'\napplication_credential_secret = 's'\nuser = 'u'\nuser_domain = 'Default'",
        );
        assert_eq!(
            identity(&credential).1["application_credential"],
            json!({ "name": "n", "secret": "s", "user": { "name": "u", "domain": { "id": "default" } } })
        );
        assert_eq!(identity(&config("token = 't'")).1["token"], json!({ "id": "t" }));
        assert_eq!(
            scope(&config("project = 'p'")),
            Some(json!({ "project": { "name": "p", "domain": { "id": "default" } } }))
        );
        assert_eq!(scope(&config("project_id = 'i'")), Some(json!({ "project": { "id": "i" } })));
    }
}
