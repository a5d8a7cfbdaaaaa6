//! A store of thirty images, pushed to the real registry, and then damaged by hand: what a listing has to say of it is known here
//! without any code of ours.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Client, Image, gzipped, tar_of};
use crate::Random;

/// Repositories, with what is special about them.
pub const BASE: &str = "library/base";
pub const APP: &str = "team/app";
const WEB: &str = "team/web";
pub const UPPER: &str = "Team/Upper";
const DEEP: &str = "library/deep";
pub const BROKEN: &str = "team/broken";

/// What a tag written by hand points at.
const NOBODY: &str = "00000000000000000000000000000000000000000000000000000000deadbeef";

/// `(what, image)`.
type Finding = (String, Option<String>);

#[derive(Default)]
pub struct Sample {
    images: BTreeMap<String, Image>,
    /// Repository, tag, and the id that it points at.
    pub tags: Vec<(&'static str, &'static str, String)>,
    /// In the order of their ids.
    pub untagged: Vec<String>,
    /// By image.
    damage: BTreeMap<String, &'static str>,
    /// Those that `damage` damages.
    removed_layer: String,
    cut_ancestry: String,
    changed_layer: String,
}

impl Sample {
    pub async fn push(client: &Client) -> Self {
        let mut random = Random::announced("the V1 registry");
        let mut sample = Self::default();
        let base = sample.push_base(client, &mut random).await;
        let app = sample.push_line(client, &mut random, APP, Some(&base[2]), 6).await;
        sample.tag(client, APP, &[("1.0", &app[1]), ("_foo", &app[1]), ("1.1", &app[3])]).await;
        sample.tag(client, APP, &[("2.0", &app[5]), ("latest", &app[5])]).await;
        client.make_private(APP).await;
        let web = sample.push_line(client, &mut random, WEB, Some(&base[1]), 5).await;
        sample.tag(client, WEB, &[("old", &web[2]), ("latest", &web[4])]).await;
        let upper = sample.push_line(client, &mut random, UPPER, Some(&base[0]), 2).await;
        sample.tag(client, UPPER, &[("latest", &upper[1])]).await;
        let deep = sample.push_line(client, &mut random, DEEP, None, 8).await;
        sample.tag(client, DEEP, &[("middle", &deep[3]), ("latest", &deep[7])]).await;
        sample.push_broken(client, &mut random, &base[0]).await;
        sample.push_untagged(client, &mut random, &base[0]).await;
        sample.changed_layer.clone_from(&web[0].id);
        sample.cut_ancestry.clone_from(&deep[7].id);
        assert_eq!(sample.images.len(), 30);
        // Its folder is `team/hidden%252Fpart`, so that it is beyond the reach of every driver.
        client.push("team/hidden/part").await.tag("latest", &base[2]).await;
        sample
    }

    /// A gzipped layer, a plain one, and one with nothing in it, as docker has for each ENV of a Dockerfile.
    async fn push_base(&mut self, client: &Client, random: &mut Random) -> [Image; 3] {
        let content = random.bytes(40_000);
        let root = Image::new(random, None, gzipped(&tar_of(&content)));
        let plain = Image::new(random, Some(&root), tar_of(b"plain"));
        let nothing = Image::new(random, Some(&plain), tar_of(b""));
        let base = [root, plain, nothing];
        let mut push = client.push(BASE).await;
        for image in &base {
            push.image(image).await;
            self.keep(image);
        }
        push.finish().await;
        self.tag(client, BASE, &[("root", &base[0]), ("14.04", &base[2]), ("latest", &base[2])]).await;
        base
    }

    /// Images one upon the other.
    async fn push_line(
        &mut self,
        client: &Client,
        random: &mut Random,
        repository: &'static str,
        base: Option<&Image>,
        length: usize,
    ) -> Vec<Image> {
        let mut push = client.push(repository).await;
        let mut line: Vec<Image> = Vec::new();
        for number in 0..length {
            let size = usize::try_from(random.between(1, 20_000)).expect("a size");
            let layer = tar_of(&random.bytes(size));
            let layer = if number % 2 == 0 { gzipped(&layer) } else { layer };
            let image = Image::new(random, line.last().or(base), layer);
            push.image(&image).await;
            self.keep(&image);
            line.push(image);
        }
        push.finish().await;
        line
    }

