//! kill -9 of the core, the driver, or both, inside an open PATCH: the client goes on at the last durable offset, at
//! another core and another driver, and the digest is right. Once the sessions are ended nothing is left in the bucket.

use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::writer::go_on;
use longshore_end_to_end::{Client, Random, Registry, figure, sha256};

use crate::REPOSITORY;
use crate::bucket::{Bucket, Driver, no_multipart_upload_is_left};

const KILLS: usize = 100;
const BLOB: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_inside_a_patch_lose_nothing_that_was_acknowledged() {
    let mut random = Random::announced("s3 kills");
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let mut side = Side::start(&bucket, "one").await;
    let other = Side::start(&bucket, "two").await;
    let mut inside = 0;
    for number in 0..KILLS {
        let blob = Bytes::from(random.bytes(BLOB));
        let location = side.client().start_upload(REPOSITORY).await.expect("POST");
        let known = durable_chunk(&side.client(), &location, &blob, &mut random).await;
        let hit = side.killed_inside_a_patch(number, &location, known, &blob, &mut random).await;
        inside += usize::from(hit);
        // Somebody else's core and driver know where it was.
        let digest = go_on(&other.client(), &location, &blob, known).await.expect("the rest of the upload");
        let pulled = other.client().get_blob(REPOSITORY, &digest).await.expect("GET");
        assert_eq!(sha256(&pulled), digest, "kill {number}");
        side.start_again().await;
    }
    figure!("s3 kills: {inside} of {KILLS} inside an open PATCH");
    assert!(inside >= KILLS * 2 / 3, "only {inside} kills hit an open PATCH");
    other.driver.end_all_uploads().await;
    assert_eq!(bucket.server.keys(".driver/uploads/").await, Vec::<String>::new());
    no_multipart_upload_is_left(&bucket.server).await;
}

/// A core and its driver.
struct Side {
    driver: Driver,
    core: Registry,
    core_is_dead: bool,
}

impl Side {
    async fn start(bucket: &Bucket, name: &str) -> Self {
        let driver = bucket.driver(name);
        let core = driver.core("").await;
        Self { driver, core, core_is_dead: false }
    }

    fn client(&self) -> Client {
        self.core.client()
    }

    /// Whether the PATCH was still open when its core, its driver or both died.
    async fn killed_inside_a_patch(
        &mut self,
        number: usize,
        location: &str,
        offset: u64,
        blob: &Bytes,
        random: &mut Random,
    ) -> bool {
        let rest = blob.slice(offset as usize..);
        let request = self.client().patch_request(location, offset, rest);
        let patch = tokio::spawn(request.send());
        tokio::time::sleep(Duration::from_millis(random.between(10, 150))).await;
        if number % 3 != 1 {
            self.driver.kill();
        }
        if !number.is_multiple_of(3) {
            self.core.kill_core();
            self.core_is_dead = true;
        }
        match patch.await.expect("the client's task") {
            Ok(answer) => !answer.status().is_success(),
            Err(_) => true,
        }
    }

    async fn start_again(&mut self) {
        if !self.driver.is_running() {
            self.driver.start();
        }
        if std::mem::take(&mut self.core_is_dead) {
            self.core.start_core();
        }
        self.core.await_ready(Duration::from_secs(30)).await;
    }
}

/// A first chunk that was acknowledged; gives its end.
async fn durable_chunk(client: &Client, location: &str, blob: &Bytes, random: &mut Random) -> u64 {
    let size = random.between(1, 24 << 20);
    let chunk = blob.slice(..size as usize);
    let (_, durable) = client.patch(location, 0, chunk).await.expect("PATCH");
    assert_eq!(durable, size);
    durable
}
