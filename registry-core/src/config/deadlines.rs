//! `[deadlines]`: how long a driver may take.

use std::time::Duration;

use longshore_driver_sdk::client::Deadlines;
use serde::Deserialize;

/// How long calls to a driver may take (docs/operations.md, "Deadlines").
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriverDeadlines {
    /// One attempt at a handshake or probe.
    #[serde(deserialize_with = "super::duration")]
    pub probe: Duration,
    /// One attempt at any other call, or at opening a stream.
    #[serde(deserialize_with = "super::duration")]
    pub call: Duration,
    /// A call with all its retries.
    #[serde(deserialize_with = "super::duration")]
    pub call_with_retries: Duration,
    /// A stream without progress.
    #[serde(deserialize_with = "super::duration")]
    pub stall: Duration,
    /// A commit.
    #[serde(deserialize_with = "super::duration")]
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
