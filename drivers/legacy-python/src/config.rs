//! The driver's settings.

use std::path::PathBuf;
use std::time::Duration;

use longshore_driver_sdk::{DriverError, Reason, Result};
use serde::Deserialize;

/// What `--help` says of them.
pub const HELP: &str = "\
  driver=NAME           the old driver: file, swift, s3 ...; its module is docker_registry.drivers.NAME; required
  python=PROGRAM        the interpreter of the virtualenv that the old driver is installed in; python3
  path=PATH             the old driver's storage_path
  config.NAME=VALUE     a setting of the old driver's, by the name that config.yml had for it
  mode=read-only        nothing is written (default)
  mode=read-write       uploads and records are written, through the old driver
  spool=DIR             for uploads under way, and for what is being written; required to write
  verify=bytes          what was written is read back and compared (default)
  verify=size           only its size is asked for
  listing=lagging       a key that was written may show in listings later (default)
  listing=current       it shows at once
  workers=N             processes at once, each with one call; 16
  timeout=SECONDS       a worker that gives no sign for so long is killed; 2.5
  module_path=DIR,DIR   more directories to look for modules in
  translate=NAME,NAME   more packages that are Python 2 and are to be translated for Python 3
  cache=DIR             keep translated modules here; the spool, where there is one
  max_names=N           a folder with more names is not listed; 1000000";

/// Opening a stream may take the core three seconds.
const TIMEOUT: f64 = 2.5;
const SHORTEST_TIMEOUT: f64 = 0.1;
const LONGEST_TIMEOUT: f64 = 60.0;
const MAX_WORKERS: usize = 256;
/// Marks a setting of the old driver's.
const OLD: &str = "config.";

/// The settings, as they stand in a file or on the command line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    pub driver: String,
    #[serde(default = "python3")]
    pub python: PathBuf,
    pub path: Option<String>,
    /// The old driver's own, in a file.
    #[serde(default)]
    pub config: toml::Table,
    #[serde(default)]
    pub mode: Mode,
    pub spool: Option<PathBuf>,
    #[serde(default)]
    pub verify: Verify,
    #[serde(default)]
    pub listing: Listing,
    #[serde(default = "workers")]
    pub workers: usize,
    #[serde(default = "timeout")]
    timeout: toml::Value,
    #[serde(default)]
    pub module_path: List,
    #[serde(default)]
    pub translate: List,
    pub cache: Option<PathBuf>,
    #[serde(default = "max_names")]
    pub max_names: u64,
    /// `config.NAME` of the command line; nothing else may be here.
    #[serde(flatten)]
    rest: toml::Table,
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    ReadOnly,
    ReadWrite,
}

/// How what was written is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    #[default]
    Bytes,
    Size,
}

impl Verify {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Size => "size",
        }
    }
}

/// Whether listings show what was written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    #[default]
    Lagging,
    Current,
}

/// Several texts: an array in a file, commas between them on a command line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct List(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for List {
    fn from(texts: OneOrMany) -> Self {
        Self(match texts {
            OneOrMany::One(text) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
            OneOrMany::Many(texts) => texts,
        })
    }
}

fn python3() -> PathBuf {
    "python3".into()
}

fn workers() -> usize {
    16
}

fn timeout() -> toml::Value {
    toml::Value::Float(TIMEOUT)
}

fn max_names() -> u64 {
    1_000_000
}

impl Config {
    /// # Errors
    /// When the settings can't work, or one is not known.
    pub fn check(&self) -> Result<()> {
        let is_module =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_module(&self.driver) {
            return Err(refused(format!("driver={:?} is no name of a module", self.driver)));
        }
        if let Some(name) = self.rest.keys().find(|name| !name.starts_with(OLD)) {
            let message = format!("no setting is called `{name}`; one of the old driver's is config.{name}");
            return Err(refused(message));
        }
        if !(1..=MAX_WORKERS).contains(&self.workers) {
            return Err(refused(format!("workers={}: from 1 to {MAX_WORKERS}", self.workers)));
        }
        if self.max_names == 0 {
            return Err(refused("max_names=0: at least 1".to_owned()));
        }
        if self.mode == Mode::ReadWrite && self.spool.is_none() {
            let message = "mode=read-write needs spool=DIR: uploads are kept there until they are whole; \
                           it has to hold the largest ones that come at once";
            return Err(refused(message.to_owned()));
        }
        self.timeout().map(drop)
    }

    /// How long a worker may give no sign.
    ///
    /// # Errors
    /// When it is no number of seconds, or one that can't work.
    pub fn timeout(&self) -> Result<Duration> {
        let seconds = match &self.timeout {
            toml::Value::Float(seconds) => Some(*seconds),
            toml::Value::Integer(seconds) => i32::try_from(*seconds).ok().map(f64::from),
            toml::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let usable = seconds.filter(|seconds| (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(seconds));
        usable.map(Duration::from_secs_f64).ok_or_else(|| {
            refused(format!(
                "timeout={}: seconds, from {SHORTEST_TIMEOUT} to {LONGEST_TIMEOUT}",
                self.timeout
            ))
        })
    }

    /// The old driver's settings, of the file and of the command line.
    pub(crate) fn old(&self) -> toml::Table {
        let mut table = self.config.clone();
        for (name, value) in &self.rest {
            if let Some(name) = name.strip_prefix(OLD) {
                table.insert(name.to_owned(), value.clone());
            }
        }
        table
    }
}

fn refused(message: String) -> DriverError {
    DriverError::new(Reason::RequestNotUnderstood, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config> {
        let config: Config = toml::from_str(text).unwrap();
        config.check().map(|()| config)
    }

    #[test]
    fn only_the_driver_is_required_and_nothing_is_written_then() {
        let config = config("driver = 'file'").unwrap();
        assert_eq!((config.mode, config.verify, config.workers), (Mode::ReadOnly, Verify::Bytes, 16));
        assert_eq!(config.timeout().unwrap(), Duration::from_millis(2500));
        assert!(toml::from_str::<Config>("python = 'python3'").is_err());
    }

    #[test]
    fn what_can_not_work_is_refused_by_name() {
        for (text, said) in [
            ("driver = '../x'", "driver"),
            ("driver = 'file'\nrot = 1", "`rot`"),
            ("driver = 'file'\nworkers = 0", "workers=0"),
            ("driver = 'file'\nmode = 'read-write'", "spool"),
            ("driver = 'file'\ntimeout = 'soon'", "timeout"),
            ("driver = 'file'\ntimeout = 0", "timeout"),
        ] {
            let error = config(text).unwrap_err();
            assert!(error.message().contains(said), "{error}");
        }
    }

    #[test]
    fn the_old_drivers_settings_come_from_both_places() {
        let text = "driver = 'swift'\n'config.swift_user' = 'b'\ntranslate = 'oss, qiniu'\n[config]\nswift_user = 'a'\nx = 1";
        let config = config(text).unwrap();
        let old = config.old();
        assert_eq!(old["swift_user"].as_str(), Some("b"));
        assert_eq!(old["x"].as_integer(), Some(1));
        assert_eq!(config.translate.0, ["oss", "qiniu"]);
    }
}
