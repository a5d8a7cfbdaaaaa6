//! podman keeps images unpacked, so it compresses them anew for each push.

use std::fs;
use std::fs::File;

use crate::client::{Client, Content, Conversion, Item, Pulled};
use crate::door::Door;
use crate::home::{Home, Refusal, attempt, attempt_with_input, done};
use crate::images::Images;
use crate::tree::Tree;

pub(crate) const NO_ARTIFACTS: &str = "unsupported image-specific operation on artifact";

pub(crate) struct Podman {
    home: Home,
    door: Door,
}

impl Podman {
    pub(crate) fn start(door: &Door) -> Self {
        let covered = ["/etc/containers", "/var/lib/containers", "/run", "/dev/shm"];
        let home = Home::new(&[("podman", "podman")], &covered);
        Door::furnish_containers(&home);
        Self { home, door: door.clone() }
    }

    fn podman(&self, arguments: &[&str]) -> Result<String, Refusal> {
        attempt(&mut self.home.command("podman", arguments)).map(|said| said.trim().to_owned())
    }

    fn load(&self, layout: &crate::images::Layout, architecture: &str) -> Result<String, Refusal> {
        let source = format!("oci-archive:{}", layout.archive.display());
        self.podman(&["pull", "--quiet", "--arch", architecture, &source])
    }

    fn tree(&self, image: &str) -> Result<Tree, Refusal> {
        let mounted = self.podman(&["image", "mount", image])?;
        let archive = self.home.data("tree.tar").display().to_string();
        done(&mut self.home.command("tar", &["-C", &mounted, "-cf", &archive, "."]));
        Ok(Tree::of_unpacked(File::open(archive).expect("what tar wrote")))
    }
}

impl Client for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn version(&self) -> String {
        done(&mut self.home.command("podman", &["--version"]))
    }

    fn host(&self) -> &str {
        self.door.host()
    }

    fn trust(&self) {
        self.door.trust_in(&self.home, "/etc/containers");
    }

    fn login(&self, password: &str) -> Result<(), Refusal> {
        let login = ["login", "--username", self.door.user(), "--password-stdin", self.door.host()];
        attempt_with_input(&mut self.home.command("podman", &login), password).map(drop)
    }

    fn tells_wrong_password(&self) -> &'static str {
        "invalid username/password"
    }

    fn push(&self, item: Item, images: &Images, repository: &str) -> Result<String, Refusal> {
        let target = format!("docker://{repository}:{}", item.tag());
        let digest = self.home.data("digest");
        let file = digest.display().to_string();
        let options = [&self.door.plain_option("--tls-verify=false")[..], &["--digestfile", &file]].concat();
        let machine = images.built[0].architecture;
        match item {
            Item::Image => {
                let image = self.load(&images.built[0].layout, machine)?;
                self.podman(&[&["push"], &options[..], &[&image, &target]].concat())?;
            }
            Item::List => {
                self.podman(&["manifest", "create", "list"])?;
                for built in &images.built {
                    let source = format!("oci:{}:built", built.layout.directory.display());
                    self.podman(&["manifest", "add", "list", &source])?;
                }
                self.podman(&[&["manifest", "push", "--all"], &options[..], &["list", &target]].concat())?;
            }
            Item::Artifact => {
                let image = self.load(&images.artifact, machine)?;
                self.podman(&[&["push"], &options[..], &[&image, &target]].concat())?;
            }
        }
        Ok(fs::read_to_string(digest).expect("the digest that podman wrote"))
    }

    fn pull(&self, _: Item, reference: &str, architecture: &str) -> Result<Pulled, Refusal> {
        self.podman(&["rmi", "--all", "--force"])?;
        let pull = ["pull", "--quiet", "--arch", architecture];
        let plain = self.door.plain_option("--tls-verify=false");
        self.podman(&[&pull[..], &plain, &[reference]].concat())?;
        let format = ["--format", "{{range .RepoDigests}}{{println .}}{{end}}"];
        let said = self.podman(&[&["image", "inspect"], &format[..], &[reference]].concat())?;
        let digests = said.lines().filter_map(|line| Some(line.split_once('@')?.1.to_owned())).collect();
        Ok(Pulled { digests, content: Content::Tree(self.tree(reference)?) })
    }

    fn conversions(&self, item: Item) -> &'static [Conversion] {
        match item {
            Item::Image | Item::List => &[Conversion::Recompressed],
            Item::Artifact => &[],
        }
    }

    fn refuses_to_push_artifacts(&self) -> Option<&'static str> {
        Some(NO_ARTIFACTS)
    }

    fn refuses_to_pull_artifacts(&self) -> Option<&'static str> {
        Some(NO_ARTIFACTS)
    }
}
