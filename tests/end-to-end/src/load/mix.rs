//! What a client of the load does next: a random mix of all that clients do.

use std::time::Instant;

use super::ledger::{Answered, Asked, Blob, Image, Repository, Tag};
use super::user::User;
use super::{REPOSITORIES, TAGS};

/// Pushes of one image, before a client gives it up: others delete what it names.
const PUSHES: usize = 5;
const LARGE: usize = 4 << 20;

impl User {
    pub(super) async fn work(&mut self, until: Instant) {
        while Instant::now() < until {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let repository = self.random.below(REPOSITORIES.len() as u64) as usize;
        let image = self.random.below(self.content.images.len() as u64) as usize;
        let tag = self.random.below(TAGS as u64) as usize;
        let blob = self.random.below(self.content.blobs.len() as u64) as usize;
        match self.random.below(100) {
            0..20 => self.push(repository, image, tag, false).await,
            20..26 => self.push(repository, image, tag, true).await,
            26..36 => drop(self.ask(Asked::Mount(repository, blob)).await),
            // Refused where the image, or a part of it, is not there.
            36..48 => drop(self.ask(Asked::PutManifest(repository, image, tag)).await),
            48..56 => drop(self.ask(Asked::DeleteTag(repository, tag)).await),
            56..62 => drop(self.ask(Asked::DeleteManifest(repository, image)).await),
            62..70 => self.delete_blob(repository, blob).await,
            70..88 => self.pull_tag(repository, tag).await,
            _ => self.pull_digest(repository, image).await,
        }
    }

    /// `whole`: also what is there already.
    async fn push(&mut self, repository: Repository, image: Image, tag: Tag, whole: bool) {
        for _ in 0..PUSHES {
            for blob in self.content.images[image].blobs.clone() {
                if whole || self.ask(Asked::LookForBlob(repository, blob)).await == Answered::Absent {
                    self.mount_or_push(repository, blob).await;
                }
            }
            if self.ask(Asked::PutManifest(repository, image, tag)).await == Answered::Done {
                return;
            }
        }
        self.count("push given up");
    }

    async fn mount_or_push(&mut self, repository: Repository, blob: Blob) {
        let mount = self.random.below(3) == 0;
        if !mount || self.ask(Asked::Mount(repository, blob)).await != Answered::Done {
            self.push_blob(repository, blob).await;
        }
    }

    /// A large one seldom: nothing collects the bytes, and the next push brings them once more.
    async fn delete_blob(&mut self, repository: Repository, blob: Blob) {
        if self.content.blobs[blob].bytes.len() < LARGE || self.random.below(8) == 0 {
            self.ask(Asked::DeleteBlob(repository, blob)).await;
        }
    }

    async fn pull_tag(&mut self, repository: Repository, tag: Tag) {
        if let Answered::Shows(image) = self.ask(Asked::ReadTag(repository, tag)).await {
            self.pull_blobs(repository, image).await;
        }
    }

    async fn pull_digest(&mut self, repository: Repository, image: Image) {
        if self.ask(Asked::ReadManifest(repository, image)).await == Answered::Done {
            self.pull_blobs(repository, image).await;
        }
    }

    async fn pull_blobs(&mut self, repository: Repository, image: Image) {
        for blob in self.content.images[image].blobs.clone() {
            self.ask(Asked::ReadBlob(repository, blob)).await;
        }
    }

    /// Everything, to see what is there in the end; gives the tags that are.
    pub(super) async fn read_all(&mut self, repository: Repository) -> Vec<Tag> {
        for blob in 0..self.content.blobs.len() {
            self.ask(Asked::ReadBlob(repository, blob)).await;
        }
        for image in 0..self.content.images.len() {
            self.ask(Asked::ReadManifest(repository, image)).await;
        }
        let mut tags = Vec::new();
        for tag in 0..TAGS {
            if self.ask(Asked::ReadTag(repository, tag)).await != Answered::Absent {
                tags.push(tag);
            }
        }
        tags
    }
}
