//! skopeo copies between a registry and directories. It has no storage and unpacks nothing.

use std::fs;
use std::path::Path;

use crate::client::{Client, Content, Conversion, Item, Pulled};
use crate::door::Door;
use crate::home::{Home, Refusal, attempt, attempt_with_input, done};
use crate::images::Images;
use crate::tree::Tree;

pub(crate) struct Skopeo {
    home: Home,
    door: Door,
}

impl Skopeo {
    pub(crate) fn start(door: &Door) -> Self {
        let home = Home::new(&[("skopeo", "skopeo")], &["/etc/containers", "/var/lib/containers", "/run"]);
        Door::furnish_containers(&home);
        Self { home, door: door.clone() }
    }

    fn skopeo(&self, arguments: &[&str]) -> Result<String, Refusal> {
        attempt(&mut self.home.command("skopeo", arguments))
    }
}

impl Client for Skopeo {
    fn name(&self) -> &'static str {
        "skopeo"
    }

    fn version(&self) -> String {
        done(&mut self.home.command("skopeo", &["--version"]))
    }

    fn host(&self) -> &str {
        self.door.host()
    }

    fn trust(&self) {
        self.door.trust_in(&self.home, "/etc/containers");
    }

    fn login(&self, password: &str) -> Result<(), Refusal> {
        let login = ["login", "--username", self.door.user(), "--password-stdin", self.door.host()];
        attempt_with_input(&mut self.home.command("skopeo", &login), password).map(drop)
    }

    fn tells_wrong_password(&self) -> &'static str {
        "invalid username/password"
    }

    fn push(&self, item: Item, images: &Images, repository: &str) -> Result<String, Refusal> {
        let layout = match item {
            Item::Image => &images.built[0].layout,
            Item::List => &images.list,
            Item::Artifact => &images.artifact,
        };
        let source = format!("oci:{}:built", layout.directory.display());
        let target = format!("docker://{repository}:{}", item.tag());
        let digest = self.home.data("digest");
        let file = digest.display().to_string();
        let plain = self.door.plain_option("--dest-tls-verify=false");
        let copy = ["copy", "--all", "--digestfile", &file];
        self.skopeo(&[&copy[..], &plain, &[&source, &target]].concat())?;
        Ok(fs::read_to_string(digest).expect("the digest that skopeo wrote"))
    }

    fn pull(&self, item: Item, reference: &str, architecture: &str) -> Result<Pulled, Refusal> {
        let directory = self.home.data("pulled");
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("forget what was pulled before");
        }
        let source = format!("docker://{reference}");
        let target = format!("dir:{}", directory.display());
        let plain = self.door.plain_option("--src-tls-verify=false");
        let copy = ["--override-arch", architecture, "copy"];
        self.skopeo(&[&copy[..], &plain, &[&source, &target]].concat())?;
        let plain = self.door.plain_option("--tls-verify=false");
        let raw = self.skopeo(&[&["inspect", "--raw"], &plain[..], &[&source]].concat())?;
        let content = match item {
            Item::Image | Item::List => Content::Tree(Tree::of_layers(&blobs(&directory))),
            Item::Artifact => Content::Blob(blobs(&directory).swap_remove(0)),
        };
        Ok(Pulled { digests: vec![longshore_end_to_end::sha256(raw.as_bytes())], content })
    }

    fn conversions(&self, _: Item) -> &'static [Conversion] {
        &[]
    }
}

/// The blobs of the manifest's layers, in their order.
fn blobs(directory: &Path) -> Vec<Vec<u8>> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let manifest: serde_json::Value = serde_json::from_slice(&read("manifest.json")).expect("a manifest");
    let layers = manifest["layers"].as_array().expect("a manifest has layers");
    let digests = layers.iter().map(|layer| layer["digest"].as_str().expect("a digest"));
    digests.map(|digest| read(digest.trim_start_matches("sha256:"))).collect()
}
