//! kill -9 of the core, the driver, or both, inside an open PATCH: the client goes on at the last durable offset, at another core and
//! another driver, and the digest is right.

use std::time::Duration;

use bytes::Bytes;

use crate::instance::Driver;
use crate::writer::go_on;
use crate::{Client, Random, Registry, figure, sha256};

const REPOSITORY: &str = "team/app";
const KILLS: usize = 100;
const BLOB: usize = 64 << 20;

/// At the first of two drivers of one store, each with a core of its own. Gives both, when every session is ended.
pub async fn kills_inside_patches(name: &str, [one, two]: [Driver; 2]) -> [Side; 2] {
    let mut random = Random::announced(&format!("{name} kills"));
    let mut side = Side::start(one).await;
    let other = Side::start(two).await;
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
    figure!("{name} kills: {inside} of {KILLS} inside an open PATCH");
    assert!(inside >= KILLS * 2 / 3, "only {inside} kills hit an open PATCH");
    other.driver.end_all_uploads().await;
    [side, other]
}

/// A core and its driver.
pub struct Side {
    driver: Driver,
    core: Registry,
    core_is_dead: bool,
}

impl Side {
    async fn start(driver: Driver) -> Self {
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
