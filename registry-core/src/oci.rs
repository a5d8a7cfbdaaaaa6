//! The vocabulary of the OCI specifications: what names, digests, ranges and manifests are. Pure: no I/O, no HTTP, no keys.

mod byte_range;
mod descriptor;
mod digest;
mod error_code;
mod json_depth;
mod manifest;
mod reference;
mod repository_name;

pub use byte_range::{ByteRange, ContentRange, InvalidContentRange, RangeHeader};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestProblem};
pub use error_code::ErrorCode;
pub use manifest::{Manifest, ManifestProblem, media_type};
pub use reference::{InvalidReference, InvalidTag, Reference, Tag};
pub use repository_name::{InvalidRepositoryName, RepositoryName};
