//! OpenStack Keystone over a store of its own, and its administrator: domains, projects, users, the catalogue, revocations.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::login::Login;
use super::running::{Prepared, Running};
use super::{ANSWER, Port, SwiftOptions, provided};
use crate::scratch;

const VENV: &str = "keystone-30.0.0";
/// The only one whom the provided store knows.
const ADMINISTRATOR: (&str, &str) = ("admin", "administering");
/// The domain that every Keystone has, by its id.
const DEFAULT: &str = "default";

/// The regions of the catalogue: Swift is in the first, and nobody listens where the other one's is said to be.
pub const REGIONS: [&str; 2] = ["north", "south"];
const NOBODY: &str = "http://127.0.0.1:9";

/// Users and projects are in a domain each, and no domain is the default one.
const USER_DOMAIN: &str = "people";
const PROJECT_DOMAIN: &str = "places";
const PROJECT: &str = "registry";

/// It runs until it is dropped.
pub struct Keystone {
    running: Running,
    url: String,
    http: reqwest::Client,
    /// Its administrator's token.
    token: Mutex<Option<String>>,
}

/// A project with an account in Swift, who owns that, and somebody who may do nothing there yet.
pub(super) struct Tenant {
    pub(super) project: String,
    pub(super) owner: Login,
    pub(super) guest: Login,
    /// What the guest is called in access lists.
    pub(super) guest_in_lists: String,
}

impl Keystone {
    /// Does not wait for it.
    pub(super) fn spawn(options: &SwiftOptions) -> Self {
        let (data, port) = (scratch::data_directory(), Port::reserve());
        let url = format!("http://127.0.0.1:{}", port.number());
        configure(data.path(), &url, options);
        let mut front = Command::new(provided(VENV).join("bin/python"));
        front.args(["-W", "ignore", "-c", include_str!("keystone/serve.py"), &port.number().to_string()]);
        let configuration = data.path().join("keystone.conf");
        front.env("OS_KEYSTONE_CONFIG_DIR", data.path()).env("OS_KEYSTONE_CONFIG_FILES", configuration);
        front.env("PYTHONDONTWRITEBYTECODE", "1");
        let prepared = Prepared { name: "keystone", front, behind: Vec::new(), ports: vec![port] };
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self {
            running: Running::start(prepared, data),
            url: format!("{url}/v3"),
            http,
            token: Mutex::default(),
        }
    }

    /// With `/v3` at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills it: connections are refused. The tokens that it gave out are good again when it is back.
    pub fn stop(&mut self) {
        self.running.stop();
    }

    /// After `stop`: at the same address, with all that it knew.
    pub async fn start_again(&mut self) {
        self.running.start_again();
        self.await_answer().await;
    }

    pub fn pause(&self) {
        self.running.pause();
    }

