//! Finding the repositories in a foreign tree. A name outside the grammar is not gone into, which bounds the depth too.

use super::registry2::Source;
use super::report::{Count, Report};
use super::tree::Kind;
use crate::oci::RepositoryName;

const MANIFESTS: &str = "_manifests";
const LAYERS: &str = "_layers";
const UPLOADS: &str = "_uploads";

/// Every repository, one after the other, in the order of their names.
pub(super) struct Walk {
    /// Folders still to be looked into, the next one last.
    waiting: Vec<String>,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self { waiting: vec![String::new()] }
    }

    /// The next repository. Blocks.
    pub(super) fn next(&mut self, source: &Source, report: &Report) -> Option<RepositoryName> {
        while let Some(folder) = self.waiting.pop() {
            if let Some(found) = self.look(source, report, &folder) {
                return Some(found);
            }
        }
        None
    }

    fn look(&mut self, source: &Source, report: &Report, folder: &str) -> Option<RepositoryName> {
        let problem = |path: &str, reason: &str| {
            report.problem(&source.shown(&format!("repositories/{path}")), reason);
        };
        let entries = match source.folder(folder) {
            Ok(entries) => entries,
            Err(flaw) => {
                problem(folder, &flaw.to_string());
                return None;
            }
        };
        let mut is_repository = false;
        for entry in entries.into_iter().rev() {
            let path =
                if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
            match (entry.kind, entry.name.as_str()) {
                (Kind::Link, _) => problem(&path, "it is a symbolic link; these are not followed"),
                (Kind::Other, _) => problem(&path, "it is no directory"),
                (Kind::Directory, MANIFESTS | LAYERS) if !folder.is_empty() => is_repository = true,
                (Kind::Directory, UPLOADS) if !folder.is_empty() => {
                    let uploads = source.folder(&path).map_or(0, |uploads| uploads.len());
                    report.count(Count::Uploads, uploads as u64);
                }
                (Kind::Directory, _) => match path.parse::<RepositoryName>() {
                    Ok(_) => self.waiting.push(path),
                    Err(invalid) => problem(&path, &invalid.to_string()),
                },
            }
        }
        if is_repository { folder.parse().ok() } else { None }
    }
}
