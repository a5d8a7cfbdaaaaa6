//! Where the V1 registry keeps things, and what it calls them (docker-registry-core 2.0.3, `docker_registry/core/driver.py`).
//! Every key of such a store is made here.

use longshore_driver_sdk::{Key, KeyPrefix, Result};

use super::image_id::ImageId;
use crate::oci::{RepositoryName, Tag};

const REPOSITORIES: &str = "repositories/";
const IMAGES: &str = "images/";
/// Of the tag's name, which follows (`tag_path`).
const TAG: &str = "tag_";
/// Of the file that says when a tag was set (`repository_tag_json_path`).
const TAG_METADATA: &str = "_json";
const PRIVATE: &str = "_private";

/// A file of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Json,
    Layer,
    Ancestry,
    Checksum,
    InProgress,
}

impl File {
    const ALL: [Self; 5] = [Self::Json, Self::Layer, Self::Ancestry, Self::Checksum, Self::InProgress];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Layer => "layer",
            Self::Ancestry => "ancestry",
            Self::Checksum => "_checksum",
            Self::InProgress => "_inprogress",
        }
    }

    /// `None`: one that nobody needs (`_files` and `_diff`), or that no V1 registry wrote.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == name)
    }

    pub(super) fn key(self, image: &ImageId) -> Result<Key> {
        Ok(Key::parse(&format!("{IMAGES}{image}/{}", self.name()))?)
    }
}

pub(super) fn repositories() -> Result<KeyPrefix> {
    Ok(KeyPrefix::parse(REPOSITORIES)?)
}

/// A namespace, from the common prefix that a listing shows.
pub(super) fn namespace(prefix: &str) -> Result<KeyPrefix> {
    Ok(KeyPrefix::parse(prefix)?)
}

pub(super) fn images() -> Result<KeyPrefix> {
    Ok(KeyPrefix::parse(IMAGES)?)
}

pub(super) fn image(id: &ImageId) -> Result<KeyPrefix> {
    Ok(KeyPrefix::parse(&format!("{IMAGES}{id}/"))?)
}

/// The image whose folder a listing of `images/` shows. `None`: something else.
pub(super) fn image_of(prefix: &str) -> Option<ImageId> {
    prefix.strip_prefix(IMAGES)?.strip_suffix('/')?.parse().ok()
}

/// A repository, by the folder that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    prefix: KeyPrefix,
    pub(super) name: String,
}

impl Folder {
    /// From the common prefix that a listing shows: `repositories/NAMESPACE/NAME/`. `None`: something else.
    pub(super) fn of_prefix(prefix: &str) -> Option<Self> {
        let (namespace, repository) =
            prefix.strip_prefix(REPOSITORIES)?.strip_suffix('/')?.split_once('/')?;
        if repository.contains('/') {
            return None;
        }
        let prefix = KeyPrefix::parse(prefix).ok()?;
        // A repository's own name is quoted twice, so that a space in it is a `%2B` and never seen.
        Some(Self { prefix, name: format!("{}/{repository}", unquoted(namespace)) })
    }

    pub(super) fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// Why no V2 repository can be called so.
    pub(super) fn no_v2_name(&self) -> Option<String> {
        if self.name.parse::<RepositoryName>().is_ok() {
            return None;
        }
        let lower = self.name.to_ascii_lowercase();
        Some(match lower.parse::<RepositoryName>() {
            Ok(_) => "no V2 name: it has upper-case letters".to_owned(),
            Err(_) => "no V2 name: parts of lower-case letters and digits, joined by '.', '_', '__' or '-'"
                .to_owned(),
        })
    }
}

/// A file of a repository's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RepositoryFile {
    /// What may be a tag: its content tells.
    Tag(TagFile),
    /// Those that are let in are told apart from the others.
    Private,
    /// The registry's own.
    Other,
}

/// `tag_<tag>`, or a `tag<tag>_json` that looks like one: the tag `_foo` writes its times to `tag_foo_json`, which would be the
/// tag `foo_json` as well (docker-registry 0.9.1, `tags.py`, `get_tags` takes it for one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagFile {
    pub(super) key: Key,
    pub(super) tag: String,
    pub(super) may_be_metadata: bool,
}

