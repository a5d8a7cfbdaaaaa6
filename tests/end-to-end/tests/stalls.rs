//! A driver that hangs (SIGSTOP) or dies: its repositories answer 503 in bounded time, what is under way is never
//! ended cleanly, other storages stay fast, and all is well soon after it goes on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore_end_to_end::client::{OCI_MANIFEST, blob_path, image_manifest, manifest_path};
use longshore_end_to_end::registry::{START, Storage};
use longshore_end_to_end::wire::{Open, Outcome, Request};
use longshore_end_to_end::{Client, Random, Registry, figure, sha256};
use reqwest::{Method, StatusCode};

/// Requests not yet begun.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
/// Those under way: 8 s without progress, after the buffers on the way have filled at the pace of the client.
const ENDED_WITHIN: Duration = Duration::from_secs(16);
const WELL_WITHIN: Duration = Duration::from_secs(2);
/// What the other storage may take for an answer while its neighbour hangs.
const FAST: Duration = Duration::from_secs(1);
const BLOB: usize = 64 << 20;
const CHUNK: usize = 4 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_driver_harms_only_its_own_repositories_and_only_while_it_is_stopped() {
    let mut random = Random::announced("stalls");
    let storages = vec![Storage::default_one(), Storage::with_prefix("other", "other")];
    let mut registry = Registry::start_storages(storages).await;
    registry.await_repository("other/app", START).await;
    let client = registry.client();
    let content = Bytes::from(random.bytes(BLOB));
    let blob = client.push_blob("stalled/app", content.clone()).await.expect("push");
    let fixture = Fixture::prepare(&client, &mut random).await;

    let download = begin_download(&client, &blob).await;
    let upload = fixture.begin_patch(&registry).await;
    registry.driver().stop();
    let stopped = Instant::now();

    let (refused, (), cut_off, ended) = tokio::join!(
        requests_are_refused(&client, &blob),
        the_other_storage_is_fast(&client, &mut random),
        read_to_the_end(download, stopped),
        patch_ends_with_503(upload, stopped),
    );
    figure!(
        "stalls: slowest refusal {refused:.1?}, GET cut off after {cut_off:.1?}, PATCH ended after {ended:.1?}"
    );

    registry.driver().resume();
    let well = registry.await_repository("stalled/app", WELL_WITHIN).await;
    fixture.goes_on(&client).await;
    let again = client.get_blob("stalled/app", &blob).await.expect("GET after SIGCONT");
    assert_eq!(sha256(&again), blob);
    figure!("stalls: well {well:.1?} after SIGCONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minded_driver_that_is_killed_serves_again_within_five_seconds() {
    let mut random = Random::announced("minded driver");
    let mut registry = Registry::start().await;
    let client = registry.client();
    let digest = client.push_blob("minded/app", random.bytes(CHUNK)).await.expect("push");
    for _ in 0..3 {
        let before = registry.driver_pid();
        registry.kill_driver();
        let begin = Instant::now();
        // A read that was answered before the core saw the death proves nothing: wait for the new process.
        while registry.minded_driver().is_none_or(|driver| driver == before) {
            assert!(begin.elapsed() < START, "no new driver after {START:?}\n{}", registry.core().log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        registry.await_ready(START.saturating_sub(begin.elapsed())).await;
        let content = client.get_blob("minded/app", &digest).await.expect("GET");
        assert_eq!(sha256(&content), digest);
        client.push_blob("minded/app", random.bytes(1000)).await.expect("push");
        figure!("stalls: a killed minded driver serves again after {:.1?}", begin.elapsed());
        assert!(begin.elapsed() < START);
    }
    registry.stop_core(START);
}

/// An upload that has come half-way when the driver stops.
struct Fixture {
    content: Bytes,
    location: String,
    durable: u64,
}

impl Fixture {
    async fn prepare(client: &Client, random: &mut Random) -> Self {
        let content = Bytes::from(random.bytes(3 * CHUNK));
        let location = client.start_upload("stalled/app").await.expect("POST");
        let (location, durable) = client.patch(&location, 0, content.slice(..CHUNK)).await.expect("PATCH");
        assert_eq!(durable, CHUNK as u64);
        Self { content, location, durable }
    }

    /// A slow client in the middle of its second chunk.
    async fn begin_patch(&self, registry: &Registry) -> Open {
        let last = self.content.len() - 1;
        let request = Request::new("PATCH", &self.location)
            .header("Content-Range", format!("{}-{last}", self.durable))
            .body(self.content.slice(CHUNK..))
            .pace(Duration::from_millis(100));
        let open = Open::send(registry.address(), request).await;
        while open.body_sent() < 512 * 1024 {
            assert!(!open.finished(), "refused before the driver was stopped");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        open
    }

    /// The session is where its last mark was, and ends well.
    async fn goes_on(&self, client: &Client) {
        let (location, durable) = client.upload_status(&self.location).await.expect("the session");
        assert!(durable >= self.durable, "{durable} bytes left of {} acknowledged", self.durable);
        let rest = self.content.slice(usize::try_from(durable).expect("a small size")..);
        let (location, _) = client.patch(&location, durable, rest).await.expect("PATCH from the mark");
        let digest = sha256(&self.content);
        client.finish_upload(&location, &digest).await.expect("PUT");
        let content = client.get_blob("stalled/app", &digest).await.expect("GET");
        assert_eq!(sha256(&content), digest);
        figure!("stalls: the upload went on from {durable} bytes, {} had been acknowledged", self.durable);
    }
}

async fn begin_download(client: &Client, blob: &str) -> reqwest::Response {
    let response = client.get(&blob_path("stalled/app", blob)).send().await.expect("GET");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.content_length(), Some(BLOB as u64));
    response
}

/// Every kind of request, all at once, and once more when the breaker is open.
async fn requests_are_refused(client: &Client, blob: &str) -> Duration {
    let absent = sha256(b"absent");
    let manifest = image_manifest((&absent, 6), &[]);
    let mut slowest = Duration::ZERO;
    for _ in 0..2 {
        let requests = vec![
            client.request(Method::HEAD, &blob_path("stalled/app", blob)),
            client.get(&blob_path("stalled/app", blob)),
            client.request(Method::POST, "/v2/stalled/app/blobs/uploads/"),
            client.get(&manifest_path("stalled/app", "latest")),
            client
                .request(Method::PUT, &manifest_path("stalled/app", "new"))
                .header("Content-Type", OCI_MANIFEST)
                .body(manifest.clone()),
            client.get("/v2/stalled/app/tags/list"),
        ];
        let refusals = requests.into_iter().map(async |request| {
            let begin = Instant::now();
            let response = request.send().await.expect("an answer");
            let what = format!("{} after {:?}", response.url(), begin.elapsed());
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
            assert!(response.headers().contains_key("retry-after"), "no Retry-After: {what}");
            assert!(begin.elapsed() < REFUSED_WITHIN, "{what}");
            begin.elapsed()
        });
        let times = futures_util::future::join_all(refusals).await;
        slowest = times.into_iter().fold(slowest, Duration::max);
    }
    slowest
}

async fn the_other_storage_is_fast(client: &Client, random: &mut Random) {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < REFUSED_WITHIN {
        let content = random.bytes(10_000);
        let one = Instant::now();
        let digest = client.push_blob("other/app", content).await.expect("push to the other storage");
        client.get_blob("other/app", &digest).await.expect("pull from the other storage");
        times.push(one.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    figure!(
        "stalls: the other storage: {} pushes and pulls, median {median:.1?}, slowest {slowest:.1?}",
        times.len()
    );
    assert!(slowest < FAST, "the other storage took {slowest:?}");
}

/// Short of its length, and with an error: a client must not take it for the blob.
async fn read_to_the_end(response: reqwest::Response, stopped: Instant) -> Duration {
    let mut pieces = response.bytes_stream();
    let (mut length, mut error) = (0, None);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => length += piece.len(),
            Err(reason) => error = Some(reason),
        }
    }
    assert!(error.is_some() && length < BLOB, "{length} bytes of {BLOB} and a clean end");
    assert!(stopped.elapsed() < ENDED_WITHIN, "cut off only after {:?}", stopped.elapsed());
    stopped.elapsed()
}

async fn patch_ends_with_503(open: Open, stopped: Instant) -> Duration {
    match open.outcome(Duration::from_secs(30)).await {
        Outcome::Complete(answer) => {
            assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.body));
            assert!(answer.header("retry-after").is_some(), "no Retry-After");
        }
        Outcome::Cut { why, .. } => panic!("a PATCH under way was cut off: {why}"),
    }
    assert!(stopped.elapsed() < ENDED_WITHIN, "ended only after {:?}", stopped.elapsed());
    stopped.elapsed()
}
