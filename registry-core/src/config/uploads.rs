//! `[uploads]`: when an upload is given up.

use std::time::Duration;

use serde::Deserialize;

use crate::registry::Rules;

/// Uploads that nobody finishes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uploads {
    /// An upload that was not touched for this long is given up.
    #[serde(deserialize_with = "super::duration")]
    pub ttl: Duration,
    /// A finished upload is remembered for this long, so that a repeated finalise is answered as the first was.
    #[serde(deserialize_with = "super::duration")]
    pub finished_ttl: Duration,
    /// How often to look for them.
    #[serde(deserialize_with = "super::duration")]
    pub sweep_every: Duration,
}

impl Default for Uploads {
    fn default() -> Self {
        let rules = Rules::default();
        Self { ttl: rules.upload_ttl, finished_ttl: rules.finished_ttl, sweep_every: Duration::from_secs(60) }
    }
}