    pub fn resume(&self) {
        self.running.resume();
    }

    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.running.process_ids()
    }

    pub(super) async fn await_answer(&mut self) {
        let begin = Instant::now();
        loop {
            let why = match self.http.get(&self.url).timeout(ANSWER).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
            self.running.await_next_attempt(begin, &self.url, &why).await;
        }
    }

    /// Swift's own user, a catalogue with the Swift at this endpoint, and an account there.
    pub(super) async fn set_up(&self, swift: &str) -> Tenant {
        let roles = self.ask(Method::GET, "/roles", Value::Null).await;
        let role = |name: &str| {
            let mut roles = roles["roles"].as_array().expect("roles").iter();
            id(roles.find(|role| role["name"] == name).expect("a role"))
        };
        let admin_project = self.id_of("projects", "admin").await;
        let service = self.create_user("swift", "swifting", DEFAULT).await;
        self.assign(&role("admin"), &service, &admin_project).await;
        let people = self.create_domain(USER_DOMAIN).await;
        let project = self.create_project(PROJECT, &self.create_domain(PROJECT_DOMAIN).await).await;
        let owner = self.create_user("tester", "testing", &people).await;
        self.assign(&role("member"), &owner, &project).await;
        let guest = self.create_user("guest", "guesting", &people).await;
        self.assign(&role("reader"), &guest, &project).await;
        self.fill_catalogue(swift).await;
        let guest_in_lists = format!("{project}:{guest}");
        let (owner, guest) = (login("tester", "testing"), login("guest", "guesting"));
        Tenant { project, owner, guest, guest_in_lists }
    }

    async fn fill_catalogue(&self, swift: &str) {
        let kind = json!({"service": {"type": "object-store", "name": "swift"}});
        let service = id(&self.ask(Method::POST, "/services", kind).await["service"]);
        self.ask(Method::POST, "/regions", json!({"region": {"id": REGIONS[1]}})).await;
        for (region, interface, url) in
            [(REGIONS[0], "public", swift), (REGIONS[0], "internal", swift), (REGIONS[1], "public", NOBODY)]
        {
            self.add_endpoint_of(&service, region, interface, url).await;
        }
    }

    /// Gives its id.
    pub async fn create_domain(&self, name: &str) -> String {
        id(&self.ask(Method::POST, "/domains", json!({"domain": {"name": name}})).await["domain"])
    }

    /// Gives its id; a domain is told by its own.
    pub async fn create_project(&self, name: &str, domain: &str) -> String {
        let project = json!({"project": {"name": name, "domain_id": domain}});
        id(&self.ask(Method::POST, "/projects", project).await["project"])
    }

    /// Gives his id.
    pub async fn create_user(&self, name: &str, password: &str, domain: &str) -> String {
        let user = json!({"user": {"name": name, "password": password, "domain_id": domain}});
        id(&self.ask(Method::POST, "/users", user).await["user"])
    }

    /// Ends the tokens that he has.
    pub async fn change_password(&self, user: &str, password: &str) {
        let user = self.id_of("users", user).await;
        self.ask(Method::PATCH, &format!("/users/{user}"), json!({"user": {"password": password}})).await;
    }

    /// `admin`, `member` or `reader`; user and project by their ids.
    pub async fn grant(&self, role: &str, user: &str, project: &str) {
        self.assign(&self.id_of("roles", role).await, user, project).await;
    }

    async fn assign(&self, role: &str, user: &str, project: &str) {
        self.ask(Method::PUT, &format!("/projects/{project}/users/{user}/roles/{role}"), Value::Null).await;
    }

    /// `/v1/KEY_` and the project are added to the URL.
    pub async fn add_endpoint(&self, region: &str, interface: &str, url: &str) {
        self.add_endpoint_of(&self.id_of("services", "swift").await, region, interface, url).await;
    }

    async fn add_endpoint_of(&self, service: &str, region: &str, interface: &str, url: &str) {
        let url = format!("{url}/v1/KEY_$(project_id)s");
        let endpoint =
            json!({"service_id": service, "interface": interface, "region_id": region, "url": url});
        self.ask(Method::POST, "/endpoints", json!({ "endpoint": endpoint })).await;
    }

    /// Lets somebody in as the one who makes it.
    pub async fn create_application_credential(&self, maker: &Login) -> Login {
        let (token, user) = self.token_of(maker).await;
        let body = json!({"application_credential": {"name": "registry"}});
        let target = format!("/users/{user}/application_credentials");
        let made = told(self.ask_as(&token, Method::POST, &target, &body).await).await;
        let made = &made["application_credential"];
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        Login::ApplicationCredential { id: id(made), secret }
    }

    /// The token is refused from now on.
    pub async fn revoke(&self, token: &str) {
        let request = self.http.delete(format!("{}/auth/tokens", self.url)).timeout(ANSWER);
        let request =
            request.header("x-auth-token", self.administrator().await).header("x-subject-token", token);
        let answer = request.send().await.expect("an answer of keystone");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "revoke a token");
    }

    /// Of one that only one has: `users`, `projects`, `domains`.
    pub async fn id_of(&self, kind: &str, name: &str) -> String {
        let found = self.ask(Method::GET, &format!("/{kind}?name={name}"), Value::Null).await;
        id(&found[kind][0])
    }

    /// As its administrator.
    async fn ask(&self, method: Method, target: &str, body: Value) -> Value {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = known {
            let answer = self.ask_as(&token, method.clone(), target, &body).await;
            // Tests have tokens that live for seconds.
            if answer.status() != StatusCode::UNAUTHORIZED {
                return told(answer).await;
            }
        }
        let token = self.administrator().await;
        let answer = self.ask_as(&token, method, target, &body).await;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        told(answer).await
    }

    async fn ask_as(&self, token: &str, method: Method, target: &str, body: &Value) -> Response {
        let request = self.http.request(method.clone(), format!("{}{target}", self.url)).timeout(ANSWER);
        let request = request.header("x-auth-token", token);
        let request = if body.is_null() { request } else { request.json(body) };
        request.send().await.unwrap_or_else(|error| panic!("{method} {target}: {error:?}"))
    }

    /// A new token of his.
    async fn administrator(&self) -> String {
        let administrator = Login::Password {
            user: ADMINISTRATOR.0.to_owned(),
            password: ADMINISTRATOR.1.to_owned(),
            project: "admin".to_owned(),
            user_domain: "Default".to_owned(),
            project_domain: "Default".to_owned(),
        };
        self.token_of(&administrator).await.0
    }

    /// And the id of the user who has it.
    async fn token_of(&self, login: &Login) -> (String, String) {
        let answer = ask_for_token(&self.http, &self.url, login).await.expect("an answer of keystone");
        assert_eq!(answer.status(), StatusCode::CREATED, "{login:?}");
        let token = token_in(&answer);
        let told: Value = answer.json().await.expect("JSON");
        (token, id(&told["token"]["user"]))
    }
}

