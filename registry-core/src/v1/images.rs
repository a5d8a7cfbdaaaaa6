//! The images of a store, each looked at when something leads to it.

use std::sync::Arc;

use bytes::Bytes;
use longshore_driver_sdk::{Entry, Result};
use tokio::sync::OnceCell;

use super::cache::Cache;
use super::checksum::{self, Check, Summing};
use super::damage::{What, shown};
use super::image::{self, Image};
use super::image_id::ImageId;
use super::layout::{self, File};
use super::progress::Progress;
use super::store::{Content, Store};

/// Of which something is remembered: about 10 MiB. A store that has more may have some looked at twice.
const REMEMBERED: usize = 32 * 1024;

pub(super) struct Images<'a> {
    pub(super) store: &'a Store,
    pub(super) progress: &'a Progress,
    verify: bool,
    /// The cell lets one look and the others wait for it.
    seen: Cache<OnceCell<Arc<Image>>>,
}

/// Which files of an image are there.
#[derive(Default)]
pub(super) struct Files {
    any: bool,
    json: bool,
    /// Its size.
    pub(super) layer: Option<u64>,
    ancestry: bool,
    checksum: bool,
    pub(super) in_progress: bool,
}

impl<'a> Images<'a> {
    pub(super) fn new(store: &'a Store, progress: &'a Progress, verify: bool) -> Self {
        Self { store, progress, verify, seen: Cache::new(REMEMBERED) }
    }

    pub(super) async fn get(&self, id: ImageId) -> Result<Arc<Image>> {
        self.seen.of(id).get_or_try_init(|| self.look(id)).await.cloned()
    }

    /// What an image's ancestry names; `None`: it has none that can be read, which [`Images::get`] tells as damage.
    pub(super) async fn ancestry(&self, id: ImageId) -> Result<Option<Vec<ImageId>>> {
        match self.store.get(&File::Ancestry.key(&id)?).await? {
            Content::Whole(content) => Ok(image::ancestry(id, &content).ok()),
            Content::Absent | Content::Unreadable(_) => Ok(None),
        }
    }

    async fn look(&self, id: ImageId) -> Result<Arc<Image>> {
        let files = self.files(id).await?;
        let mut image = Image::new(id, files.any);
        if files.any {
            if files.in_progress {
                let text = "its push never came to an end (_inprogress is there)";
                image.damage.push(image.finding(What::InProgress, text));
            }
            let json = self.json(&mut image, &files).await?;
            self.look_at_ancestry(&mut image, &files).await?;
            self.look_at_layer(&mut image, &files, json).await?;
        }
        self.progress.image();
        Ok(Arc::new(image))
    }

    pub(super) async fn files(&self, id: ImageId) -> Result<Files> {
        let mut files = Files::default();
        let mut pages = self.store.folder(&layout::image(&id)?);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                let Entry::Object(object) = entry else { continue };
                files.any = true;
                match File::of_name(object.key.name()) {
                    Some(File::Json) => files.json = true,
                    Some(File::Layer) => files.layer = Some(object.size),
                    Some(File::Ancestry) => files.ancestry = true,
                    Some(File::Checksum) => files.checksum = true,
                    Some(File::InProgress) => files.in_progress = true,
                    None => {}
                }
            }
        }
        Ok(files)
    }

    /// Its bytes, where it can be read; and what it says.
    async fn json(&self, image: &mut Image, files: &Files) -> Result<Option<Bytes>> {
        let content =
            if files.json { self.store.get(&File::Json.key(&image.id)?).await? } else { Content::Absent };
        match content {
            Content::Whole(json) => {
                match image::parent(image.id, &json) {
                    Ok(parent) => image.parent = parent,
                    Err(finding) => image.damage.push(finding),
                }
                Ok(Some(json))
            }
            Content::Absent => {
                image.damage.push(image.finding(What::JsonMissing, "its JSON is missing"));
                Ok(None)
            }
            Content::Unreadable(why) => {
                let text = format!("its JSON can't be read: {why}");
                image.damage.push(image.finding(What::JsonUnreadable, text));
                Ok(None)
            }
        }
    }

    async fn look_at_ancestry(&self, image: &mut Image, files: &Files) -> Result<()> {
        let key = File::Ancestry.key(&image.id)?;
        let content = if files.ancestry { self.store.get(&key).await? } else { Content::Absent };
        match content {
            Content::Whole(content) => match image::ancestry(image.id, &content) {
                Ok(ids) => image.ancestry = Some(ids.len()),
                Err(finding) => image.damage.push(finding),
            },
            Content::Absent => {
                image.damage.push(image.finding(What::AncestryMissing, "its ancestry is missing"));
            }
            Content::Unreadable(why) => {
                let text = format!("its ancestry can't be read: {why}");
                image.damage.push(image.finding(What::AncestryUnreadable, text));
            }
        }
        Ok(())
    }

    async fn look_at_layer(&self, image: &mut Image, files: &Files, json: Option<Bytes>) -> Result<()> {
        match files.layer {
            None => image.damage.push(image.finding(What::LayerMissing, "its layer is missing")),
            Some(0) => image.damage.push(image.finding(What::LayerEmpty, "its layer has no byte")),
            Some(bytes) => {
                image.bytes = bytes;
                if let Some(json) = json.filter(|_| self.verify) {
                    self.check(image, files, &json).await?;
                }
            }
        }
        Ok(())
    }

    async fn check(&self, image: &mut Image, files: &Files, json: &[u8]) -> Result<()> {
        let recorded = match self.recorded(image.id, files).await? {
            Ok(recorded) => recorded,
            Err(why) => {
                image.check = Check::NotPossible;
                image.notes.push(image.finding(What::NotChecked, why));
                return Ok(());
            }
        };
        let (key, mut summing) = (File::Layer.key(&image.id)?, Summing::of_json(json));
        let read = self.store.read(&key, |piece| {
            summing.add(piece);
            self.progress.bytes(piece.len());
        });
        if let Err(why) = read.await? {
            let text = format!("its layer can't be read: {why}");
            image.damage.push(image.finding(What::LayerUnreadable, text));
            return Ok(());
        }
        let sum = summing.sum();
        image.check = if recorded.contains(&sum) { Check::Matches } else { Check::Differs };
        if image.check == Check::Differs {
            let text =
                format!("its checksum is {}, and JSON and layer have {sum}", shown(&recorded.join(", ")));
            image.damage.push(image.finding(What::ChecksumMismatch, text));
        }
        Ok(())
    }

    /// The checksums that can be checked, or why there are none.
    async fn recorded(&self, id: ImageId, files: &Files) -> Result<std::result::Result<Vec<String>, String>> {
        let key = File::Checksum.key(&id)?;
        let content = if files.checksum { self.store.get(&key).await? } else { Content::Absent };
        Ok(match content {
            Content::Whole(content) => checksum::simple(&content).map_err(|other| {
                format!("not checked: its checksum is of another kind: {:?}", shown(&other))
            }),
            Content::Absent => Err("not checked: it has no checksum".to_owned()),
            Content::Unreadable(why) => Err(format!("not checked: its checksum can't be read: {why}")),
        })
    }
}
