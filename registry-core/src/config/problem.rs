//! What may be wrong with a configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::hint::hint;
use super::limits::ZeroLimit;

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("in {path}: {error}{hint}")]
    Syntax { path: PathBuf, error: Box<toml::de::Error>, hint: String },
    #[error("in the environment, {variables}: {error}{hint}")]
    Environment { variables: String, error: String, hint: String },
    #[error(
        "in the environment, {variable}: a part of this name is a field, not a section; two underscores part section and field"
    )]
    NoSection { variable: String },
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

impl ConfigProblem {
    pub(super) fn syntax(path: &Path, error: toml::de::Error) -> Self {
        let hint = hint(error.message());
        Self::Syntax { path: path.to_owned(), error: Box::new(error), hint }
    }

    pub(super) fn environment(variables: String, error: &toml::de::Error) -> Self {
        let hint = hint(error.message());
        Self::Environment { variables, error: error.to_string(), hint }
    }
}
