//! Making a store where the settings allow it. Owns the rule that a bucket with anything in it is no place for a new one.

use bytes::Bytes;
use longshore_driver_sdk::backend::is_reserved;
use longshore_driver_sdk::{Key, Result, UploadId};

use crate::bucket::{Bucket, Extra, Guard};
use crate::failure::Failure;
use crate::probe::Enforced;
use longshore_driver_sdk::sessions::parted::Content;

/// A store in a bucket, or below a prefix, that has nothing but what drivers put there.
pub(crate) async fn make_if_empty(bucket: &Bucket, enforced: Enforced) -> Result<()> {
    let key = Key::store_id();
    if bucket.stat(key.as_str()).await?.is_some() {
        return Ok(());
    }
    // What is the drivers' shows as one folder, so that anything else is among two.
    let listing = bucket.list("", true, "", 2).await?;
    if let Some(other) = listing.entries.iter().find(|entry| !is_reserved(&entry.name)) {
        let (bucket, name) = (bucket.place(), &other.name);
        tracing::warn!(bucket, name, "no store is made: the bucket is not empty");
        return Ok(());
    }
    let id = UploadId::random()?.to_string();
    let guard = if enforced.put_if_absent { Guard::IfAbsent } else { Guard::None };
    let content = Content::from(Bytes::from(id.clone()));
    match bucket.put(key.as_str(), content, &guard, Extra::default()).await {
        Ok(_) => tracing::info!(bucket = bucket.place(), store_id = id, "made a new store"),
        // Another driver made it in this moment.
        Err(Failure::Condition) => {}
        Err(other) => return Err(other.into_error(&format!("PUT {key}"))),
    }
    Ok(())
}
