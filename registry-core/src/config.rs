//! What an operator sets: one TOML file, and defaults that work without any.

pub mod limits;
pub mod listen;
pub mod proxies;
pub mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_driver_sdk::client::Deadlines;
use longshore_driver_sdk::endpoint::Endpoint;
use serde::Deserialize;

use crate::registry::Rules;
use limits::{Limits, ZeroLimit};
use listen::{Listen, SocketMode};
use proxies::TrustedProxies;
use tls::Tls;

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen. Loopback only, unless TLS and a login guard it or `allow_insecure_listen` is set.
    pub listen: Listen,
    /// The mode of the unix sockets that are listened at.
    pub listen_socket_mode: SocketMode,
    /// Listen beyond loopback without TLS and login: anybody who reaches the port can read, write and delete.
    pub allow_insecure_listen: bool,
    /// The peers whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
    pub trusted_proxies: TrustedProxies,
    pub tls: Option<Tls>,
    pub limits: Limits,
    /// The storages by name.
    pub storage: BTreeMap<String, Storage>,
    pub uploads: Uploads,
    pub manifests: Manifests,
    pub leases: Leases,
    pub deadlines: DriverDeadlines,
}

/// One storage: a driver that somebody else runs (`endpoint`), or one that the core starts and minds (`command`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// `unix:///path/to/driver.sock` or `tcp://127.0.0.1:PORT`.
    pub endpoint: Option<String>,
    /// A program and its arguments; its socket is private.
    pub command: Option<Vec<String>>,
    /// Repositories below these live here; without any, all that no other storage claims.
    pub prefixes: Vec<String>,
    /// The id that the store must have; printed by `longshore storage init`.
    pub store_id: Option<String>,
    /// A user, besides our own and root, that the driver may run as.
    pub trust_uid: Option<u32>,
}

/// Uploads that nobody finishes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uploads {
    /// An upload that was not touched for this long is given up.
    #[serde(deserialize_with = "duration")]
    pub ttl: Duration,
    /// A finished upload is remembered for this long, so that a repeated finalise is answered as the first was.
    #[serde(deserialize_with = "duration")]
    pub finished_ttl: Duration,
    /// How often to look for them.
    #[serde(deserialize_with = "duration")]
    pub sweep_every: Duration,
}

impl Default for Uploads {
    fn default() -> Self {
        let rules = Rules::default();
        Self { ttl: rules.upload_ttl, finished_ttl: rules.finished_ttl, sweep_every: Duration::from_secs(60) }
    }
}

/// What manifests may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manifests {
    /// In bytes; at most 4 MiB, which every driver takes.
    pub max_size: usize,
    /// Take manifests that name blobs or manifests which are not here.
    pub allow_missing_references: bool,
}

impl Default for Manifests {
    fn default() -> Self {
        Self { max_size: Rules::default().max_manifest, allow_missing_references: false }
    }
}

/// How long what was pushed or asked for is kept, whatever refers to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leases {
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// How long anything that was begun may still be under way somewhere; clocks of cores and drivers differ by less.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
}

impl Default for Leases {
    fn default() -> Self {
        let rules = Rules::default();
        Self { grace: rules.grace, window: rules.window }
    }
}

/// How long calls to a driver may take (docs/operations.md, "Deadlines").
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriverDeadlines {
    /// One attempt at a handshake or probe.
    #[serde(deserialize_with = "duration")]
    pub probe: Duration,
    /// One attempt at any other call, or at opening a stream.
    #[serde(deserialize_with = "duration")]
    pub call: Duration,
    /// A call with all its retries.
    #[serde(deserialize_with = "duration")]
    pub call_with_retries: Duration,
    /// A stream without progress.
    #[serde(deserialize_with = "duration")]
    pub stall: Duration,
    /// A commit.
    #[serde(deserialize_with = "duration")]
    pub commit: Duration,
}

impl Default for DriverDeadlines {
    fn default() -> Self {
        let Deadlines { probe, call, call_with_retries, stall, commit } = Deadlines::default();
        Self { probe, call, call_with_retries, stall, commit }
    }
}

impl DriverDeadlines {
    pub fn deadlines(&self) -> Deadlines {
        let Self { probe, call, call_with_retries, stall, commit } = self.clone();
        Deadlines { probe, call, call_with_retries, stall, commit }
    }
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("in {path}: {error}")]
    Syntax { path: PathBuf, error: Box<toml::de::Error> },
    #[error("storage {0} has both an endpoint and a command: one or the other")]
    Both(String),
    #[error("storage {0} has neither an endpoint nor a command")]
    Neither(String),
    #[error("the endpoint of storage {name}: {error}")]
    Endpoint { name: String, error: longshore_driver_sdk::endpoint::InvalidEndpoint },
    #[error(
        "listening on {0} without TLS and login lets anybody who reaches it read, write and delete; \
         configure both, or listen on 127.0.0.1, or set allow_insecure_listen = true if something else guards the port"
    )]
    NotLoopback(SocketAddr),
    #[error("listen names an https:// address, but there is no [tls] section with a certificate and a key")]
    NoCertificate,
    #[error(transparent)]
    ZeroLimit(#[from] ZeroLimit),
    #[error("manifests.max_size is {0}: between 1 and 4194304 bytes")]
    ManifestSize(usize),
    #[error("leases.grace must be at least four times leases.window")]
    Grace,
    #[error(
        "uploads.ttl must be at least four times uploads.finished_ttl, and at least four times leases.window"
    )]
    UploadTtl,
}

/// How a storage is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    Endpoint(Endpoint),
    Command(Vec<String>),
}

