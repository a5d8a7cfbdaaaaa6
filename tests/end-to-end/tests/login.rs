//! Who may do what, over the release binaries: passwords of the real `htpasswd`, rules by prefix, anonymous pull, and a
//! password file that changes under way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest};
use longshore_end_to_end::process::run_command;
use longshore_end_to_end::{Client, Registry, scratch};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

/// A password file with these users, whose passwords are their names and `-secret`.
struct Passwords {
    file: PathBuf,
    _directory: TempDir,
}

impl Passwords {
    fn of(users: &[&str]) -> Self {
        let directory = scratch::data_directory();
        let file = directory.path().join("htpasswd");
        let passwords = Self { file, _directory: directory };
        passwords.write(users, "secret");
        passwords
    }

    fn write(&self, users: &[&str], secret: &str) {
        let lines = users.iter().map(|user| {
            let mut htpasswd = Command::new(scratch::tool("htpasswd", "apache2-utils"));
            run_command(htpasswd.args(["-nbB", "-C", "6", user, &format!("{user}-{secret}")]))
        });
        std::fs::write(&self.file, lines.collect::<String>()).expect("write the passwords");
    }

    fn config(&self, more: &str) -> String {
        format!("[auth]\nhtpasswd = {:?}\nreload_every = \"100ms\"\n{more}", self.file)
    }
}

fn user(registry: &Registry, name: &str) -> Client {
    with_password(registry.url(), name, &format!("{name}-secret"))
}

fn with_password(url: &str, name: &str, password: &str) -> Client {
    let encoded = STANDARD.encode(format!("{name}:{password}"));
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Basic {encoded}")).expect("a header"));
    Client::built(url, None::<&Path>, |builder| builder.default_headers(headers))
}

async fn refused(client: &Client, method: Method, path: &str) -> (StatusCode, String) {
    let response = client.request(method, path).send().await.expect("an answer");
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = response.headers().get("www-authenticate").expect("a challenge");
        assert_eq!(challenge, "Basic realm=\"longshore\"");
    }
    let body: serde_json::Value = response.json().await.expect("JSON");
    assert!(!body["errors"][0]["message"].as_str().expect("a sentence").is_empty());
    (status, body["errors"][0]["code"].as_str().expect("a code").to_owned())
}

/// Gives the layer's digest.
async fn push(client: &Client, repository: &str) -> String {
    let config = client.push_blob(repository, "{}").await.expect("config");
    let layer = client.push_blob(repository, format!("layer of {repository}")).await.expect("layer");
    let manifest = image_manifest((&config, 2), &[(&layer, 9 + repository.len() as u64)]);
    client.put_manifest(repository, "v1", OCI_MANIFEST, manifest).await.expect("manifest");
    layer
}

async fn repositories(client: &Client) -> serde_json::Value {
    let answer = client.get("/v2/_catalog").send().await.expect("an answer");
    answer.json::<serde_json::Value>().await.expect("JSON")["repositories"].take()
}

