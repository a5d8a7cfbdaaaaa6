//! The bodies of small records.

use bytes::Bytes;
use jiff::Timestamp;
use longshore_driver_sdk::Key;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{RegistryError, Result};
use crate::oci::Digest;

/// `longshore.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoreRecord {
    pub(super) layout: u32,
    /// The oldest layout version whose readers understand this store.
    pub(super) min_reader: u32,
    /// The oldest whose writers do.
    pub(super) min_writer: u32,
    pub(super) store_id: String,
    pub(super) created: Timestamp,
}

/// A holder's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HolderRecord {
    pub(super) repository: String,
    pub(super) size: u64,
}

/// A link's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkRecord {
    pub(super) size: u64,
}

/// Where listings may lag: which link is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LatestRecord {
    pub(super) lease: String,
}

/// A condemned object's mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CondemnedRecord {
    pub(super) since: Timestamp,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TagRecord {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) updated: Timestamp,
}

impl TagRecord {
    pub(super) fn new(digest: &Digest, media_type: &str, size: u64) -> Self {
        Self { digest: digest.clone(), media_type: media_type.to_owned(), size, updated: Timestamp::now() }
    }
}

/// The line before a manifest's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestHead {
    pub(super) media_type: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Digest>,
    pub(super) updated: Timestamp,
}

/// A marker says all by being there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) updated: Timestamp,
}

pub(super) fn to_bytes<T: Serialize>(key: &Key, record: &T) -> Result<Bytes> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|error| damaged(key, &error))
}

pub(super) fn from_bytes<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| damaged(key, &error))
}

pub(super) fn damaged(key: &Key, problem: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Damaged { key: key.as_str().to_owned(), problem: problem.to_string() }
}
