//! What the clients push, made here without a network: an image for two architectures, a list of both, and
//! an artifact that refers to one of them. As OCI layouts and archives, and as docker archives.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use longshore_end_to_end::client::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use longshore_end_to_end::{Random, sha256};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::tree::Tree;

pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.example.sbom";
const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(crate) struct Images {
    /// The first is that of the machine: what a client takes from a list unless told otherwise.
    pub(crate) built: Vec<Built>,
    pub(crate) list: Layout,
    pub(crate) artifact: Layout,
    pub(crate) artifact_blob: Vec<u8>,
    _directory: TempDir,
}

/// The image of one architecture.
pub(crate) struct Built {
    pub(crate) architecture: &'static str,
    pub(crate) layout: Layout,
    /// What `docker load` takes.
    pub(crate) docker_archive: PathBuf,
    pub(crate) tree: Tree,
}

/// An OCI layout directory with one manifest, named `built`, and the same as a tar archive.
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) digest: String,
    pub(crate) manifest: Value,
}

impl Images {
    pub(crate) fn make(directory: TempDir, random: &mut Random) -> Self {
        let [machine, other] = match std::env::consts::ARCH {
            "aarch64" => ["arm64", "amd64"],
            _ => ["amd64", "arm64"],
        };
        let root = directory.path();
        let (mut list, mut children, mut built) = (Blobs::new(&root.join("list")), Vec::new(), Vec::new());
        for architecture in [machine, other] {
            let image = Image::make(architecture, random);
            let mut blobs = Blobs::new(&root.join(architecture));
            let descriptor = image.write(&mut blobs);
            let mut child = image.write(&mut list);
            child["platform"] = json!({"architecture": architecture, "os": "linux"});
            children.push(child);
            let docker_archive = root.join(format!("{architecture}-docker.tar"));
            image.write_docker_archive(&docker_archive);
            let layout = blobs.finish(&descriptor);
            built.push(Built { architecture, layout, docker_archive, tree: image.tree() });
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        let descriptor = list.put(OCI_INDEX, index.to_string().as_bytes());
        let list = list.finish(&descriptor);
        let artifact_blob = random.bytes(4096);
        let artifact = artifact(&root.join("artifact"), &children[0], &artifact_blob);
        Self { built, list, artifact, artifact_blob, _directory: directory }
    }
}

/// The spec's "guidelines for artifact usage": an empty configuration, an artifactType, a subject.
fn artifact(directory: &Path, image: &Value, content: &[u8]) -> Layout {
    let mut blobs = Blobs::new(directory);
    let config = blobs.put("application/vnd.oci.empty.v1+json", b"{}");
    let layer = blobs.put("application/spdx+json", content);
    let subject = json!({"mediaType": OCI_MANIFEST, "digest": image["digest"], "size": image["size"]});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": ARTIFACT_TYPE,
        "config": config, "layers": [layer], "subject": subject,
    });
    let mut descriptor = blobs.put(OCI_MANIFEST, manifest.to_string().as_bytes());
    descriptor["artifactType"] = json!(ARTIFACT_TYPE);
    blobs.finish(&descriptor)
}

struct Image {
    architecture: &'static str,
    layers: Vec<Vec<u8>>,
}

impl Image {
    /// Owners, a set-user-id bit, a private file, a link, a deleted file, an emptied directory, a sticky
    /// directory; the third layer is large enough to be sent in pieces.
    fn make(architecture: &'static str, random: &mut Random) -> Self {
        let base = Layer::default()
            .directory("srv", 0o755, (0, 0))
            .file("srv/hello", 0o644, (0, 0), format!("hello from {architecture}\n").as_bytes())
            .file("srv/program", 0o4755, (1000, 1001), b"#!/bin/sh\n")
            .file("srv/secret", 0o600, (7, 0), b"secret")
            .file("srv/deleted", 0o644, (0, 0), b"deleted by the next layer")
            .directory("srv/emptied", 0o755, (0, 0))
            .file("srv/emptied/old", 0o644, (0, 0), b"hidden by the next layer");
        let changes = Layer::default()
            .link("srv/link", "hello")
            .file("srv/.wh.deleted", 0o644, (0, 0), b"")
            .directory("srv/emptied", 0o750, (5, 6))
            .file("srv/emptied/.wh..wh..opq", 0o644, (0, 0), b"")
            .file("srv/emptied/new", 0o640, (5, 6), b"new");
        let large = Layer::default().file("srv/large", 0o444, (0, 0), &random.bytes(300 << 10)).directory(
            "srv/sticky",
            0o1777,
            (0, 0),
        );
        Self { architecture, layers: vec![base.finish(), changes.finish(), large.finish()] }
    }

