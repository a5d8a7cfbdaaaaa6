//! `[tls]`: the certificate that TCP listeners show.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// Both files are PEM. With this section every TCP address without `http://` speaks TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate of this host, and after it the intermediate ones.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// How often the files are looked at; a new pair serves new connections.
    #[serde(default = "reload_every", deserialize_with = "super::duration")]
    pub reload_every: Duration,
}

fn reload_every() -> Duration {
    Duration::from_secs(5)
}
