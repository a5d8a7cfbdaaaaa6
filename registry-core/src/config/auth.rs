//! `[auth]`: who may do what.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// With this section callers say who they are, by name and password (HTTP Basic).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Lines of `user:hash`, with bcrypt (`htpasswd -B`) or argon2id hashes.
    pub htpasswd: PathBuf,
    /// What callers may do who do not say who they are.
    #[serde(default)]
    pub anonymous: Anonymous,
    /// Without any rule, every user may do everything.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
    /// How often the password file is looked at.
    #[serde(default = "reload_every", deserialize_with = "super::duration")]
    pub reload_every: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    #[default]
    None,
    /// Read every repository.
    Pull,
}

/// Of the rules that name a user and fit a repository, those with the longest prefix count, and of these the most generous.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names, or `"*"` for every user.
    pub users: Vec<String>,
    /// Repositories below these, as whole parts of a name; none: all.
    #[serde(default)]
    pub prefixes: Vec<String>,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nothing: takes back what a shorter prefix gives.
    None,
    /// Pull and list.
    Read,
    /// Pull, push and delete.
    Full,
}

fn reload_every() -> Duration {
    Duration::from_secs(5)
}
