//! A store that the real distribution has written over its HTTP API, and the ledger of what was pushed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, expect, location};
use longshore_end_to_end::distribution::Distribution;
use longshore_end_to_end::{Client, Random, scratch, sha256};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const APP: &str = "team/app";
pub(crate) const BASE: &str = "library/base";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const SIGNATURE: &str = "application/vnd.example.signature.v1";

#[derive(Default)]
pub(crate) struct Ledger {
    /// (repository, content)
    pub(crate) blobs: Vec<(&'static str, Bytes)>,
    /// (repository, content, media type)
    pub(crate) manifests: Vec<(&'static str, Bytes, &'static str)>,
    /// (repository, tag, digest)
    pub(crate) tags: Vec<(&'static str, String, String)>,
    /// (subject, referrer), all in `APP`
    pub(crate) referrers: BTreeSet<(String, String)>,
    pub(crate) shared_layer: String,
    /// Pushed and then deleted.
    pub(crate) deleted: String,
}

pub(crate) struct Foreign {
    pub(crate) ledger: Ledger,
    pub(crate) root: PathBuf,
    _data: TempDir,
}

impl Foreign {
    /// The directory below which everything lies.
    pub(crate) fn v2(&self) -> PathBuf {
        self.root.join("docker/registry/v2")
    }

    pub(crate) fn data(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.v2().join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// 50 tags in two repositories, multi-arch indexes, referrers, a shared layer, an untagged and a deleted manifest, an
    /// upload that nobody finished.
    pub(crate) async fn write(seed: u64, layer_size: usize) -> Self {
        let data = scratch::data_directory();
        let root = data.path().join("foreign");
        let registry = Distribution::start(&root).await;
        let mut pusher = Pusher {
            client: registry.client(),
            random: Random::from_seed(seed),
            ledger: Ledger::default(),
            layer_size,
        };
        pusher.everything().await;
        registry.stop();
        Self { ledger: pusher.ledger, root, _data: data }
    }
}

struct Pusher {
    client: Client,
    random: Random,
    ledger: Ledger,
    layer_size: usize,
}

impl Pusher {
    async fn everything(&mut self) {
        let shared = Bytes::from(self.random.bytes(self.layer_size * 4));
        self.ledger.shared_layer = sha256(&shared);
        let shared = &[shared];
        for number in 0..10 {
            let image = self.image(BASE, shared, OCI_MANIFEST).await;
            self.manifest(BASE, Some(&format!("1.{number}")), image, OCI_MANIFEST).await;
        }
        for number in 0..30 {
            let kind = if number % 3 == 0 { DOCKER_MANIFEST } else { OCI_MANIFEST };
            let image = self.image(APP, shared, kind).await;
            self.manifest(APP, Some(&format!("v{number}")), image, kind).await;
        }
        for number in 0..10 {
            self.multi_arch(&format!("multi-{number}")).await;
        }
        self.signed().await;
        let image = self.image(APP, &[], OCI_MANIFEST).await;
        self.manifest(APP, None, image, OCI_MANIFEST).await;
        self.removed().await;
        let location = self.client.start_upload(APP).await.expect("an upload");
        self.client.patch(&location, 0, Bytes::from_static(b"half")).await.expect("a chunk");
    }

    async fn blob(&mut self, repository: &'static str, content: Bytes) -> Value {
        let digest = sha256(&content);
        // In one request: distribution tells nothing of a range in the words of the specification.
        let start = self.client.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/"));
        let response = start.send().await.expect("POST");
        let to = location(&expect(StatusCode::ACCEPTED, "POST", response).await.expect("an upload"));
        let put = format!("{}&digest={digest}", to.expect("a location"));
        let put = self.client.request(Method::PUT, &put).header("Content-Type", "application/octet-stream");
        let response = put.body(content.clone()).send().await.expect("PUT");
        expect(StatusCode::CREATED, "PUT", response).await.expect("a blob");
        let size = content.len();
        if !self.ledger.blobs.iter().any(|(at, known)| *at == repository && *known == content) {
            self.ledger.blobs.push((repository, content));
        }
        json!({"mediaType": OCI_LAYER, "digest": digest, "size": size})
    }

    async fn image(&mut self, repository: &'static str, layers: &[Bytes], kind: &str) -> Bytes {
        let own = Bytes::from(self.random.bytes(self.layer_size));
        let mut descriptors = Vec::new();
        for layer in layers.iter().cloned().chain([own]) {
            descriptors.push(self.blob(repository, layer).await);
        }
        let config = json!({"architecture": "amd64", "number": self.random.next_u64()}).to_string();
        let mut config = self.blob(repository, config.into()).await;
        config["mediaType"] = OCI_CONFIG.into();
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": descriptors})
            .to_string()
            .into()
    }

    async fn manifest(
        &mut self,
        repository: &'static str,
        tag: Option<&str>,
        body: Bytes,
        kind: &'static str,
    ) {
        let digest = sha256(&body);
        self.client
            .put_manifest(repository, tag.unwrap_or(&digest), kind, body.clone())
            .await
            .expect("a manifest");
        self.ledger.manifests.push((repository, body, kind));
        if let Some(tag) = tag {
            self.ledger.tags.push((repository, tag.to_owned(), digest));
        }
    }

    async fn multi_arch(&mut self, tag: &str) {
        let mut children = Vec::new();
        for _ in 0..2 {
            let child = self.image(APP, &[], OCI_MANIFEST).await;
            children.push(json!({"mediaType": OCI_MANIFEST, "digest": sha256(&child), "size": child.len()}));
            self.manifest(APP, None, child, OCI_MANIFEST).await;
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        self.manifest(APP, Some(tag), index.to_string().into(), OCI_INDEX).await;
    }

    /// Two signatures of the first image of `APP`, one of them under a fallback tag as clients of old registries keep it.
    async fn signed(&mut self) {
        let (_, subject, _) =
            self.ledger.manifests.iter().find(|(repository, ..)| *repository == APP).expect("an image");
        let (digest, size) = (sha256(subject), subject.len());
        let kind = if subject.starts_with(b"{\"config\"") { DOCKER_MANIFEST } else { OCI_MANIFEST };
        let subject = json!({"mediaType": kind, "digest": digest, "size": size});
        let mut entries = Vec::new();
        for text in ["one", "two"] {
            let layer = self.blob(APP, text.into()).await;
            let config = self.blob(APP, "{}".into()).await;
            let signature = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": SIGNATURE,
                "config": config, "layers": [layer], "subject": subject});
            let signature = Bytes::from(signature.to_string());
            let entry = json!({"mediaType": OCI_MANIFEST, "digest": sha256(&signature), "size": signature.len(),
                "artifactType": SIGNATURE});
            entries.push(entry);
            self.ledger.referrers.insert((digest.clone(), sha256(&signature)));
            self.manifest(APP, None, signature, OCI_MANIFEST).await;
        }
        let fallback = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        self.manifest(APP, Some(&digest.replace(':', "-")), fallback.to_string().into(), OCI_INDEX).await;
    }

    async fn removed(&mut self) {
        let image = self.image(APP, &[], OCI_MANIFEST).await;
        // Its blobs stay in the foreign store, where nothing names them.
        self.ledger.blobs.truncate(self.ledger.blobs.len() - 2);
        let digest = sha256(&image);
        self.client.put_manifest(APP, "gone", OCI_MANIFEST, image).await.expect("a manifest");
        let path = format!("/v2/{APP}/manifests/{digest}");
        let response = self.client.request(Method::DELETE, &path).send().await.expect("DELETE");
        expect(StatusCode::ACCEPTED, "DELETE", response).await.expect("deleted");
        self.ledger.deleted = digest;
    }
}
