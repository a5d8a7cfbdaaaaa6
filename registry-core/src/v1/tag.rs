//! A tag and what it leads to.

use std::collections::HashMap;
use std::sync::Arc;

use longshore_driver_sdk::Result;
use serde::de::IgnoredAny;

use super::chain::Chain;
use super::damage::{Finding, What, shown};
use super::image::Image;
use super::image_id::ImageId;
use super::images::Images;
use super::layout::TagFile;
use super::store::Content;

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: String,
    /// `None`: its file has no id in it.
    pub(super) image: Option<ImageId>,
    /// It and all that it is built on, also those that are not there.
    pub(super) images: Vec<Arc<Image>>,
    pub(super) damage: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
}

/// What a file that may be a tag's says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Image(ImageId),
    /// It is no tag, but a tag's times.
    Metadata,
    /// Why not.
    Nothing(String),
}

impl Tag {
    /// `None`: it is none, or gone since it was listed.
    pub(super) async fn look(images: &Images<'_>, file: TagFile) -> Result<Option<Self>> {
        let said = match images.store.get(&file.key).await? {
            Content::Whole(content) => said(&file, &content),
            Content::Unreadable(why) => Said::Nothing(format!("its file can't be read: {why}")),
            Content::Absent => return Ok(None),
        };
        let mut tag = Self {
            image: None,
            images: Vec::new(),
            damage: Vec::new(),
            notes: file.no_v2_name().map(|text| Finding::of_name(What::NoV2Name, text)).into_iter().collect(),
            name: file.tag,
        };
        match said {
            Said::Image(id) => {
                let chain = Chain::of(images, id).await?;
                tag.image = Some(id);
                tag.damage = chain.images.iter().flat_map(|image| image.damage.clone()).collect();
                tag.damage.extend(chain.damage);
                tag.notes.extend(chain.images.iter().flat_map(|image| image.notes.clone()));
                tag.images = chain.images;
            }
            Said::Metadata => return Ok(None),
            Said::Nothing(why) => tag.damage.push(Finding::of_name(What::TagUnreadable, why)),
        }
        images.progress.tag();
        Ok(Some(tag))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.images.iter().map(|image| image.bytes).sum()
    }
}

/// Only the content tells a tag from another tag's times.
fn said(file: &TagFile, content: &[u8]) -> Said {
    let text = String::from_utf8_lossy(content);
    if let Ok(id) = text.parse() {
        return Said::Image(id);
    }
    let is_object = || serde_json::from_slice::<HashMap<String, IgnoredAny>>(content).is_ok();
    if file.may_be_metadata && is_object() {
        return Said::Metadata;
    }
    Said::Nothing(format!("its file has no id of an image in it, but {:?}", shown(&text)))
}

#[cfg(test)]
mod tests {
    use longshore_driver_sdk::Key;

    use super::*;
    use crate::v1::layout::RepositoryFile;

    #[test]
    fn only_the_content_tells_a_tag_from_another_tags_times() {
        let said = |name: &str, content: &str| {
            let key = Key::parse(&format!("repositories/team/app/{name}")).unwrap();
            match RepositoryFile::of_key(&key) {
                RepositoryFile::Tag(file) => said(&file, content.as_bytes()),
                other => panic!("{other:?}"),
            }
        };
        let id = "f".repeat(64);
        let times = r#"{"last_update": 1412709249, "docker_version": "1.3.0"}"#;
        assert_eq!(said("tag_1.0", &id), Said::Image(id.parse().unwrap()));
        assert_eq!(said("tag_foo_json", &id), Said::Image(id.parse().unwrap()));
        assert_eq!(said("tag_foo_json", times), Said::Metadata);
        for content in ["", "latest", &format!("{id}\n"), &format!("\"{id}\""), times] {
            assert!(matches!(said("tag_1.0", content), Said::Nothing(_)), "{content}");
        }
        assert!(matches!(said("tag_foo_json", "[]"), Said::Nothing(_)));
    }
}