impl Config {
    /// # Errors
    /// With the file, and the line and column of what is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigProblem> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigProblem::Read { path: path.to_owned(), error })?;
        toml::from_str(&text)
            .map_err(|error| ConfigProblem::Syntax { path: path.to_owned(), error: Box::new(error) })
    }

    /// Without any storage: the filesystem driver, minded, with its data here.
    pub fn use_data(&mut self, data: &Path) {
        if self.storage.is_empty() {
            let root = format!("root={}", data.display());
            let command = vec!["longshore-driver-filesystem".to_owned(), root, "init=if-absent".to_owned()];
            self.storage.insert("main".to_owned(), Storage { command: Some(command), ..Storage::default() });
        }
    }

    /// # Errors
    /// When parts of it contradict each other, or what is promised.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        for (name, storage) in &self.storage {
            storage.reach(name)?;
        }
        if let Some(address) = self.unguarded()
            && !self.allow_insecure_listen
        {
            return Err(ConfigProblem::NotLoopback(address));
        }
        if self.listen.asks_for_tls() && self.tls.is_none() {
            return Err(ConfigProblem::NoCertificate);
        }
        self.limits.check()?;
        if !(1..=Rules::default().max_manifest).contains(&self.manifests.max_size) {
            return Err(ConfigProblem::ManifestSize(self.manifests.max_size));
        }
        if self.leases.grace < self.leases.window * 4 {
            return Err(ConfigProblem::Grace);
        }
        if self.uploads.ttl < self.uploads.finished_ttl * 4 || self.uploads.ttl < self.leases.window * 4 {
            return Err(ConfigProblem::UploadTtl);
        }
        Ok(())
    }

    /// An address that other machines reach without TLS or without a login. TLS that a proxy ends does not count.
    pub fn unguarded(&self) -> Option<SocketAddr> {
        if self.has_login() {
            self.listen.cleartext_beyond_loopback(self.tls.is_some())
        } else {
            self.listen.beyond_loopback()
        }
    }

    /// Whether callers must say who they are.
    fn has_login(&self) -> bool {
        false
    }

    pub fn rules(&self) -> Rules {
        Rules {
            grace: self.leases.grace,
            window: self.leases.window,
            max_manifest: self.manifests.max_size,
            allow_missing_references: self.manifests.allow_missing_references,
            upload_ttl: self.uploads.ttl,
            finished_ttl: self.uploads.finished_ttl,
        }
    }
}

impl Storage {
    /// # Errors
    /// When it says twice, or not at all, how.
    pub fn reach(&self, name: &str) -> Result<Reach, ConfigProblem> {
        match (&self.endpoint, &self.command) {
            (Some(_), Some(_)) => Err(ConfigProblem::Both(name.to_owned())),
            (None, None) => Err(ConfigProblem::Neither(name.to_owned())),
            (None, Some(command)) => Ok(Reach::Command(command.clone())),
            (Some(endpoint), None) => {
                let endpoint = endpoint
                    .parse()
                    .map_err(|error| ConfigProblem::Endpoint { name: name.to_owned(), error })?;
                Ok(Reach::Endpoint(endpoint))
            }
        }
    }
}

/// `"24h"`, `"90s"`, `"1h 30m"`.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_with_no_file() {
        let mut config = Config::default();
        config.use_data(Path::new("./data"));
        config.check().unwrap();
        assert!(
            matches!(config.storage["main"].reach("main"), Ok(Reach::Command(command)) if command.len() == 3)
        );
    }

    #[test]
    fn a_typo_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in [
            "lisen = '127.0.0.1:1'",
            "[uploads]\nttll = '1h'",
            "[storage.a]\nendpont = 'x'",
            "[manifests]\nmaxsize = 1",
            "[leases]\ngrce = '1h'",
            "[deadlines]\ncal = '1s'",
            "[limits]\nidel = '1s'",
            "[tls]\ncertificat = 'a.pem'\nkey = 'b.pem'",
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = Config::read(file.path()).unwrap_err().to_string();
            assert!(error.contains("unknown field") && error.contains("line"), "{error}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |text: &str| toml::from_str::<Config>(text).unwrap().check();
        assert!(matches!(check("listen = '0.0.0.0:5000'"), Err(ConfigProblem::NotLoopback(_))));
        assert!(check("listen = '0.0.0.0:5000'\nallow_insecure_listen = true").is_ok());
        let beside = "listen = ['127.0.0.1:1', 'unix:///a/b', '[::]:2']";
        assert!(matches!(check(beside), Err(ConfigProblem::NotLoopback(address)) if address.port() == 2));
        assert!(matches!(check("listen = 'https://127.0.0.1:1'"), Err(ConfigProblem::NoCertificate)));
        assert!(matches!(check("[limits]\nidle = '0s'"), Err(ConfigProblem::ZeroLimit(_))));
        assert!(matches!(
            check("[storage.a]\nendpoint = 'unix:///a'\ncommand = ['b']"),
            Err(ConfigProblem::Both(_))
        ));
        assert!(matches!(check("[storage.a]"), Err(ConfigProblem::Neither(_))));
        assert!(matches!(
            check("[storage.a]\nendpoint = 'tcp://10.0.0.1:1'"),
            Err(ConfigProblem::Endpoint { .. })
        ));
        assert!(matches!(check("[manifests]\nmax_size = 5000000"), Err(ConfigProblem::ManifestSize(_))));
        assert!(matches!(check("[leases]\ngrace = '1h'"), Err(ConfigProblem::Grace)));
        assert!(matches!(check("[uploads]\nttl = '1m'"), Err(ConfigProblem::UploadTtl)));
    }
}