/// What a success says.
async fn told(answer: Response) -> Value {
    let (status, url) = (answer.status(), answer.url().clone());
    let said = answer.text().await.expect("a whole answer");
    assert!(status.is_success(), "{url}: {status} {said}");
    if said.is_empty() { Value::Null } else { serde_json::from_str(&said).expect("JSON") }
}

fn login(user: &str, password: &str) -> Login {
    Login::Password {
        user: user.to_owned(),
        password: password.to_owned(),
        project: PROJECT.to_owned(),
        user_domain: USER_DOMAIN.to_owned(),
        project_domain: PROJECT_DOMAIN.to_owned(),
    }
}

/// `POST /v3/auth/tokens`.
pub(super) async fn ask_for_token(
    http: &reqwest::Client,
    url: &str,
    login: &Login,
) -> reqwest::Result<Response> {
    let auth = match login {
        Login::Password { user, password, project, user_domain, project_domain } => json!({
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"name": user_domain}, "password": password,
            }}},
            "scope": {"project": {"name": project, "domain": {"name": project_domain}}},
        }),
        Login::ApplicationCredential { id, secret } => json!({
            "identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": id, "secret": secret},
            },
        }),
        Login::V1 { user, .. } => panic!("{user} is nobody to keystone"),
    };
    http.post(format!("{url}/auth/tokens")).timeout(ANSWER).json(&json!({ "auth": auth })).send().await
}

pub(super) fn token_in(answer: &Response) -> String {
    let token = answer.headers().get("x-subject-token").expect("a token");
    token.to_str().expect("text").to_owned()
}

/// Where the catalogue of an answer says that Swift is.
pub(super) fn storage_url(told: &Value, region: &str, interface: &str) -> String {
    let catalogue = told["token"]["catalog"].as_array().expect("a catalogue");
    let services = catalogue.iter().filter(|service| service["type"] == "object-store");
    let mut endpoints = services.filter_map(|service| service["endpoints"].as_array()).flatten();
    let here = endpoints.find(|one| one["region"] == region && one["interface"] == interface);
    let url = here.and_then(|one| one["url"].as_str());
    url.unwrap_or_else(|| panic!("no {interface} Swift in {region}: {told}")).to_owned()
}

fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap_or_else(|| panic!("no id: {thing}")).to_owned()
}

fn configure(data: &Path, url: &str, options: &SwiftOptions) {
    let store = provided(VENV).join("store");
    for folder in ["", "fernet", "credential"] {
        let (from, to) = (store.join(folder), data.join(folder));
        let _is_there = fs::create_dir(&to);
        let entries = fs::read_dir(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copy the store of keystone");
        }
    }
    let text = include_str!("keystone/keystone.conf")
        .replace("{url}", url)
        .replace("{data}", &data.display().to_string())
        .replace("{token_life}", &options.token_life.as_secs().to_string());
    fs::write(data.join("keystone.conf"), text).expect("write the configuration of keystone");
}
