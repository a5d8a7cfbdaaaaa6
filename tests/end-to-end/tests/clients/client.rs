//! What the matrix asks of each client.

use std::fmt;

use crate::home::Refusal;
use crate::images::Images;
use crate::tree::Tree;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Several layers, for one architecture.
    Image,
    /// An index of two architectures.
    List,
    /// A manifest with an artifactType, a subject and a blob that is no layer.
    Artifact,
}

pub(crate) const ITEMS: [Item; 3] = [Item::Image, Item::List, Item::Artifact];

impl Item {
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::List => "list",
            Self::Artifact => "artifact",
        }
    }
}

/// What a client does to a manifest on its own when it pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// The same meaning in other JSON text, and so another digest.
    Rewritten,
    /// The layers are the same tar archives, compressed anew.
    Recompressed,
    /// The media types are docker's instead of the OCI's.
    DockerTypes,
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rewritten => "writes the manifest anew",
            Self::Recompressed => "compresses layers anew",
            Self::DockerTypes => "changes to docker's media types",
        })
    }
}

/// What a pull gave.
pub(crate) struct Pulled {
    /// The digests by which the client itself says that it has it.
    pub(crate) digests: Vec<String>,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Tree(Tree),
    Blob(Vec<u8>),
}

pub(crate) trait Client: Send + Sync {
    fn name(&self) -> &'static str;

    /// As the program itself says it.
    fn version(&self) -> String;

    /// How it names the registry: `HOST:PORT`.
    fn host(&self) -> &str;

    /// Makes the private authority known, as an operator would.
    fn trust(&self);

    fn login(&self, password: &str) -> Result<(), Refusal>;

    /// The words by which it tells that the password is wrong.
    fn tells_wrong_password(&self) -> &'static str;

    /// Pushes the item from the files to `repository:tag`, and gives the digest that it reports.
    fn push(&self, item: Item, images: &Images, repository: &str) -> Result<String, Refusal>;

    /// Forgets all it has, pulls, and unpacks.
    fn pull(&self, item: Item, reference: &str, architecture: &str) -> Result<Pulled, Refusal>;

    /// What it does to an item of its own accord when it pushes it.
    fn conversions(&self, item: Item) -> &'static [Conversion];

    /// The words by which it refuses to push an artifact; none if it pushes them.
    fn refuses_to_push_artifacts(&self) -> Option<&'static str> {
        None
    }

    /// The words by which it refuses to pull an artifact; none if it pulls them.
    fn refuses_to_pull_artifacts(&self) -> Option<&'static str> {
        None
    }

    /// Some tell the digest of the image that they chose from a list, not that of the list.
    fn tells_digests_of_lists(&self) -> bool {
        true
    }
}
