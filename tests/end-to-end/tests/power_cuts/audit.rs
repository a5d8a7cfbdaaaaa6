//! The check after a cut: every record on the disk is whole, and everything acknowledged is served.

use std::fs;
use std::path::{Path, PathBuf};

use longshore_end_to_end::client::Failure;
use longshore_end_to_end::{Client, sha256};

use crate::ledger::{Ledger, Session};

/// Everything in the ledger, read back. Sessions are finished on the way and become blobs.
pub(crate) async fn acknowledged(client: &Client, mut ledger: Ledger) -> (Ledger, Vec<String>) {
    let mut losses = Vec::new();
    for session in std::mem::take(&mut ledger.sessions) {
        match resume(client, &session).await {
            Ok(digest) => {
                ledger.blobs.push((session.repository, digest));
                ledger.resumed += 1;
            }
            Err(failure) => losses.push(format!("session {}: {failure}", session.location)),
        }
    }
    for (repository, digest) in &ledger.blobs {
        match client.get_blob(repository, digest).await {
            Ok(content) if sha256(&content) == *digest => {}
            Ok(content) => {
                losses.push(format!("{repository}@{digest}: other bytes, {} of them", content.len()));
            }
            Err(failure) => losses.push(format!("{repository}@{digest}: {failure}")),
        }
    }
    for (repository, manifest) in &ledger.manifests {
        match client.get_manifest(repository, &sha256(manifest)).await {
            Ok(found) if found == manifest => {}
            Ok(found) => {
                losses.push(format!("manifest in {repository}: other bytes, {} of them", found.len()));
            }
            Err(failure) => losses.push(format!("manifest in {repository}: {failure}")),
        }
    }
    losses.extend(tags(client, &mut ledger).await);
    (ledger, losses)
}

/// A tag names its last acknowledged manifest or one asked for since, and that one is whole.
async fn tags(client: &Client, ledger: &mut Ledger) -> Vec<String> {
    let mut losses = Vec::new();
    for ((repository, name), tag) in &mut ledger.tags {
        match client.get_manifest(repository, name).await {
            Ok(found) if tag.candidates.contains(&sha256(&found)) => {
                // Read once, it can't become another one without a push.
                tag.candidates = vec![sha256(&found)];
                tag.acknowledged = true;
            }
            Ok(found) => losses.push(format!("{repository}:{name} names {}", sha256(&found))),
            Err(_) if !tag.acknowledged => {}
            Err(failure) => losses.push(format!("{repository}:{name}: {failure}")),
        }
    }
    losses
}

async fn resume(client: &Client, session: &Session) -> Result<String, Failure> {
    let (mut location, durable) = client.upload_status(&session.location).await?;
    if durable < session.durable {
        return Err(Failure::Answer(format!("{durable} bytes left of {} acknowledged", session.durable)));
    }
    let rest = session.content.slice(usize::try_from(durable).unwrap_or(usize::MAX)..);
    if !rest.is_empty() {
        (location, _) = client.patch(&location, durable, rest).await?;
    }
    let digest = sha256(&session.content);
    client.finish_upload(&location, &digest).await?;
    Ok(digest)
}

/// Torn records: every file of the layout but the objects (which the digests tell about) and the driver's own.
pub(crate) fn records(store: &Path) -> Vec<String> {
    let files = files_below(store);
    let torn = files.iter().filter_map(|file| {
        let key = file.strip_prefix(store).ok()?.display().to_string();
        let content = fs::read(file).unwrap_or_default();
        torn(&key, &content).map(|why| format!("{key}: {why}"))
    });
    torn.collect()
}

fn torn(key: &str, content: &[u8]) -> Option<String> {
    if key.starts_with(".driver/") || key.starts_with("objects/") {
        return None;
    }
    if content.is_empty() {
        return Some("empty".into());
    }
    let Some((_, manifest)) = key.split_once("/_manifests/") else { return not_json(content) };
    let Some(end) = content.iter().position(|byte| *byte == b'\n') else {
        return Some("no line of metadata".into());
    };
    let (metadata, bytes) = content.split_at(end);
    let name = manifest.replace('/', ":");
    if name.starts_with("sha256:") && sha256(&bytes[1..]) != name {
        return Some("other bytes than its digest".into());
    }
    not_json(metadata)
}

fn not_json(content: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(content).err().map(|error| error.to_string())
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
