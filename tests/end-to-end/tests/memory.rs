//! Memory does not grow with the size of blobs: eight clients push 1 GiB each at once, then eight pull at once, and neither
//! core nor filesystem driver passes 64 MiB, nor the S3 or the Swift driver 128.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_end_to_end::bucket::Bucket;
use longshore_end_to_end::client::{Failure, blob_path, expect, location};
use longshore_end_to_end::container::Container;
use longshore_end_to_end::digest::Sha256Digest;
use longshore_end_to_end::figures::{mib, peak_memory, reset_peak_memory};
use longshore_end_to_end::servers::{Flavour, Implementation};
use longshore_end_to_end::{Client, Random, Registry, figure};
use reqwest::{Body, Method, StatusCode};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;
const SIZE: u64 = 1 << 30;
const LIMIT: u64 = 64 << 20;
/// Of a driver whose store is on a server.
const SERVER_LIMIT: u64 = 128 << 20;
const PIECE: u64 = 256 * 1024;

/// One after the other: each counts what its processes have at their peak, and takes all that the machine has.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_pushes_and_eight_pulls_of_1_gib_grow_neither_core_nor_filesystem_driver() {
    let _alone = ALONE.lock().await;
    let registry = Registry::start_apart().await;
    let driver = ("filesystem driver", registry.driver_pid(), LIMIT);
    pushes_and_pulls(&registry, driver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_pushes_and_eight_pulls_of_1_gib_grow_neither_core_nor_s3_driver() {
    let _alone = ALONE.lock().await;
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let driver = bucket.driver("driver");
    let registry = driver.core("").await;
    pushes_and_pulls(&registry, ("S3 driver", driver.process().id(), SERVER_LIMIT)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_pushes_and_eight_pulls_of_1_gib_grow_neither_core_nor_swift_driver() {
    let _alone = ALONE.lock().await;
    let container = Container::start(Flavour::SwiftTempauth).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    pushes_and_pulls(&registry, ("Swift driver", driver.process().id(), SERVER_LIMIT)).await;
}

type Watched = (&'static str, u32, u64);

async fn pushes_and_pulls(registry: &Registry, driver: Watched) {
    let mut random = Random::announced("memory");
    let processes = [("core", registry.core().id(), LIMIT), driver];
    show(&processes, "idle");
    let begin = Instant::now();
    let mut pushes = JoinSet::new();
    for number in 0..CLIENTS {
        pushes.spawn(push(registry.client(), format!("memory/r{number}"), random.split()));
    }
    let blobs: Result<Vec<_>, Failure> = pushes.join_all().await.into_iter().collect();
    let blobs = blobs.unwrap_or_else(|failure| panic!("{failure}\n{}", why(registry)));
    rate("pushed", begin);
    let pushing = show(&processes, "while eight clients push 1 GiB each");

    for (_, process, _) in &processes {
        reset_peak_memory(*process);
    }
    let begin = Instant::now();
    let mut pulls = JoinSet::new();
    for (repository, digest) in blobs {
        pulls.spawn(pull(registry.client(), repository, digest));
    }
    pulls.join_all().await;
    rate("pulled", begin);
    let pulling = show(&processes, "while eight clients pull 1 GiB each");

    for (name, peak, limit) in pushing.into_iter().chain(pulling) {
        assert!(peak < limit, "{name} had {} at its peak, the limit is {}", mib(peak), mib(limit));
    }
}

/// What the core says of requests that failed.
fn why(registry: &Registry) -> String {
    let lines = registry.core().lines();
    lines.into_iter().filter(|line| line.contains("ERROR")).collect::<Vec<_>>().join("\n")
}

/// One PATCH without a length, as docker sends it; the digest is known when the last byte is out.
async fn push(client: Client, repository: String, random: Random) -> Result<(String, String), Failure> {
    let upload = client.start_upload(&repository).await?;
    let digest = Arc::new(std::sync::Mutex::new(Sha256Digest::default()));
    let pieces = stream::unfold((random, SIZE, Arc::clone(&digest)), async |(mut random, left, digest)| {
        if left == 0 {
            return None;
        }
        let piece = Bytes::from(random.bytes(usize::try_from(left.min(PIECE)).expect("a piece")));
        digest.lock().expect("the digest").update(&piece);
        let left = left - piece.len() as u64;
        Some((Ok::<_, std::io::Error>(piece), (random, left, digest)))
    });
    let request = client.request(Method::PATCH, &upload).header("Content-Type", "application/octet-stream");
    let response = request.body(Body::wrap_stream(pieces)).send().await?;
    let response = expect(StatusCode::ACCEPTED, "PATCH", response).await?;
    assert_eq!(response.headers()["range"], format!("0-{}", SIZE - 1), "every byte is durable");
    let upload = location(&response).expect("a location");
    let digest = digest.lock().expect("the digest").clone().finish();
    client.finish_upload(&upload, &digest).await?;
    Ok((repository, digest))
}

async fn pull(client: Client, repository: String, digest: String) {
    let response = client.get(&blob_path(&repository, &digest)).send().await.expect("GET");
    let response = expect(StatusCode::OK, "GET blob", response).await.expect("200");
    assert_eq!(response.content_length(), Some(SIZE));
    let (mut seen, mut length) = (Sha256Digest::default(), 0);
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.expect("a piece of the blob");
        length += piece.len() as u64;
        seen.update(&piece);
    }
    assert_eq!((length, seen.finish()), (SIZE, digest));
}

fn show(processes: &[Watched], when: &str) -> Vec<(String, u64, u64)> {
    let peaks: Vec<_> = processes
        .iter()
        .map(|(name, process, limit)| (format!("{name} {when}"), peak_memory(*process), *limit))
        .collect();
    for (name, peak, _) in &peaks {
        figure!("memory: VmHWM {} of the {name}", mib(*peak));
    }
    peaks
}

fn rate(what: &str, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    let mib_in_all = (CLIENTS * SIZE) >> 20;
    figure!("memory: {what} {mib_in_all} MiB in {seconds:.1} s, {:.0} MiB/s", mib_in_all as f64 / seconds);
}
