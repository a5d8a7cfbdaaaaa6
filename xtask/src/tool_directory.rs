//! A directory below target/tools that is there in full or not at all, however a run ends.

use std::fs;
use std::path::{Path, PathBuf};

use crate::console;
use crate::step::root;

/// Where everything is that a chore built or fetched once.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// The directory, filled first by `fill` where it is missing; `what` says what that does.
pub(crate) fn provide(
    name: &str,
    what: &str,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let directory = tools().join(name);
    if directory.is_dir() {
        console::say(&format!("{name} is there"));
        return Ok(directory);
    }
    make(name, what, fill)
}

/// Fills it under another name, and renames it when that has succeeded.
pub(crate) fn make(
    name: &str,
    what: &str,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    console::say(what);
    let (directory, unfinished) = (tools().join(name), tools().join(format!("{name}.unfinished")));
    // What a run left that was ended half-way.
    let _nothing_left = fs::remove_dir_all(&unfinished);
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", directory.display());
    fs::create_dir_all(&unfinished).map_err(failed)?;
    fill(&unfinished)?;
    fs::rename(&unfinished, &directory).map_err(failed)?;
    Ok(directory)
}
