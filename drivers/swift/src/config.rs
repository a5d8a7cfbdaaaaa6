//! The driver's settings. What says who the driver is may also come from the environment, by the names that OpenStack's own
//! programs read.

use std::fmt;
use std::path::PathBuf;

use longshore_driver_sdk::{DriverError, Reason, Result};
use serde::Deserialize;

/// What `--help` says of them.
pub const HELP: &str = "\
  container=NAME          where the objects lie; required; it must be there
  prefix=PATH             keep everything below this path of the container
  auth_url=URL            http://HOST:5000/v3 of Keystone, or http://HOST:8080/auth/v1.0
  auth_version=V          keystone or v1, where the URL does not tell
  user=NAME               of Keystone, or ACCOUNT:USER of v1
  password=SECRET         its password, or the key of v1
  user_domain=NAME        of Keystone; the domain with the id `default`
  project=NAME            the project that the container belongs to
  project_id=ID           instead of its name and domain
  project_domain=NAME     the project's domain; the domain with the id `default`
  application_credential_id=ID          instead of user, password and project
  application_credential_name=NAME      with user and user_domain, instead of an id
  application_credential_secret=SECRET  its secret
  token=TOKEN             a token that there is already; nobody renews it
  region=NAME             of the catalogue; needed where it has several
  interface=NAME          public (default), internal or admin
  storage_url=URL         where the account is, whatever the login says
  public_endpoint=URL     http://HOST:PORT that clients reach the server by, when that differs: for signed URLs
  ca_file=FILE            trust these certificates (PEM) instead of the system's
  segment_size=BYTES      of large objects; else they grow from 16 MiB as the object does
  max_segments=N          of one manifest, when fewer than the server allows
  listing=lagging         a key that was written may show in listings later (default)
  listing=current         it shows at once
  signing=BOOL            let the core redirect reads to signed URLs; true
  temp_url_key=SECRET     sign with this key; else the one that is set, and a new one where there is none
  temp_url_digest=auto    sha256 where the server takes it, else sha1 (default); or sha1, sha256, sha512
  init=never              the store was made by `longshore storage init ENDPOINT` (default)
  init=if-empty           make it at the start where the container, or the path in it, is empty
  spool=DIR               for what was received and not sent yet; a temporary directory

What is not set comes from the environment: OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_USER_DOMAIN_NAME, OS_PROJECT_NAME,
OS_PROJECT_ID, OS_PROJECT_DOMAIN_NAME, OS_APPLICATION_CREDENTIAL_ID, OS_APPLICATION_CREDENTIAL_NAME,
OS_APPLICATION_CREDENTIAL_SECRET, OS_TOKEN, OS_REGION_NAME, OS_INTERFACE, OS_STORAGE_URL; for v1 ST_AUTH, ST_USER, ST_KEY.";

/// Swift's objects, and so its segments, are no larger where nobody changed that.
const LARGEST_SEGMENT: u64 = 5 * 1024 * 1024 * 1024;
const SMALLEST_SEGMENT: u64 = 1024;
/// Swift's names have 1024 bytes, the core's far fewer than 768.
const LONGEST_PREFIX: usize = 256;
const LONGEST_CONTAINER: usize = 256;
const FEWEST_SEGMENTS: u32 = 2;

/// The settings, as they stand in a file or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub container: String,
    #[serde(default)]
    pub prefix: String,
    pub auth_url: Option<String>,
    pub auth_version: Option<AuthVersion>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub user_domain: Option<String>,
    pub project: Option<String>,
    pub project_id: Option<String>,
    pub project_domain: Option<String>,
    pub application_credential_id: Option<String>,
    pub application_credential_name: Option<String>,
    pub application_credential_secret: Option<Secret>,
    pub token: Option<Secret>,
    pub region: Option<String>,
    pub interface: Option<Interface>,
    pub storage_url: Option<String>,
    pub public_endpoint: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub segment_size: Option<u64>,
    pub max_segments: Option<u32>,
    #[serde(default)]
    pub listing: Listing,
    #[serde(default = "yes")]
    pub signing: bool,
    pub temp_url_key: Option<Secret>,
    #[serde(default)]
    pub temp_url_digest: TempUrlDigest,
    #[serde(default)]
    pub init: Init,
    pub spool: Option<PathBuf>,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How the driver logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthVersion {
    /// Swift's own and RGW's: user and key in headers.
    V1,
    /// OpenStack's Identity API, version 3.
    #[serde(alias = "v3")]
    Keystone,
}

