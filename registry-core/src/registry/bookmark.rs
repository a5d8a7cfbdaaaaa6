//! What the core leaves with an upload session at each mark: enough to go on anywhere, after any crash.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::hasher::Hasher;
use super::{RegistryError, Result};
use crate::oci::{Algorithm, Digest, RepositoryName};

/// At most 4 KiB on the wire (contract clause U5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bookmark {
    version: u32,
    /// An upload belongs to one repository; another can't touch it.
    pub(super) repository: String,
    pub(super) algorithm: Algorithm,
    /// The hash of all bytes so far, put aside.
    hash: String,
    /// Of a commit: what the bytes were verified to be, or, with `unverified`, what they must yet be found to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Digest>,
    /// The digest's algorithm was named only at the end: the committed object is read back before anything refers to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unverified: bool,
}

impl Bookmark {
    pub(super) fn new(repository: &RepositoryName, hasher: &Hasher) -> Self {
        Self {
            version: 1,
            repository: repository.as_str().to_owned(),
            algorithm: hasher.algorithm(),
            hash: hasher.save(),
            digest: None,
            unverified: false,
        }
    }

    pub(super) fn finished(repository: &RepositoryName, hasher: &Hasher, digest: &Digest) -> Self {
        let unverified = hasher.algorithm() != digest.algorithm();
        Self { digest: Some(digest.clone()), unverified, ..Self::new(repository, hasher) }
    }

    pub(super) fn to_bytes(&self) -> Result<Bytes> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|error| damaged(&error))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| damaged(&error))
    }

    pub(super) fn hasher(&self) -> Result<Hasher> {
        Hasher::restore(self.algorithm, &self.hash)
            .ok_or_else(|| damaged(&"the hash's state is of another version"))
    }
}

fn damaged(problem: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::Damaged { key: "an upload's bookmark".to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bookmark_fits() {
        let name: RepositoryName = "n/".repeat(127).trim_end_matches('/').parse().unwrap();
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(&[7; 127]);
        let bookmark = Bookmark::finished(&name, &hasher, &hasher.digest());
        let bytes = bookmark.to_bytes().unwrap();
        assert!(bytes.len() <= 4096, "{}", bytes.len());
        assert_eq!(Bookmark::from_bytes(&bytes).unwrap(), bookmark);
    }
}
