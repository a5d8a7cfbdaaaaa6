//! The listing: one repository after the other, then all images, to find those that no tag reaches.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore_driver_sdk::{Driver, DriverError, Entry, Object};

use super::images::Images;
use super::layout::{self, Folder, RepositoryFile};
use super::progress::Progress;
use super::report::{Report, Unreferenced};
use super::store::Store;
use super::tag::Tag;
use super::totals::{RepositoryTotals, Totals};
use super::{ListError, Options};

#[cfg(test)]
mod tests;

/// Lists a store, and writes nothing to it. Damage is told, and no error.
///
/// # Errors
/// When the driver fails, or there is no such store.
pub async fn list(
    driver: Arc<dyn Driver>,
    options: Options,
    progress: &Progress,
    report: &mut Report<'_>,
) -> Result<(), ListError> {
    let store = Store::new(driver, options.jobs);
    let images = Images::new(&store, progress, options.verify);
    let mut listing = Listing { images, totals: Totals::new(options.verify), report };
    listing.namespaces().await?;
    listing.unreferenced(options.unreferenced).await?;
    if listing.totals.is_nothing() {
        return Err(ListError::NoStore);
    }
    Ok(listing.report.summary(&listing.totals.summary())?)
}

struct Listing<'a, 'r> {
    images: Images<'a>,
    totals: Totals,
    report: &'a mut Report<'r>,
}

impl Listing<'_, '_> {
    async fn namespaces(&mut self) -> Result<(), ListError> {
        let store = self.images.store;
        let mut pages = store.folder(&layout::repositories()?);
        while let Some(entries) = pages.next().await? {
            for namespace in folders(entries) {
                self.repositories(&namespace).await?;
            }
        }
        Ok(())
    }

    async fn repositories(&mut self, namespace: &str) -> Result<(), ListError> {
        let store = self.images.store;
        let mut pages = store.folder(&layout::namespace(namespace)?);
        while let Some(entries) = pages.next().await? {
            for folder in folders(entries).filter_map(|prefix| Folder::of_prefix(&prefix)) {
                self.repository(&folder).await?;
            }
        }
        Ok(())
    }

    async fn repository(&mut self, folder: &Folder) -> Result<(), ListError> {
        self.report.repository_begins(folder)?;
        let (mut totals, mut private) = (RepositoryTotals::default(), false);
        let mut pages = self.images.store.folder(folder.prefix());
        while let Some(entries) = pages.next().await? {
            let mut files = Vec::new();
            for object in objects(entries) {
                match RepositoryFile::of_key(&object.key) {
                    RepositoryFile::Tag(file) => files.push(file),
                    RepositoryFile::Private => private = true,
                    RepositoryFile::Other => {}
                }
            }
            let images = &self.images;
            let mut tags = futures_util::stream::iter(files)
                .map(|file| Tag::look(images, file))
                .buffered(images.store.jobs());
            while let Some(found) = tags.try_next().await? {
                let Some(tag) = found else { continue };
                self.totals.tag(&tag);
                totals.tag(&tag);
                self.report.tag(folder, &tag)?;
            }
        }
        self.totals.repository();
        self.images.progress.repository();
        Ok(self.report.repository_ends(folder, private, &totals)?)
    }

    /// Only those that nothing led to are looked into: a recursive listing would have every file of every image.
    async fn unreferenced(&mut self, show: bool) -> Result<(), ListError> {
        let store = self.images.store;
        let mut pages = store.folder(&layout::images()?);
        while let Some(entries) = pages.next().await? {
            let mut unreferenced = Vec::new();
            for entry in entries {
                match layout::image_of(entry.name()) {
                    Some(id) if !self.totals.image(&id) => unreferenced.push(id),
                    Some(_) => {}
                    None => self.totals.other_entry(),
                }
            }
            let images = &self.images;
            let mut found = futures_util::stream::iter(unreferenced)
                .map(|id| async move { Ok::<_, DriverError>((id, images.files(id).await?)) })
                .buffered(store.jobs());
            while let Some((id, files)) = found.try_next().await? {
                let image = Unreferenced {
                    id,
                    bytes: files.layer.unwrap_or_default(),
                    in_progress: files.in_progress,
                };
                self.totals.unreferenced(image.bytes);
                if show {
                    self.report.unreferenced(&image)?;
                }
            }
        }
        Ok(())
    }
}

fn folders(entries: Vec<Entry>) -> impl Iterator<Item = String> {
    entries.into_iter().filter_map(|entry| match entry {
        Entry::CommonPrefix(prefix) => Some(prefix),
        Entry::Object(_) => None,
    })
}

fn objects(entries: Vec<Entry>) -> impl Iterator<Item = Object> {
    entries.into_iter().filter_map(|entry| match entry {
        Entry::Object(object) => Some(object),
        Entry::CommonPrefix(_) => None,
    })
}