/// Which of an endpoint's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    #[default]
    #[serde(alias = "publicURL")]
    Public,
    #[serde(alias = "internalURL")]
    Internal,
    #[serde(alias = "adminURL")]
    Admin,
}

impl Interface {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix("URL").unwrap_or(text);
        [Self::Public, Self::Internal, Self::Admin].into_iter().find(|one| one.as_str() == text)
    }
}

/// When a store may be made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    #[default]
    Never,
    IfEmpty,
}

/// Whether listings can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    Current,
    #[default]
    Lagging,
}

/// What signed URLs are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TempUrlDigest {
    #[default]
    Auto,
    Sha1,
    Sha256,
    Sha512,
}

fn yes() -> bool {
    true
}

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(DriverError::new(Reason::RequestNotUnderstood, message))
}

impl Config {
    /// Fills in from the environment who the driver is, where the settings do not say so.
    ///
    /// # Errors
    /// [`Reason::RequestNotUnderstood`], where a variable makes no sense.
    pub fn with_environment(self) -> Result<Self> {
        self.with(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let fill = |setting: &mut Option<String>, name| {
            if setting.is_none() {
                *setting = variable(name);
            }
        };
        let fill_secret = |setting: &mut Option<Secret>, name| {
            if setting.is_none() {
                *setting = variable(name).map(Secret);
            }
        };
        fill(&mut self.auth_url, "OS_AUTH_URL");
        fill(&mut self.auth_url, "ST_AUTH");
        fill(&mut self.storage_url, "OS_STORAGE_URL");
        if self.version() == Some(AuthVersion::V1) {
            fill(&mut self.user, "ST_USER");
            fill_secret(&mut self.password, "ST_KEY");
            return Ok(self);
        }
        fill_secret(&mut self.token, "OS_TOKEN");
        fill(&mut self.region, "OS_REGION_NAME");
        if self.interface.is_none()
            && let Some(text) = variable("OS_INTERFACE")
        {
            let Some(interface) = Interface::parse(&text) else {
                return refuse(format!("OS_INTERFACE={text} is none of public, internal and admin"));
            };
            self.interface = Some(interface);
        }
        fill(&mut self.user, "OS_USERNAME");
        fill_secret(&mut self.password, "OS_PASSWORD");
        fill(&mut self.user_domain, "OS_USER_DOMAIN_NAME");
        if self.project.is_none() {
            fill(&mut self.project_id, "OS_PROJECT_ID");
        }
        fill(&mut self.project, "OS_PROJECT_NAME");
        fill(&mut self.project_domain, "OS_PROJECT_DOMAIN_NAME");
        fill(&mut self.application_credential_id, "OS_APPLICATION_CREDENTIAL_ID");
        fill(&mut self.application_credential_name, "OS_APPLICATION_CREDENTIAL_NAME");
        fill_secret(&mut self.application_credential_secret, "OS_APPLICATION_CREDENTIAL_SECRET");
        Ok(self)
    }

    /// As set, or as the URL shows it.
    pub(crate) fn version(&self) -> Option<AuthVersion> {
        let url = self.auth_url.as_deref().unwrap_or_default().trim_end_matches('/');
        let by_url = if url.ends_with("/v3") || url.contains("/v3/") {
            Some(AuthVersion::Keystone)
        } else if url.ends_with("/auth/v1.0") || url.ends_with("/auth/v1") || url.ends_with("/auth/1.0") {
            Some(AuthVersion::V1)
        } else {
            None
        };
        self.auth_version.or(by_url)
    }

    /// Refuses what can't work, by the setting's name.
    ///
    /// # Errors
    /// [`Reason::RequestNotUnderstood`], with what to write instead.
    pub fn check(&self) -> Result<()> {
        self.check_names()?;
        self.check_urls()?;
        self.check_login()?;
        if let Some(size) = self.segment_size
            && !(SMALLEST_SEGMENT..=LARGEST_SEGMENT).contains(&size)
        {
            return refuse(format!("segment_size={size} is outside {SMALLEST_SEGMENT} to {LARGEST_SEGMENT}"));
        }
        match self.max_segments {
            Some(most) if most < FEWEST_SEGMENTS => {
                refuse(format!("max_segments={most} is too few; at least {FEWEST_SEGMENTS}"))
            }
            _ => Ok(()),
        }
    }

    fn check_names(&self) -> Result<()> {
        if self.container.is_empty() {
            return refuse("container= is empty; name a container");
        }
        if self.container.contains('/') || self.container.len() > LONGEST_CONTAINER {
            return refuse(format!(
                "container={:?} has a slash, or more than {LONGEST_CONTAINER} bytes; paths go into prefix=",
                self.container
            ));
        }
        let component = longshore_driver_sdk::key::is_component;
        if !self.prefix.is_empty() && !self.prefix.trim_end_matches('/').split('/').all(component) {
            return refuse(format!(
                "prefix={:?} is no path of [A-Za-z0-9._+=,@~-] without a leading slash",
                self.prefix
            ));
        }
        if self.prefix.len() > LONGEST_PREFIX {
            return refuse(format!(
                "prefix= has {} bytes; at most {LONGEST_PREFIX} leave room for keys",
                self.prefix.len()
            ));
        }
        Ok(())
    }

    fn check_urls(&self) -> Result<()> {
        for (name, url) in [
            ("auth_url", &self.auth_url),
            ("storage_url", &self.storage_url),
            ("public_endpoint", &self.public_endpoint),
        ] {
            let Some(url) = url else { continue };
            let parsed = reqwest::Url::parse(url).ok();
            let is_web = |url: &reqwest::Url| {
                matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
            };
            if !parsed.as_ref().is_some_and(is_web) {
                return refuse(format!("{name}={url:?} is no URL that begins with http:// or https://"));
            }
        }
        Ok(())
    }

    fn check_login(&self) -> Result<()> {
        let Some(url) = &self.auth_url else {
            if self.token.is_some() && self.storage_url.is_some() {
                return Ok(());
            }
            return refuse("there is no auth_url; set it, or OS_AUTH_URL or ST_AUTH in the environment");
        };
        match self.version() {
            None => refuse(format!(
                "auth_url={url:?} ends neither with /v3 nor with /auth/v1.0; set auth_version=keystone or auth_version=v1"
            )),
            Some(AuthVersion::V1) => self.check_v1(),
            Some(AuthVersion::Keystone) => self.check_keystone(),
        }
    }

    fn check_v1(&self) -> Result<()> {
        if self.user.is_none() {
            return refuse("there is no user; set user=ACCOUNT:USER, or ST_USER in the environment");
        }
        if self.password.is_none() {
            return refuse("there is no password; set password=, or ST_KEY in the environment");
        }
        Ok(())
    }

    fn check_keystone(&self) -> Result<()> {
        if self.token.is_some() {
            return Ok(());
        }
        if self.application_credential_id.is_some() || self.application_credential_name.is_some() {
            if self.application_credential_secret.is_none() {
                return refuse("there is no application_credential_secret for the application credential");
            }
            if self.application_credential_id.is_none() && self.user.is_none() {
                return refuse(
                    "application_credential_name= needs user=; or name it by application_credential_id=",
                );
            }
            return Ok(());
        }
        if self.user.is_none() {
            return refuse(
                "there is no user; set user= or application_credential_id=, or OS_USERNAME in the environment",
            );
        }
        if self.password.is_none() {
            return refuse("there is no password; set password=, or OS_PASSWORD in the environment");
        }
        if self.project.is_none() && self.project_id.is_none() {
            return refuse("there is no project; set project=, or OS_PROJECT_NAME in the environment");
        }
        Ok(())
    }

    /// Empty, or ends with a slash.
    pub(crate) fn prefix(&self) -> String {
        match self.prefix.trim_end_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str =
        "container = 'c'\nauth_url = 'http://h:8080/auth/v1.0'\nuser = 'a:u'\npassword = 'hush'\n";
    const KEYSTONE: &str = "container = 'c'\nauth_url = 'http://h:5000/v3'\nuser = 'u'\npassword = 'hush'\n";

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn only_the_container_is_required_in_writing_and_nothing_unknown_is_taken() {
        let least = config("container = 'c'");
        assert_eq!((least.segment_size, least.signing, least.listing), (None, true, Listing::Lagging));
        assert!(toml::from_str::<Config>("container = 'c'\ncontaner = 'd'").is_err());
        assert!(toml::from_str::<Config>("prefix = 'x'").is_err());
        assert!(config(V1).check().is_ok());
        assert!(config(&format!("{KEYSTONE}project = 'p'")).check().is_ok());
    }

    #[test]
    fn the_version_is_that_of_the_url_unless_it_is_set() {
        let version =
            |url: &str, more: &str| config(&format!("container = 'c'\nauth_url = '{url}'\n{more}")).version();
        assert_eq!(version("http://h/identity/v3", ""), Some(AuthVersion::Keystone));
        assert_eq!(version("http://h:5000/v3/", ""), Some(AuthVersion::Keystone));
        assert_eq!(version("http://h/v3/auth/tokens", ""), Some(AuthVersion::Keystone));
        assert_eq!(version("http://h/auth/v1.0", ""), Some(AuthVersion::V1));
        assert_eq!(version("http://h:5000", ""), None);
        assert_eq!(version("http://h:5000", "auth_version = 'keystone'"), Some(AuthVersion::Keystone));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (text, named) in [
            ("container = ''", "container"),
            ("container = 'a/b'", "container"),
            ("container = 'c'\nprefix = '/a'", "prefix"),
            ("container = 'c'", "auth_url"),
            ("container = 'c'\nauth_url = 'h:5000'", "auth_url"),
            ("container = 'c'\nauth_url = 'http://h:5000'", "auth_version"),
            ("container = 'c'\nauth_url = 'http://h/auth/v1.0'", "user"),
            ("container = 'c'\nauth_url = 'http://h/auth/v1.0'\nuser = 'u'", "password"),
            (KEYSTONE, "project"),
            (
                "container = 'c'\nauth_url = 'http://h/v3'\napplication_credential_id = 'i'",
                "application_credential_secret",
            ),
            (
                "container = 'c'\nauth_url = 'http://h/v3'\napplication_credential_name = 'n'\napplication_credential_secret = 's'",
                "application_credential_id",
            ),
            (&format!("{V1}segment_size = 5"), "segment_size"),
            (&format!("{V1}max_segments = 1"), "max_segments"),
            (&format!("{V1}public_endpoint = 'h'"), "public_endpoint"),
        ] {
            let error = config(text).check().unwrap_err();
            assert!(error.message().contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_fills_in_what_is_not_set() {
        let variable = |name: &str| match name {
            "OS_REGION_NAME" | "ST_USER" => None,
            "OS_INTERFACE" => Some("internalURL".to_owned()),
            "OS_AUTH_URL" => Some("http://k/v3".to_owned()),
            name => Some(name.to_lowercase()),
        };
        let filled = config("container = 'c'\nuser = 'mine'").with(variable).unwrap();
        assert_eq!(filled.version(), Some(AuthVersion::Keystone));
        assert_eq!(filled.user.as_deref(), Some("mine"));
        assert_eq!(filled.password, Some(Secret("os_password".to_owned())));
        assert_eq!((filled.interface, filled.region), (Some(Interface::Internal), None));
        let v1 =
            config("container = 'c'\nauth_url = 'http://h/auth/v1.0'\nuser = 'u'").with(variable).unwrap();
        assert_eq!(v1.password, Some(Secret("st_key".to_owned())), "Keystone's password is not v1's key");
        assert_eq!(v1.token, None);
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", config(&format!("{V1}temp_url_key = 'hush'\ntoken = 'hush'")));
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_prefix_ends_with_one_slash() {
        assert_eq!(config("container = 'c'\nprefix = 'a/b'").prefix(), "a/b/");
        assert_eq!(config("container = 'c'\nprefix = 'a/b/'").prefix(), "a/b/");
    }
}
