//! Who asks, and how a Swift is shown it.

use reqwest::{Response, StatusCode};

use super::{ANSWER, keystone};

/// How somebody authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// tempauth and RGW: `ACCOUNT:USER` and a key.
    V1 { user: String, key: String },
    /// Keystone: domains and project by their names.
    Password { user: String, password: String, project: String, user_domain: String, project_domain: String },
    /// Keystone: it knows its user and project.
    ApplicationCredential { id: String, secret: String },
}

/// Where in Keystone's catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) interface: String,
}

/// What somebody is given who has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub token: String,
    /// Where the server says that the account is.
    pub storage_url: String,
}

impl Login {
    pub(super) fn v1(user: &str, key: &str) -> Self {
        Self::V1 { user: user.to_owned(), key: key.to_owned() }
    }

    /// What a driver is told, as KEY=VALUE.
    pub(super) fn settings(&self) -> Vec<String> {
        match self {
            Self::V1 { user, key } => vec![format!("user={user}"), format!("password={key}")],
            Self::Password { user, password, project, user_domain, project_domain } => vec![
                format!("user={user}"),
                format!("password={password}"),
                format!("project={project}"),
                format!("user_domain={user_domain}"),
                format!("project_domain={project_domain}"),
            ],
            Self::ApplicationCredential { id, secret } => {
                vec![
                    format!("application_credential_id={id}"),
                    format!("application_credential_secret={secret}"),
                ]
            }
        }
    }

    /// What `settings` gave.
    pub(super) fn of_settings(settings: &[&str]) -> Option<Self> {
        let told = |key: &str| setting(settings, key);
        if let Some(id) = told("application_credential_id") {
            return Some(Self::ApplicationCredential { id, secret: told("application_credential_secret")? });
        }
        let (user, password) = (told("user")?, told("password")?);
        let Some(project) = told("project") else { return Some(Self::V1 { user, key: password }) };
        let (user_domain, project_domain) = (told("user_domain")?, told("project_domain")?);
        Some(Self::Password { user, password, project, user_domain, project_domain })
    }

    /// An error is the status of a refusal.
    pub(super) async fn authenticate(
        &self,
        http: &reqwest::Client,
        auth_url: &str,
        place: Option<&Place>,
    ) -> Result<Session, StatusCode> {
        let answer = self.ask(http, auth_url).await;
        let answer = answer.unwrap_or_else(|error| panic!("{auth_url}: {error:?}"));
        if !answer.status().is_success() {
            return Err(answer.status());
        }
        Ok(session(answer, place).await)
    }

    /// The same, where no answer is to be expected.
    pub(super) async fn attempt(
        &self,
        http: &reqwest::Client,
        auth_url: &str,
        place: Option<&Place>,
    ) -> Result<Session, String> {
        let answer = self.ask(http, auth_url).await.map_err(|error| format!("{error:?}"))?;
        if !answer.status().is_success() {
            return Err(format!("{auth_url}: {}", answer.status()));
        }
        Ok(session(answer, place).await)
    }

    async fn ask(&self, http: &reqwest::Client, auth_url: &str) -> reqwest::Result<Response> {
        match self {
            Self::V1 { user, key } => {
                let request = http.get(auth_url).header("x-auth-user", user).header("x-auth-key", key);
                request.timeout(ANSWER).send().await
            }
            Self::Password { .. } | Self::ApplicationCredential { .. } => {
                keystone::ask_for_token(http, auth_url, self).await
            }
        }
    }
}

/// Where there is a place, it is Keystone that answers.
async fn session(answer: Response, place: Option<&Place>) -> Session {
    if let Some(Place { region, interface }) = place {
        let token = keystone::token_in(&answer);
        let told = answer.json().await.expect("JSON");
        return Session { token, storage_url: keystone::storage_url(&told, region, interface) };
    }
    let header = |name: &str| {
        let value = answer.headers().get(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        value.to_str().expect("text").to_owned()
    };
    Session { token: header("x-auth-token"), storage_url: header("x-storage-url") }
}

/// The value of a key among KEY=VALUE.
pub(super) fn setting(settings: &[&str], key: &str) -> Option<String> {
    let values = settings.iter().filter_map(|one| one.split_once('='));
    values.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value.to_owned())
}