    fn tree(&self) -> Tree {
        let tree = Tree::of_layers(&self.layers);
        let paths = [
            "srv",
            "srv/emptied",
            "srv/emptied/new",
            "srv/hello",
            "srv/large",
            "srv/link",
            "srv/program",
            "srv/secret",
            "srv/sticky",
        ];
        assert_eq!(tree.paths(), paths, "the tree that the layers stand for");
        tree
    }

    fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| sha256(layer)).collect();
        let history: Vec<_> = self.layers.iter().map(|_| json!({"created_by": "the test"})).collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux", "config": {"Cmd": ["/srv/program"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        });
        config.to_string().into_bytes()
    }

    fn write(&self, blobs: &mut Blobs) -> Value {
        let config = blobs.put(OCI_CONFIG, &self.config());
        let layers: Vec<_> = self.layers.iter().map(|layer| blobs.put(GZIP_LAYER, &gzip(layer))).collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        blobs.put(OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    /// The image specification of docker, version 1.2.
    fn write_docker_archive(&self, path: &Path) {
        let mut archive = Builder::new(File::create(path).expect("the docker archive"));
        let mut add = |name: &str, content: &[u8]| {
            append(&mut archive, name, EntryType::Regular, 0o644, (0, 0), content);
        };
        add("config.json", &self.config());
        let names: Vec<_> = (0..self.layers.len()).map(|number| format!("{number}.tar")).collect();
        for (name, layer) in names.iter().zip(&self.layers) {
            add(name, layer);
        }
        let tag = format!("built/{}:latest", self.architecture);
        let manifest = json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
        add("manifest.json", manifest.to_string().as_bytes());
        archive.into_inner().and_then(|mut file| file.flush()).expect("the docker archive");
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::new(7));
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("gzip into memory")
}

/// One layer under construction.
struct Layer(Builder<Vec<u8>>);

impl Default for Layer {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Layer {
    fn directory(mut self, path: &str, mode: u32, owner: (u64, u64)) -> Self {
        append(&mut self.0, path, EntryType::Directory, mode, owner, b"");
        self
    }

    fn file(mut self, path: &str, mode: u32, owner: (u64, u64), content: &[u8]) -> Self {
        append(&mut self.0, path, EntryType::Regular, mode, owner, content);
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(EntryType::Symlink, 0o777, (0, 0), 0);
        self.0.append_link(&mut header, path, target).expect("a tar in memory");
        self
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("a tar in memory")
    }
}

fn append<W: std::io::Write>(
    archive: &mut Builder<W>,
    path: &str,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    content: &[u8],
) {
    let mut header = header(kind, mode, owner, content.len());
    archive.append_data(&mut header, path, content).expect("a tar entry");
}

fn header(kind: EntryType, mode: u32, (user, group): (u64, u64), size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(user);
    header.set_gid(group);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header
}

/// An OCI layout under construction.
struct Blobs {
    directory: PathBuf,
    last: Vec<u8>,
}

impl Blobs {
    fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("blobs/sha256")).expect("an OCI layout");
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).expect("an OCI layout");
        Self { directory: directory.to_owned(), last: Vec::new() }
    }

    /// Gives the descriptor.
    fn put(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = sha256(content);
        let path = self.directory.join("blobs").join(digest.replace(':', "/"));
        fs::write(path, content).expect("a blob of an OCI layout");
        self.last = content.to_vec();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    /// The last blob is the manifest.
    fn finish(self, descriptor: &Value) -> Layout {
        let Self { directory, last } = self;
        let mut entry = descriptor.clone();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "built"});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(directory.join("index.json"), index.to_string()).expect("an OCI layout");
        let archive = directory.with_extension("oci.tar");
        let mut tar = Builder::new(File::create(&archive).expect("an OCI archive"));
        tar.append_dir_all("", &directory).and_then(|()| tar.finish()).expect("an OCI archive");
        let digest = descriptor["digest"].as_str().expect("a digest").to_owned();
        Layout { directory, archive, digest, manifest: serde_json::from_slice(&last).expect("a manifest") }
    }
}