impl RepositoryFile {
    pub(super) fn of_key(key: &Key) -> Self {
        match key.name().strip_prefix(TAG) {
            Some(tag) => Self::Tag(TagFile {
                key: key.clone(),
                tag: unquoted(tag),
                may_be_metadata: tag.ends_with(TAG_METADATA),
            }),
            None if key.name() == PRIVATE => Self::Private,
            None => Self::Other,
        }
    }
}

impl TagFile {
    /// Why no V2 tag can be called so.
    pub(super) fn no_v2_name(&self) -> Option<String> {
        self.tag
            .parse::<Tag>()
            .err()
            .map(|_| "no V2 tag: a letter, digit or '_', then at most 127 of these or '.' and '-'".to_owned())
    }
}

/// `quote_plus` made a `+` of a space. What it makes of everything else has a `%`, which no key has.
fn unquoted(text: &str) -> String {
    text.replace('+', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> RepositoryFile {
        RepositoryFile::of_key(&Key::parse(&format!("repositories/team/app/{name}")).unwrap())
    }

    #[test]
    fn tags_are_what_begins_like_one_and_a_tags_times_may_look_the_same() {
        let tag = |name: &str| match file(name) {
            RepositoryFile::Tag(file) => (file.tag, file.may_be_metadata),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(tag("tag_latest"), ("latest".to_owned(), false));
        assert_eq!(tag("tag__foo"), ("_foo".to_owned(), false));
        assert_eq!(tag("tag_foo_json"), ("foo_json".to_owned(), true));
        assert_eq!(tag("tag_a+b"), ("a b".to_owned(), false));
        assert_eq!(tag("tag_"), (String::new(), false));
        for name in ["taglatest_json", "json", "_index_images", "_images_list", "tag"] {
            assert_eq!(file(name), RepositoryFile::Other, "{name}");
        }
        assert_eq!(file("_private"), RepositoryFile::Private);
    }

    #[test]
    fn a_repository_is_two_parts_below_its_folder() {
        let name = |prefix: &str| Folder::of_prefix(prefix).map(|folder| folder.name);
        assert_eq!(name("repositories/library/app/").as_deref(), Some("library/app"));
        assert_eq!(name("repositories/a+b/app/").as_deref(), Some("a b/app"));
        for prefix in ["repositories/library/", "repositories/a/b/c/", "images/a/b/", "repositories/a/b"] {
            assert_eq!(name(prefix), None, "{prefix}");
        }
    }

    #[test]
    fn names_that_no_v2_repository_or_tag_may_have_are_noted() {
        let note = |name: &str| Folder::of_prefix(&format!("repositories/{name}/")).unwrap().no_v2_name();
        assert_eq!(note("library/app"), None);
        assert!(note("Team/app").unwrap().contains("upper-case"));
        assert!(note("team/-app").unwrap().contains("joined by"));
        let tag = |name: &str| match file(&format!("tag_{name}")) {
            RepositoryFile::Tag(file) => file.no_v2_name(),
            other => panic!("{other:?}"),
        };
        assert_eq!(tag("1.0-RC_2"), None);
        assert!(tag("a+b").is_some() && tag(".a").is_some() && tag("").is_some());
    }

    #[test]
    fn the_files_of_an_image_are_known_by_their_names() {
        let id: ImageId = "0123456789abcdef".parse().unwrap();
        for file in File::ALL {
            let key = file.key(&id).unwrap();
            assert!(key.as_str().starts_with(image(&id).unwrap().as_str()));
            assert_eq!(File::of_name(key.name()), Some(file));
        }
        assert_eq!(File::of_name("_files"), None);
        assert_eq!(image_of("images/0123456789abcdef/"), Some(id));
        for other in ["images/0123456789abcdef", "images/x/", "images/lost+found/", "x/0123456789abcdef/"] {
            assert_eq!(image_of(other), None, "{other}");
        }
    }
}
