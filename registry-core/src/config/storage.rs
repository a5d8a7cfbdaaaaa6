//! `[storage.NAME]`: where the bytes lie.

use longshore_driver_sdk::endpoint::Endpoint;
use serde::Deserialize;

use super::{ConfigProblem, redirect};
use crate::registry::redirect::Redirect;

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
    /// With less space left than this many bytes, uploads are refused; pulls and deletes go on. 0: no watermark.
    pub min_free: u64,
    /// A user, besides our own and root, that the driver may run as.
    pub trust_uid: Option<u32>,
    /// Blobs that clients fetch from the store itself, if the driver signs URLs.
    #[serde(deserialize_with = "redirect::redirect")]
    pub redirect: Option<Redirect>,
}

/// How a storage is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    Endpoint(Endpoint),
    Command(Vec<String>),
}

impl Storage {
    /// The prefixes of its repositories; the empty one is all that no other storage claims.
    pub fn claimed(&self) -> impl Iterator<Item = &str> {
        let rest = self.prefixes.is_empty().then_some("");
        self.prefixes.iter().map(String::as_str).chain(rest)
    }

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
