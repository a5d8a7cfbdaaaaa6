//! Where the segments of a session are. A name carries the session and the writer's nonce, and is written once: a segment
//! that is written over breaks the object that names it.

use longshore_driver_sdk::sessions::parted::Medium as _;
use longshore_driver_sdk::{Result, UploadId};

use crate::store::Store;

const SEGMENTS: &str = ".driver/segments/";
const MANIFEST: &str = "manifest-";

pub(super) fn folder(id: &UploadId) -> String {
    format!("{SEGMENTS}{id}/")
}

/// Below the prefix.
pub(super) fn path(id: &UploadId, name: &str) -> String {
    format!("{SEGMENTS}{id}/{name}")
}

/// The writer's segment of a number.
pub(super) fn name(nonce: &str, number: u32) -> String {
    format!("{nonce}-{number:08x}")
}

/// A manifest of segments, as part of a larger one. What a session's object is made of is decided once, so whoever makes it
/// gives it these names.
pub(super) fn manifest_name(number: usize) -> String {
    format!("{MANIFEST}{number:08x}")
}

pub(super) fn is_manifest(name: &str) -> bool {
    name.starts_with(MANIFEST)
}

/// What a listing shows of them, in one session's folder.
pub(super) async fn listed(store: &Store, id: &UploadId) -> Result<Vec<String>> {
    store.names(&folder(id), "").await
}

/// Deletes those; one that is not there is deleted.
pub(super) async fn delete(store: &Store, id: &UploadId, names: &[String]) -> Result<()> {
    let paths: Vec<String> = names.iter().map(|name| path(id, name)).collect();
    store.delete(&paths).await
}

/// Deletes all segments of the session that made an object, after that object.
pub(crate) async fn delete_of_object(store: &Store, made_by: &str) -> Result<()> {
    let id = UploadId::parse(made_by)?;
    let names = listed(store, &id).await?;
    delete(store, &id, &names).await
}