#[tokio::test]
async fn without_the_right_password_nothing_is_told_and_nothing_is_done() {
    let passwords = Passwords::of(&["ann"]);
    let registry = Registry::start_with_config(&passwords.config("")).await;
    let ann = user(&registry, "ann");
    let layer = push(&ann, "team/app").await;
    let wrong = with_password(registry.url(), "ann", "guess");
    let unknown = with_password(registry.url(), "eve", "guess");
    for client in [registry.client(), wrong, unknown] {
        for (method, path) in [
            (Method::GET, "/v2/".to_owned()),
            (Method::GET, "/v2/_catalog".to_owned()),
            (Method::GET, "/v2/team/app/tags/list".to_owned()),
            (Method::GET, "/v2/team/app/manifests/v1".to_owned()),
            (Method::GET, "/v2/team/app/manifests/not-there".to_owned()),
            (Method::GET, format!("/v2/team/app/blobs/{layer}")),
            (Method::POST, "/v2/team/app/blobs/uploads/".to_owned()),
            (Method::PUT, "/v2/team/app/manifests/v1".to_owned()),
            (Method::DELETE, "/v2/team/app/manifests/v1".to_owned()),
            (Method::DELETE, format!("/v2/team/app/blobs/{layer}")),
        ] {
            let seen = refused(&client, method.clone(), &path).await;
            assert_eq!(seen, (StatusCode::UNAUTHORIZED, "UNAUTHORIZED".to_owned()), "{method} {path}");
        }
    }
    assert_eq!(ann.get("/v2/").send().await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(ann.get_blob("team/app", &layer).await.expect("still there"), "layer of team/app");
    let log = registry.core().log();
    assert!(!log.contains("ann-secret") && !log.contains("guess"), "a password stands in the log");
}

#[tokio::test]
async fn rules_give_access_by_prefix_and_hide_the_rest() {
    let rules = "[[auth.rule]]\nusers = [\"ann\"]\naccess = \"full\"\n\
                 [[auth.rule]]\nusers = [\"bob\"]\nprefixes = [\"team\"]\naccess = \"read\"\n\
                 [[auth.rule]]\nusers = [\"bob\"]\nprefixes = [\"team/bob\"]\naccess = \"full\"\n";
    let passwords = Passwords::of(&["ann", "bob"]);
    let registry = Registry::start_with_config(&passwords.config(rules)).await;
    let (ann, bob) = (user(&registry, "ann"), user(&registry, "bob"));
    let secret = push(&ann, "secret").await;
    let layer = push(&ann, "team/app").await;
    assert_eq!(bob.get_blob("team/app", &layer).await.expect("may be read"), "layer of team/app");
    let denied = (StatusCode::FORBIDDEN, "DENIED".to_owned());
    for (method, path) in [
        (Method::POST, "/v2/team/app/blobs/uploads/".to_owned()),
        (Method::DELETE, format!("/v2/team/app/blobs/{layer}")),
        (Method::DELETE, "/v2/team/app/manifests/v1".to_owned()),
        (Method::GET, "/v2/secret/manifests/v1".to_owned()),
        (Method::GET, "/v2/secret/tags/list".to_owned()),
        (Method::GET, "/v2/not/there/manifests/v1".to_owned()),
    ] {
        assert_eq!(refused(&bob, method.clone(), &path).await, denied, "{method} {path}");
    }
    assert_eq!(repositories(&bob).await, serde_json::json!(["team/app"]));
    assert_eq!(repositories(&ann).await, serde_json::json!(["secret", "team/app"]));
    push(&bob, "team/bob/tool").await;
    for from in ["&from=secret", ""] {
        let path = format!("/v2/team/bob/tool/blobs/uploads/?mount={secret}{from}");
        let mount = bob.request(Method::POST, &path).send().await.expect("an answer");
        assert_eq!(mount.status(), StatusCode::ACCEPTED, "what may not be read is not there to be mounted");
    }
    let mount = format!("/v2/team/bob/tool/blobs/uploads/?mount={layer}&from=team/app");
    assert_eq!(
        bob.request(Method::POST, &mount).send().await.expect("an answer").status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn anonymous_callers_may_pull_where_that_is_set_and_wrong_passwords_still_fail() {
    let passwords = Passwords::of(&["ann"]);
    let registry = Registry::start_with_config(&passwords.config("anonymous = \"pull\"\n")).await;
    let layer = push(&user(&registry, "ann"), "team/app").await;
    let anonymous = registry.client();
    assert_eq!(anonymous.get_blob("team/app", &layer).await.expect("a pull"), "layer of team/app");
    let unauthorized = (StatusCode::UNAUTHORIZED, "UNAUTHORIZED".to_owned());
    assert_eq!(refused(&anonymous, Method::POST, "/v2/team/app/blobs/uploads/").await, unauthorized);
    let wrong = with_password(registry.url(), "ann", "guess");
    assert_eq!(refused(&wrong, Method::GET, "/v2/team/app/manifests/v1").await, unauthorized);
    let empty = with_password(registry.url(), "", "");
    assert_eq!(empty.get_blob("team/app", &layer).await.expect("as podman asks"), "layer of team/app");
}

#[tokio::test]
async fn a_new_password_file_counts_at_once_and_a_broken_one_never() {
    let passwords = Passwords::of(&["ann"]);
    let registry = Registry::start_with_config(&passwords.config("")).await;
    let status = async |client: Client| client.get("/v2/").send().await.expect("an answer").status();
    assert_eq!(status(user(&registry, "ann")).await, StatusCode::OK);
    std::fs::write(&passwords.file, "ann:plain\n").expect("break the file");
    registry.core().await_line("the old ones stay in use", Duration::from_secs(10));
    assert_eq!(status(user(&registry, "ann")).await, StatusCode::OK);
    passwords.write(&["ann", "bob"], "other");
    registry.core().await_line("the new passwords are in use", Duration::from_secs(10));
    assert_eq!(
        status(user(&registry, "ann")).await,
        StatusCode::UNAUTHORIZED,
        "the old password is forgotten"
    );
    assert_eq!(status(with_password(registry.url(), "bob", "bob-other")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_does_not_hold_up_who_is_known() {
    let passwords = Passwords::of(&["ann"]);
    let registry = Registry::start_with_config(&passwords.config("")).await;
    let ann = user(&registry, "ann");
    push(&ann, "team/app").await;
    let url = registry.url().to_owned();
    let flood: Vec<_> = (0..100)
        .map(|number| {
            let client = with_password(&url, "ann", &format!("guess {number}"));
            tokio::spawn(async move { client.get("/v2/").send().await.expect("an answer").status() })
        })
        .collect();
    for _ in 0..20 {
        let began = Instant::now();
        ann.get_manifest("team/app", "v1").await.expect("a manifest");
        assert!(began.elapsed() < Duration::from_secs(2), "took {:?}", began.elapsed());
    }
    for answer in flood {
        let status = answer.await.expect("no panic");
        assert!(
            matches!(status, StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE),
            "{status}: refused, or asked to come back"
        );
    }
}
