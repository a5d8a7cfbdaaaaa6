//! What an operator sets: one TOML file, and defaults that work without any.

pub mod auth;
pub mod deadlines;
mod environment;
mod hint;
pub mod leases;
pub mod limits;
pub mod listen;
pub mod manifests;
mod problem;
pub mod proxies;
mod redirect;
pub mod storage;
pub mod tls;
pub mod uploads;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::registry::Rules;
use auth::Auth;
use deadlines::DriverDeadlines;
use environment::Override;
use leases::Leases;
use limits::Limits;
use listen::{Listen, SocketMode};
use manifests::Manifests;
pub use problem::ConfigProblem;
use proxies::TrustedProxies;
pub use storage::{Reach, Storage};
use tls::Tls;
use uploads::Uploads;

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
    /// Pulls alone.
    pub read_only: bool,
    /// The peers whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
    pub trusted_proxies: TrustedProxies,
    pub tls: Option<Tls>,
    pub auth: Option<Auth>,
    pub limits: Limits,
    /// The storages by name.
    pub storage: BTreeMap<String, Storage>,
    pub uploads: Uploads,
    pub manifests: Manifests,
    pub leases: Leases,
    pub deadlines: DriverDeadlines,
}

/// Every field with its default and what it means, as a file.
pub const DEFAULT: &str = include_str!("config/default.toml");

impl Config {
    /// The file, if there is one, and over it the environment.
    ///
    /// # Errors
    /// With the file, and the line and column of what is wrong; or with the variable.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigProblem> {
        // A name or value that is no text can't be one of ours.
        let texts =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let overrides = environment::overrides(std::env::vars_os().filter_map(texts));
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| ConfigProblem::Read { path: path.to_owned(), error })?,
            None => String::new(),
        };
        Self::parse(path.unwrap_or(Path::new("the defaults")), &text, &overrides)
    }

    fn parse(path: &Path, text: &str, overrides: &[Override]) -> Result<Self, ConfigProblem> {
        let syntax = |error: toml::de::Error| ConfigProblem::syntax(path, error);
        if overrides.is_empty() {
            return toml::from_str(text).map_err(syntax);
        }
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        let Err(error) = overlaid(&table, overrides, None) else { return overlaid(&table, overrides, None) };
        // The file's own mistake has a line and column.
        toml::from_str::<Self>(text).map_err(syntax)?;
        // The one without which all is well, if there is one.
        let wrong = overrides.iter().find(|one| overlaid(&table, overrides, Some(one)).is_ok());
        match wrong {
            Some(wrong) => Err(overlaid(&table, std::slice::from_ref(wrong), None).err().unwrap_or(error)),
            None => Err(error),
        }
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
        self.auth.is_some()
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

/// The file with all overrides but `without`.
fn overlaid(
    file: &toml::Table,
    overrides: &[Override],
    without: Option<&Override>,
) -> Result<Config, ConfigProblem> {
    let mut table = file.clone();
    let used = overrides.iter().filter(|one| Some(*one) != without);
    let names = || used.clone().map(|one| one.variable.clone()).collect::<Vec<_>>().join(", ");
    for one in used.clone() {
        if !one.apply(&mut table) {
            return Err(ConfigProblem::NoSection { variable: one.variable.clone() });
        }
    }
    Config::deserialize(table).map_err(|error| ConfigProblem::environment(names(), &error))
}

/// `"24h"`, `"90s"`, `"1h 30m"`.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod fields;

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
