//! Finding the root, and making a store there if the settings allow it. Owns the rule that an unmounted disk must not
//! pass for a new store.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use longshore_driver_sdk::sessions::dir::Dir;
use longshore_driver_sdk::{Condition, DriverError, Key, Reason, Result, UploadId};

use crate::config::{Config, Durability, Init};
use crate::locks::Locks;
use crate::tree::Tree;

/// Opens the tree the settings name. Blocks.
pub(crate) fn open(config: &Config) -> Result<Tree> {
    let path = &config.root;
    let stable = config.durability == Durability::Stable;
    let root = match Dir::open_root(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if config.init == Init::Never {
                return Err(absent(path));
            }
            make_root(path, stable)
                .map_err(|error| DriverError::io(format!("make {}", path.display()), error))?;
            let tree = tree(path, stable)?;
            make_store(&tree, path)?;
            return Ok(tree);
        }
        other => {
            other.map_err(|error| DriverError::io(format!("open the root {}", path.display()), error))?
        }
    };
    let tree = Tree { root, locks: Locks::new(), stable };
    if tree.stat(&Key::store_id()).is_err_and(|error| error.reason() == Reason::KeyNotFound) {
        without_store(&tree, path, config.init)?;
    }
    Ok(tree)
}

fn tree(path: &Path, stable: bool) -> Result<Tree> {
    let root = Dir::open_root(path)
        .map_err(|error| DriverError::io(format!("open the root {}", path.display()), error))?;
    Ok(Tree { root, locks: Locks::new(), stable })
}

/// The root is there, a store is not.
fn without_store(tree: &Tree, path: &Path, init: Init) -> Result<()> {
    let empty =
        is_empty(&tree.root).map_err(|error| DriverError::io(format!("list {}", path.display()), error))?;
    match (empty, init) {
        (true, Init::IfEmpty) => make_store(tree, path),
        (true, Init::IfAbsent) => Err(empty_root(path)),
        _ => {
            let path = path.display();
            tracing::warn!(root = %path, "there is no store at this root yet; `longshore storage init ENDPOINT` makes one");
            Ok(())
        }
    }
}

/// Whether nothing is there that anybody stored. A fresh file system has its `lost+found`.
fn is_empty(root: &Dir) -> io::Result<bool> {
    for entry in root.names()? {
        let name = entry?.name;
        if name != "lost+found" && name != ".driver" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn make_store(tree: &Tree, path: &Path) -> Result<()> {
    let id = UploadId::random()?.to_string();
    match tree.put(&Key::store_id(), &Bytes::from(id.clone()), &Condition::IfAbsent) {
        Ok(_) => {
            tracing::info!(root = %path.display(), store_id = %id, "made a new store");
            Ok(())
        }
        // Another instance made it in this moment.
        Err(error) if error.reason() == Reason::KeyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the root and what is missing above it, durably.
fn make_root(path: &Path, stable: bool) -> io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let missing: Vec<_> = absolute.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(&absolute)?;
    if stable {
        for folder in missing {
            File::open(folder.parent().unwrap_or(folder))?.sync_all()?;
        }
    }
    Ok(())
}

fn absent(path: &Path) -> DriverError {
    let path = path.display();
    let message = format!(
        "the root {path} does not exist. If its disk is not mounted, mount it; to make a new store there, create the \
         directory and run `longshore storage init ENDPOINT`, or start this driver with init=if-absent"
    );
    DriverError::new(Reason::BackendUnavailable, message)
}

fn empty_root(path: &Path) -> DriverError {
    let path = path.display();
    let message = format!(
        "the root {path} exists and is empty, and a disk that is not mounted looks just like this. If a disk belongs \
         there, mount it. If this is to become a new store, start this driver with init=if-empty, or with init=never \
         and run `longshore storage init ENDPOINT`"
    );
    DriverError::new(Reason::BackendUnavailable, message)
}
