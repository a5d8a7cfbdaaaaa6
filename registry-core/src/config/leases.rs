//! `[leases]`: how long things are kept whatever refers to them.

use std::time::Duration;

use serde::Deserialize;

use crate::registry::Rules;

/// How long what was pushed or asked for is kept, whatever refers to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leases {
    #[serde(deserialize_with = "super::duration")]
    pub grace: Duration,
    /// How long anything that was begun may still be under way somewhere; clocks of cores and drivers differ by less.
    #[serde(deserialize_with = "super::duration")]
    pub window: Duration,
}

impl Default for Leases {
    fn default() -> Self {
        let rules = Rules::default();
        Self { grace: rules.grace, window: rules.window }
    }
}
