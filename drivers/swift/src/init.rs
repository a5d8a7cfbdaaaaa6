//! Making a store where the settings allow it. Owns the rule that a container with anything in it is no place for a new one.

use bytes::Bytes;
use longshore_driver_sdk::backend::is_reserved;
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{Key, Result, UploadId};

use crate::container::{Container, Extra, Freshness};

/// A store in a container, or below a prefix, that has nothing but what drivers put there.
pub(crate) async fn make_if_empty(container: &Container) -> Result<()> {
    let key = Key::store_id();
    if container.stat(key.as_str(), Freshness::Newest).await?.is_some() {
        return Ok(());
    }
    // What is the drivers' shows as one folder, so that anything else is among two.
    let listing = container.list("", true, "", 2).await?;
    if let Some(other) = listing.entries.iter().find(|entry| !is_reserved(&entry.name)) {
        let (container, name) = (container.place(), &other.name);
        tracing::warn!(container, name, "no store is made: the container is not empty");
        return Ok(());
    }
    let id = UploadId::random()?.to_string();
    let put = container.put(key.as_str(), Content::from(Bytes::from(id.clone())), Extra::default()).await;
    put.map_err(|failure| failure.into_error(&format!("PUT {key}")))?;
    tracing::info!(container = container.place(), store_id = id, "made a new store");
    Ok(())
}