    /// What is there is whole yet, but for a layer without a byte and a push that was broken off.
    async fn push_broken(&mut self, client: &Client, random: &mut Random, base: &Image) {
        let empty = Image::new(random, Some(base), Vec::new());
        let unfinished = Image::new(random, Some(base), tar_of(b"unfinished"));
        let hole = Image::new(random, Some(base), tar_of(b"hole"));
        let above = Image::new(random, Some(&hole), tar_of(b"above"));
        let mut push = client.push(BROKEN).await;
        for image in [&empty, &hole, &above] {
            push.image(image).await;
        }
        push.image_without_checksum(&unfinished).await;
        push.finish().await;
        for image in [&empty, &hole, &above, &unfinished] {
            self.keep(image);
        }
        self.tag(client, BROKEN, &[("empty", &empty), ("hole", &above), ("unfinished", &unfinished)]).await;
        self.removed_layer.clone_from(&hole.id);
        self.damage.insert(empty.id, "layer_empty");
        self.damage.insert(unfinished.id, "in_progress");
    }

    async fn push_untagged(&mut self, client: &Client, random: &mut Random, base: &Image) {
        let whole = Image::new(random, Some(base), tar_of(b"whole"));
        let unfinished = Image::new(random, None, tar_of(b"never finished"));
        let mut push = client.push(BASE).await;
        push.image(&whole).await;
        push.image_without_checksum(&unfinished).await;
        push.finish().await;
        for image in [&whole, &unfinished] {
            self.keep(image);
            self.untagged.push(image.id.clone());
        }
        self.untagged.sort();
    }

    async fn tag(&mut self, client: &Client, repository: &'static str, tags: &[(&'static str, &Image)]) {
        let push = client.push(repository).await;
        for (tag, image) in tags {
            push.tag(tag, image).await;
            self.tags.push((repository, tag, image.id.clone()));
        }
    }

    fn keep(&mut self, image: &Image) {
        self.images.insert(image.id.clone(), image.clone());
    }

    /// In the registry's `storage_path`: a layer removed, an ancestry cut off, a layer changed, a tag that points at nothing.
    pub fn damage(&mut self, store: &Path) {
        let image = |id: &str, file: &str| store.join("images").join(id).join(file);
        std::fs::remove_file(image(&self.removed_layer, "layer")).expect("a layer");
        self.damage.insert(self.removed_layer.clone(), "layer_missing");
        let ancestry = std::fs::OpenOptions::new().write(true).open(image(&self.cut_ancestry, "ancestry"));
        ancestry.and_then(|file| file.set_len(100)).expect("an ancestry");
        self.damage.insert(self.cut_ancestry.clone(), "ancestry_unreadable");
        let layer = image(&self.changed_layer, "layer");
        let mut bytes = std::fs::read(&layer).expect("a layer");
        bytes[10] ^= 1;
        std::fs::write(layer, bytes).expect("a layer");
        let tag = store.join("repositories").join(BROKEN).join("tag_dangling");
        std::fs::write(tag, NOBODY).expect("a tag");
        self.tags.push((BROKEN, "dangling", NOBODY.to_owned()));
    }

    /// A changed layer is seen by its checksum alone.
    pub fn damage_to_verified(&mut self) {
        self.damage.insert(self.changed_layer.clone(), "checksum_mismatch");
    }

    /// An image and its ancestors; the id alone, where it is not there.
    fn chain(&self, id: &str) -> Vec<String> {
        let ancestors = self.images.get(id).map(|image| image.ancestors.clone()).unwrap_or_default();
        std::iter::once(id.to_owned()).chain(ancestors).collect()
    }

    pub fn layers(&self, id: &str) -> usize {
        self.chain(id).len()
    }

    /// Of the layers that are there.
    pub fn bytes(&self, id: &str) -> u64 {
        self.chain(id).iter().map(|id| self.size(id)).sum()
    }

    fn size(&self, id: &str) -> u64 {
        let image = self.images.get(id).filter(|_| self.damage.get(id) != Some(&"layer_missing"));
        image.map_or(0, |image| image.layer.len() as u64)
    }

    /// What is wrong with a tag that points there, from the tag down.
    pub fn damage_of(&self, id: &str) -> Vec<Finding> {
        if !self.images.contains_key(id) {
            return vec![("image_missing".to_owned(), Some(id.to_owned()))];
        }
        let chain = self.chain(id).into_iter();
        chain.filter_map(|id| self.damage.get(&id).map(|what| ((*what).to_owned(), Some(id)))).collect()
    }

    /// Those that tags reach, each once: how many, how many damaged, and their bytes.
    pub fn reached(&self) -> (usize, usize, u64) {
        let mut reached: Vec<String> = self.tags.iter().flat_map(|(.., id)| self.chain(id)).collect();
        reached.retain(|id| self.images.contains_key(id));
        reached.sort();
        reached.dedup();
        let damaged = reached.iter().filter(|id| self.damage.contains_key(*id)).count();
        (reached.len(), damaged, reached.iter().map(|id| self.size(id)).sum())
    }

    /// Of all images.
    pub fn all_bytes(&self) -> u64 {
        self.images.keys().map(|id| self.size(id)).sum()
    }
}
