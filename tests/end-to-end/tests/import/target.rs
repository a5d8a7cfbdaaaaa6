//! A store of ours that is imported into: the command, a listing of every file, and a look at it through the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use longshore_end_to_end::registry::CORE;
use longshore_end_to_end::{Client, Process, scratch, sha256};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::foreign::{APP, Ledger};

pub(crate) struct Target {
    store: PathBuf,
    sockets: TempDir,
    _data: TempDir,
}

impl Target {
    pub(crate) fn new() -> Self {
        let data = scratch::data_directory();
        Self { store: data.path().join("data"), sockets: scratch::socket_directory(), _data: data }
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn command(&self, directory: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(scratch::binary(CORE));
        command.args(["import", "registry2"]).arg(directory).arg("--data").arg(&self.store).args(options);
        command.env("XDG_RUNTIME_DIR", self.sockets.path()).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn import(&self, directory: &Path, options: &[&str]) -> Said {
        let output = self.command(directory, options).stdin(Stdio::null()).output().expect("longshore runs");
        Said::new(&output)
    }

    /// `longshore serve` over the same store.
    pub(crate) fn serve(&self) -> (Process, Client) {
        let mut command = Command::new(scratch::binary(CORE));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&self.store);
        let core = Process::spawn(CORE, command.env("XDG_RUNTIME_DIR", self.sockets.path()));
        let line = core.await_line("listening on http://", std::time::Duration::from_secs(20));
        let (_, url) = line.split_once("listening on ").expect("an address");
        let client = Client::new(url.trim());
        (core, client)
    }

    /// Every file of the store but the driver's own: what it holds, and when it was written.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, (String, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.store.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let entry = entry.expect("an entry");
                let path = entry.path();
                if entry.file_type().expect("its type").is_dir() {
                    if !path.ends_with(".driver") {
                        folders.push(path);
                    }
                    continue;
                }
                let modified = entry.metadata().and_then(|metadata| metadata.modified()).expect("a time");
                let content = std::fs::read(&path).expect("a file");
                files.insert(path, (sha256(&content), modified));
            }
        }
        files
    }
}

pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

impl Said {
    fn new(output: &Output) -> Self {
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Self { success: output.status.success(), text }
    }

    /// The line of the summary that begins with this word.
    pub(crate) fn sum(&self, word: &str) -> &str {
        let line = self.text.lines().find(|line| line.starts_with(word));
        line.unwrap_or_else(|| panic!("no line {word} in\n{}", self.text))
    }

    /// The line about a problem at this place.
    pub(crate) fn problem(&self, place: &str) -> &str {
        let mut problems = self.text.lines().filter(|line| line.starts_with("problem: "));
        problems
            .find(|line| line.contains(place))
            .unwrap_or_else(|| panic!("no problem at {place} in\n{}", self.text))
    }
}

/// Pulls everything from ours and compares it with what was pushed to the other.
pub(crate) async fn compare(client: &Client, ledger: &Ledger) {
    for (repository, content) in &ledger.blobs {
        let found = client.get_blob(repository, &sha256(content)).await.expect("an imported blob");
        assert_eq!(found, content, "{repository}");
    }
    for (repository, content, kind) in &ledger.manifests {
        let digest = sha256(content);
        let response = client.get(&format!("/v2/{repository}/manifests/{digest}")).send().await.expect("GET");
        assert_eq!(response.status(), StatusCode::OK, "{repository}@{digest}");
        assert_eq!(response.headers()["content-type"], *kind);
        assert_eq!(response.headers()["docker-content-digest"], digest.as_str());
        assert_eq!(response.bytes().await.expect("a body"), content);
    }
    for (repository, tag, digest) in &ledger.tags {
        let found = client.get_manifest(repository, tag).await.expect("an imported tag");
        assert_eq!(sha256(&found), *digest, "{repository}:{tag}");
    }
    for repository in [crate::foreign::BASE, APP] {
        let wanted = ledger.tags.iter().filter(|(at, ..)| *at == repository).count();
        let body = json(client, &format!("/v2/{repository}/tags/list")).await;
        assert_eq!(body["tags"].as_array().map(Vec::len), Some(wanted), "{body}");
    }
    for (subject, referrer) in &ledger.referrers {
        let body = json(client, &format!("/v2/{APP}/referrers/{subject}")).await;
        let listed = body["manifests"].as_array().expect("a list");
        assert!(listed.iter().any(|entry| entry["digest"] == referrer.as_str()), "{body}");
        assert_eq!(listed.len(), ledger.referrers.len());
    }
    let gone = client.get(&format!("/v2/{APP}/manifests/{}", ledger.deleted)).send().await.expect("GET");
    assert_eq!(gone.status(), StatusCode::NOT_FOUND, "a deleted manifest stays deleted");
}

async fn json(client: &Client, path: &str) -> Value {
    let response = client.get(path).send().await.expect("GET");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
}
