//! An unpacked image as a comparable value: path to kind, mode, owner, size and digest or target.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use longshore_end_to_end::sha256;
use tar::{Archive, EntryType};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// What a client has unpacked, archived by it or by tar.
    pub(crate) fn of_unpacked(archive: impl Read) -> Self {
        let mut tree = Self::default();
        tree.add(archive, |tree, path, entry| {
            tree.0.insert(path.to_owned(), entry);
        });
        tree
    }

    /// image-spec layer.md: applies layers in order, whiteouts and opaque whiteouts included.
    pub(crate) fn of_layers(layers: &[Vec<u8>]) -> Self {
        let mut tree = Self::default();
        for layer in layers {
            let mut above = Self::default();
            let layer: Box<dyn Read> = match layer.as_slice() {
                zipped @ [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(zipped)),
                plain => Box::new(plain),
            };
            above.add(layer, |above, path, entry| {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                match name.strip_prefix(".wh.") {
                    Some(".wh..opq") => tree.remove_below(parent),
                    Some(hidden) => tree.remove(&join(parent, hidden)),
                    None => drop(above.0.insert(path.to_owned(), entry)),
                }
            });
            tree.0.append(&mut above.0);
        }
        tree
    }

    pub(crate) fn paths(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, directory: &str) {
        let below = format!("{directory}/");
        self.0.retain(|path, _| !path.starts_with(&below));
    }

    /// What is not the same in both, for a failure's message.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut paths: Vec<_> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort();
        paths.dedup();
        let differs = paths.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        differs.map(|path| format!("{path}: {:?} is {:?}", self.0.get(path), other.0.get(path))).collect()
    }

    fn add(&mut self, archive: impl Read, mut take: impl FnMut(&mut Self, &str, String)) {
        let mut archive = Archive::new(archive);
        for entry in archive.entries().expect("a tar archive") {
            let mut entry = entry.expect("an entry of a tar archive");
            let path = clean(&entry.path().expect("a path in a tar archive"));
            if path.is_empty() {
                continue;
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("a file in a tar archive");
            let header = entry.header();
            let number = |field: std::io::Result<u64>| field.expect("a number in a tar header");
            let (user, group) = (number(header.uid()), number(header.gid()));
            let mode = header.mode().expect("a mode in a tar header") & 0o7777;
            let what = match header.entry_type() {
                EntryType::Directory => format!("directory {mode:04o} {user}:{group}"),
                EntryType::Symlink => {
                    let target = entry.link_name().expect("a link's target").unwrap_or_default();
                    format!("link {user}:{group} to {}", target.display())
                }
                EntryType::Regular => {
                    format!("file {mode:04o} {user}:{group} {} bytes {}", content.len(), sha256(&content))
                }
                other => format!("{other:?} {mode:04o} {user}:{group}"),
            };
            take(self, &path, what);
        }
    }
}

/// Without a leading `./` or `/`; the root itself is empty.
fn clean(path: &Path) -> String {
    let names = path.components().filter(|component| matches!(component, Component::Normal(_)));
    names.collect::<PathBuf>().to_string_lossy().into_owned()
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}
