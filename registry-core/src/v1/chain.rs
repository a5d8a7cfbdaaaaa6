//! An image and all that it is built on. The JSONs say what that is; the ancestry says it again, for clients to pull by, and is held
//! against them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore_driver_sdk::Result;

use super::damage::{Finding, What};
use super::image::{Image, MOST_LAYERS, Parent};
use super::image_id::ImageId;
use super::images::Images;

/// From an image to its root.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Also those that are not there.
    pub(super) images: Vec<Arc<Image>>,
    /// What each by itself has no way to tell.
    pub(super) damage: Vec<Finding>,
}

impl Chain {
    /// Reads the images that the ancestry names all at once, and then goes by the parents.
    pub(super) async fn of(images: &Images<'_>, top: ImageId) -> Result<Self> {
        let ancestry = images.ancestry(top).await?.unwrap_or_default();
        futures_util::stream::iter(&ancestry)
            .map(|id| images.get(*id))
            .buffer_unordered(images.store.jobs())
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let mut chain = Self::default();
        let is_whole = chain.walk(images, top, &ancestry).await?;
        if is_whole {
            chain.compare(top, &ancestry);
        }
        Ok(chain)
    }

    /// Whether every JSON up to a root could be read: then what they say is the truth.
    async fn walk(&mut self, images: &Images<'_>, top: ImageId, ancestry: &[ImageId]) -> Result<bool> {
        let (mut seen, mut is_whole, mut next) = (HashSet::new(), true, Some(top));
        while let Some(id) = next {
            if !seen.insert(id) {
                let text = format!("its parents go round in a circle, by way of {id}");
                self.damage.push(Finding::of(top, What::AncestryBroken, text));
                return Ok(false);
            }
            if self.images.len() == MOST_LAYERS {
                let text = format!(
                    "it is built of more than {MOST_LAYERS} images; {id} and what is behind it were not looked at"
                );
                self.damage.push(Finding::of(top, What::AncestryBroken, text));
                return Ok(false);
            }
            let image = images.get(id).await?;
            if !image.is_there {
                self.damage.push(Finding::of(id, What::ImageMissing, self.missing(top)));
            }
            next = match image.parent {
                Parent::Nothing => None,
                Parent::Image(parent) => Some(parent),
                Parent::Unknown => {
                    is_whole = false;
                    behind(id, ancestry)
                }
            };
            self.images.push(image);
        }
        Ok(is_whole)
    }

    fn missing(&self, top: ImageId) -> String {
        match self.images.last() {
            None => "the tag points at an image that is not there".to_owned(),
            Some(child) if child.id == top => {
                "its child, at which the tag points, is there, and it is not".to_owned()
            }
            Some(child) => format!("its child {} is there, and it is not", child.id),
        }
    }

    /// Holds each ancestry against the parents.
    fn compare(&mut self, top: ImageId, ancestry: &[ImageId]) {
        let all = self.images.len();
        let walked = self.images.iter().map(|image| Some(image.id)).chain([None]);
        let named = ancestry.iter().copied().map(Some).chain([None]);
        let difference = walked.zip(named).find(|(walked, named)| walked != named);
        // One that can't be read, or is another image's, was told already.
        if let Some((walked, named)) = difference.filter(|_| !ancestry.is_empty()) {
            let says =
                |id: Option<ImageId>| id.map_or_else(|| "nothing more".to_owned(), |id| id.to_string());
            let text = format!("its ancestry has {} where the JSONs have {}", says(named), says(walked));
            self.damage.push(Finding::of(top, What::AncestryBroken, text));
        }
        for (index, image) in self.images.iter().enumerate().skip(1) {
            let length = all - index;
            if let Some(named) = image.ancestry.filter(|named| *named != length) {
                let text = format!("its ancestry names {named} images, and it is built of {length}");
                self.damage.push(Finding::of(image.id, What::AncestryBroken, text));
            }
        }
    }
}

/// What an ancestry names behind an image.
fn behind(id: ImageId, ancestry: &[ImageId]) -> Option<ImageId> {
    let at = ancestry.iter().position(|named| *named == id)?;
    ancestry.get(at + 1).copied()
}
