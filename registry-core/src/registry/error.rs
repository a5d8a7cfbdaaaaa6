//! What a registry operation can end with. Typed data; sentences are made at the edge (api/error.rs).

use longshore_driver_sdk::DriverError;

use crate::oci::{Digest, ManifestProblem, Reference, RepositoryName};

pub type Result<T> = std::result::Result<T, RegistryError>;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("the blob {0} is not in this repository")]
    BlobUnknown(Digest),
    #[error(
        "there is no upload {0} in this repository: it was finished, cancelled, or idle for too long; start a new one"
    )]
    UploadUnknown(String),
    #[error("the upload {0} is finished already; nothing can be added to it")]
    UploadFinished(String),
    #[error("this upload is at offset {durable}: continue there")]
    OffsetMismatch { durable: u64 },
    #[error("another request took this upload over; ask for its offset and continue there")]
    UploadTakenOver,
    #[error("the bytes received are {found}, not {expected}")]
    DigestMismatch { expected: Digest, found: Digest },
    #[error("this upload was finished as {0}; a repeated finalise must name the same digest")]
    FinishedAs(Digest),
    #[error("the body ended early, or broke: {0}")]
    Body(String),
    #[error("the chunk has {found} bytes, but its range says {expected}")]
    ChunkSize { expected: u64, found: u64 },
    #[error("the manifest {0} is not in this repository")]
    ManifestUnknown(Reference),
    #[error("the manifest is invalid: {0}")]
    ManifestInvalid(#[from] ManifestProblem),
    #[error("the manifest is {found}, not {expected}")]
    ManifestDigestMismatch { expected: Digest, found: Digest },
    #[error("{reference} is {}, and the request is for another state of it", shown(.current.as_ref()))]
    PreconditionFailed { reference: Reference, current: Option<Digest> },
    #[error("the manifest is larger than {limit} bytes")]
    ManifestTooLarge { limit: usize },
    #[error("the manifest names what is not in this repository: {}", list(.0))]
    ReferencesUnknown(Vec<Digest>),
    #[error("there is no repository {0}")]
    NameUnknown(RepositoryName),
    #[error("this took longer than it may; nothing was acknowledged; try again")]
    TookTooLong,
    #[error("a record in the store is damaged: {key}: {problem}")]
    Damaged { key: String, problem: String },
    #[error(transparent)]
    Storage(#[from] DriverError),
}

fn shown(current: Option<&Digest>) -> String {
    current.map_or_else(|| "not in this repository".to_owned(), ToString::to_string)
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl From<longshore_driver_sdk::key::InvalidKey> for RegistryError {
    fn from(error: longshore_driver_sdk::key::InvalidKey) -> Self {
        Self::Storage(error.into())
    }
}
