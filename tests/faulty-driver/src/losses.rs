//! Writes that are lost at a kill, for the faults that acknowledge before they are durable. A power cut can't be had in
//! a test; so what such a fault has not made durable is noted when it is acknowledged, and undone when the driver is
//! started again after anything but an orderly end.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::refusal::Result;
use crate::store::Store;

impl Store {
    /// Notes that the file at `path` was not there before, as far as the medium knows.
    pub(crate) fn lose_new(&self, path: &Path) -> Result<()> {
        self.note(None, path)
    }

    /// Keeps the file at `path` as it is now; call it before it is changed. Does nothing if there is none.
    pub(crate) fn lose_change(&self, path: &Path) -> Result<()> {
        let kept = self.temporary()?;
        match fs::hard_link(path, &kept) {
            Ok(()) => self.note(Some(&kept), path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed("a file to be kept", &error)),
        }
    }

    /// Notes that what stands at `path` after a kill is what lies at `kept`.
    pub(crate) fn note(&self, kept: Option<&Path>, path: &Path) -> Result<()> {
        let kept = kept.map(|kept| kept.display().to_string()).unwrap_or_default();
        let line = format!("{kept}\t{}\n", path.display());
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.volatile())
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| self.failed("the note of what is volatile", &error))
    }

    /// An orderly end loses nothing.
    pub(crate) fn settle_losses(&self) {
        let _ = fs::remove_file(self.volatile());
    }
}

/// Takes away what was noted, the latest first.
pub(crate) fn undo(notes: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(notes) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for (kept, path) in text.lines().rev().filter_map(|line| line.split_once('\t')) {
        let path = Path::new(path);
        // What is gone already needs no undoing.
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        if !kept.is_empty() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let _ = fs::rename(kept, path);
        }
    }
    fs::remove_file(notes)
}
