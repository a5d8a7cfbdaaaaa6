//! buildah keeps images as podman does, and looks into one through a working container.

use std::fs;
use std::fs::File;

use crate::client::{Client, Content, Conversion, Item, Pulled};
use crate::door::Door;
use crate::home::{Home, Refusal, attempt, attempt_with_input, done};
use crate::images::Images;
use crate::podman::NO_ARTIFACTS;
use crate::tree::Tree;

pub(crate) struct Buildah {
    home: Home,
    door: Door,
}

impl Buildah {
    pub(crate) fn start(door: &Door) -> Self {
        let covered = ["/etc/containers", "/var/lib/containers", "/run"];
        let home = Home::new(&[("buildah", "buildah")], &covered);
        Door::furnish_containers(&home);
        Self { home, door: door.clone() }
    }

    fn buildah(&self, arguments: &[&str]) -> Result<String, Refusal> {
        attempt(&mut self.home.command("buildah", arguments)).map(|said| said.trim().to_owned())
    }

    fn load(&self, layout: &crate::images::Layout, architecture: &str) -> Result<String, Refusal> {
        let source = format!("oci-archive:{}", layout.archive.display());
        self.buildah(&["pull", "--quiet", "--arch", architecture, &source])
    }

    /// A working container of its own is buildah's way to look into an image.
    fn tree(&self, image: &str, architecture: &str) -> Result<Tree, Refusal> {
        let container = self.buildah(&["from", "--pull-never", "--arch", architecture, image])?;
        let mounted = self.buildah(&["mount", &container])?;
        let archive = self.home.data("tree.tar").display().to_string();
        done(&mut self.home.command("tar", &["-C", &mounted, "-cf", &archive, "."]));
        Ok(Tree::of_unpacked(File::open(archive).expect("what tar wrote")))
    }
}

impl Client for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn version(&self) -> String {
        done(&mut self.home.command("buildah", &["--version"]))
    }

    fn host(&self) -> &str {
        self.door.host()
    }

    fn trust(&self) {
        self.door.trust_in(&self.home, "/etc/containers");
    }

    fn login(&self, password: &str) -> Result<(), Refusal> {
        let login = ["login", "--username", self.door.user(), "--password-stdin", self.door.host()];
        attempt_with_input(&mut self.home.command("buildah", &login), password).map(drop)
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
                self.buildah(&[&["push"], &options[..], &[&image, &target]].concat())?;
            }
            Item::List => {
                self.buildah(&["manifest", "create", "list"])?;
                for built in &images.built {
                    let source = format!("oci:{}:built", built.layout.directory.display());
                    self.buildah(&["manifest", "add", "list", &source])?;
                }
                self.buildah(&[&["manifest", "push", "--all"], &options[..], &["list", &target]].concat())?;
            }
            Item::Artifact => {
                let image = self.load(&images.artifact, machine)?;
                self.buildah(&[&["push"], &options[..], &[&image, &target]].concat())?;
            }
        }
        Ok(fs::read_to_string(digest).expect("the digest that buildah wrote"))
    }

    fn pull(&self, _: Item, reference: &str, architecture: &str) -> Result<Pulled, Refusal> {
        self.buildah(&["rm", "--all"])?;
        self.buildah(&["rmi", "--all", "--force"])?;
        let pull = ["pull", "--quiet", "--arch", architecture];
        let plain = self.door.plain_option("--tls-verify=false");
        self.buildah(&[&pull[..], &plain, &[reference]].concat())?;
        let format = ["--type", "image", "--format", "{{.FromImageDigest}}"];
        let digest = self.buildah(&[&["inspect"], &format[..], &[reference]].concat())?;
        let tree = self.tree(reference, architecture)?;
        Ok(Pulled { digests: vec![digest], content: Content::Tree(tree) })
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

    fn tells_digests_of_lists(&self) -> bool {
        false
    }
}
