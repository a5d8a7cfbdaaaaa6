//! Where distribution (registry:2, and its version 3) keeps things on a file system:
//!
//! ```text
//! blobs/<alg>/<aa>/<hex>/data                                 bytes, of blobs and manifests alike
//! repositories/<name>/_layers/<alg>/<hex>/link                this repository may serve this blob
//! repositories/<name>/_manifests/revisions/<alg>/<hex>/link   and this manifest
//! repositories/<name>/_manifests/tags/<tag>/current/link      what a tag points at
//! repositories/<name>/_manifests/tags/<tag>/index/...         what it pointed at before
//! repositories/<name>/_uploads/<id>/...                       uploads that nobody finished
//! ```
//!
//! A link's content is the digest. Deleting takes the link alone away, so a folder without one is no fault.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::tree::{Entry, Flaw, Kind, Tree};
use crate::oci::{Digest, RepositoryName, Tag};

/// `docker/registry/v2` below the directory that distribution is configured with.
const ROOT: &str = "docker/registry/v2";
/// A digest and then some.
const MAX_LINK: usize = 1024;

/// A directory that is no store of distribution.
#[derive(Debug, thiserror::Error)]
pub enum SourceProblem {
    #[error("{0}: {1}")]
    Unreadable(PathBuf, String),
    #[error(
        "{0} is no store of registry:2: neither it nor {ROOT} in it has the directories `blobs` and `repositories`"
    )]
    NoStore(PathBuf),
}

/// Something found in a folder: what it says, or its place and what is wrong with it.
pub(super) type Found<T> = Result<T, (String, Flaw)>;

#[derive(Debug, Clone)]
pub(super) struct Source {
    tree: Tree,
}

impl Source {
    pub(super) fn open(directory: &Path) -> Result<Self, SourceProblem> {
        let unreadable = |flaw: Flaw| SourceProblem::Unreadable(directory.to_owned(), flaw.to_string());
        let tree = Tree::open(directory).map_err(unreadable)?;
        let inner = match tree.below(ROOT) {
            Err(Flaw::Absent) => None,
            inner => Some(inner.map_err(unreadable)?),
        };
        for tree in inner.into_iter().chain([tree]) {
            if tree.below("blobs").is_ok() && tree.below("repositories").is_ok() {
                return Ok(Self { tree });
            }
        }
        Err(SourceProblem::NoStore(directory.to_owned()))
    }

    pub(super) fn shown(&self, path: &str) -> String {
        self.tree.shown(path)
    }

    /// The entries of a repository's folder, or of the one that holds all.
    pub(super) fn folder(&self, name: &str) -> Result<Vec<Entry>, Flaw> {
        self.tree.list(&format!("repositories/{name}"))
    }

    /// Every manifest that has a link; `None`: one that was deleted.
    pub(super) fn revisions(&self, name: &RepositoryName) -> Vec<Found<Option<Digest>>> {
        let folder = format!("repositories/{name}/_manifests/revisions");
        let mut found = Vec::new();
        for algorithm in self.entries(&folder, &mut found) {
            let folder = format!("{folder}/{algorithm}");
            for hex in self.entries(&folder, &mut found) {
                let path = format!("{folder}/{hex}");
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else {
                    found.push(Err((path, Flaw::NoDigest(format!("{algorithm}:{hex}")))));
                    continue;
                };
                let link = format!("{path}/link");
                found.push(match self.expect_link(&link, &digest) {
                    Ok(()) => Ok(Some(digest)),
                    Err(Flaw::Absent) => Ok(None),
                    Err(flaw) => Err((link, flaw)),
                });
            }
        }
        found
    }

    /// The names in a folder of folders; an absent one is empty.
    fn entries<T>(&self, folder: &str, found: &mut Vec<Found<T>>) -> Vec<String> {
        match self.tree.list(folder) {
            Ok(entries) => {
                let mut names = Vec::new();
                for entry in entries {
                    match entry.kind {
                        Kind::Directory => names.push(entry.name),
                        Kind::Link => found.push(Err((format!("{folder}/{}", entry.name), Flaw::Link))),
                        Kind::Other => {
                            found.push(Err((format!("{folder}/{}", entry.name), Flaw::NoDirectory)));
                        }
                    }
                }
                names
            }
            Err(Flaw::Absent) => Vec::new(),
            Err(flaw) => {
                found.push(Err((folder.to_owned(), flaw)));
                Vec::new()
            }
        }
    }

    /// Every tag and what it points at.
    pub(super) fn tags(&self, name: &RepositoryName) -> Vec<Result<(Tag, Digest), (String, String)>> {
        let folder = format!("repositories/{name}/_manifests/tags");
        let mut flaws: Vec<Found<()>> = Vec::new();
        let names = self.entries(&folder, &mut flaws);
        let flaws = flaws.into_iter().filter_map(Result::err);
        let mut found: Vec<_> = flaws.map(|(path, flaw)| Err((path, flaw.to_string()))).collect();
        for name in names {
            let link = format!("{folder}/{name}/current/link");
            found.push(match (name.parse::<Tag>(), self.link(&link)) {
                (Err(invalid), _) => Err((format!("{folder}/{name}"), invalid.to_string())),
                (_, Err(flaw)) => Err((link, flaw.to_string())),
                (Ok(tag), Ok(digest)) => Ok((tag, digest)),
            });
        }
        found
    }

    /// Whether the repository may serve a blob.
    pub(super) fn layer_link(&self, name: &RepositoryName, digest: &Digest) -> Found<()> {
        let link =
            format!("repositories/{name}/_layers/{}/{}/link", digest.algorithm().as_str(), digest.hex());
        self.expect_link(&link, digest).map_err(|flaw| (link, flaw))
    }

    pub(super) fn manifest(&self, digest: &Digest, limit: usize) -> Found<Vec<u8>> {
        let path = data(digest);
        self.tree.read(&path, limit).map_err(|flaw| (path, flaw))
    }

    pub(super) fn blob(&self, digest: &Digest) -> Found<(File, u64)> {
        let path = data(digest);
        self.tree.file(&path).map_err(|flaw| (path, flaw))
    }

    fn expect_link(&self, path: &str, digest: &Digest) -> Result<(), Flaw> {
        let found = self.link(path)?;
        if found == *digest { Ok(()) } else { Err(Flaw::OtherDigest(found.to_string())) }
    }

    fn link(&self, path: &str) -> Result<Digest, Flaw> {
        let content = self.tree.read(path, MAX_LINK)?;
        let text = String::from_utf8_lossy(&content);
        text.parse().map_err(|_| Flaw::NoDigest(text.chars().take(100).collect()))
    }
}

/// Where the bytes of a digest lie.
pub(super) fn data(digest: &Digest) -> String {
    format!("blobs/{}/{}/{}/data", digest.algorithm().as_str(), &digest.hex()[..2], digest.hex())
}
