//! Pulling blobs from the store itself: end-2 with `storage.NAME.redirect`, over a driver that signs URLs.

use std::process::Command;
use std::time::{Duration, Instant};

use longshore_end_to_end::client::{OCI_MANIFEST, blob_path, image_manifest, manifest_path};
use longshore_end_to_end::registry::{CORE, Storage};
use longshore_end_to_end::{Client, Process, Registry, process, scratch, sha256};
use reqwest::{Response, StatusCode};
use tempfile::TempDir;

use crate::{REPOSITORY, code, header};

/// It keeps the contract, signs URLs, and serves what it signed on loopback.
const SIGNING_DRIVER: &str = "longshore-faulty-driver";
const LARGE: usize = 200_000;
const WARNING: &str = "no redirect to the store";
const ON: &str = "[storage.main.redirect]\nmin_size = 100000\n";

/// Fields are dropped in order: the core before its driver.
struct Bed {
    registry: Registry,
    client: Client,
    _driver: Process,
    _place: TempDir,
}

impl Bed {
    /// Its clients are whom they name in `X-Forwarded-For`.
    async fn start(fault: &str, section: &str) -> Self {
        let place = scratch::socket_directory();
        let endpoint = format!("unix://{}/driver.sock", place.path().display());
        let mut command = Command::new(scratch::binary(SIGNING_DRIVER));
        command.args(["--endpoint", &endpoint, "--fault", fault, "--root"]).arg(place.path().join("root"));
        let driver = Process::spawn(SIGNING_DRIVER, &mut command);
        // It waits for the driver to listen.
        process::run(&scratch::binary(CORE), &["storage", "init", &endpoint]);
        let top = "trusted_proxies = ['127.0.0.1']";
        let registry =
            Registry::start_over(&format!("{top}\n[storage.main]\nendpoint = {endpoint:?}\n{section}")).await;
        Self { client: registry.client(), registry, _driver: driver, _place: place }
    }

    async fn push(&self, content: &[u8]) -> String {
        self.client.push_blob(REPOSITORY, content.to_vec()).await.expect("a push")
    }

    async fn get(&self, digest: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.client.get(&blob_path(REPOSITORY, digest));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.expect("an answer")
    }

    /// How many downloads ended like this, by the metrics.
    async fn count(&self, outcome: &str) -> usize {
        let text = self.client.get("/metrics").send().await.expect("an answer").text().await.expect("a body");
        let sample = format!("longshore_blob_redirects_total{{storage=\"main\",outcome=\"{outcome}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&sample));
        value.map_or(0, |value| value.parse().expect("a number"))
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

async fn fetch(client: &Client, url: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
    let request = client.get(url);
    let request = range.into_iter().fold(request, |request, range| request.header("Range", range));
    let response = request.send().await.expect("the store answers");
    (response.status(), response.bytes().await.expect("a body").to_vec())
}

#[tokio::test]
async fn a_large_blob_is_fetched_from_the_url_that_the_driver_signed() {
    let bed = Bed::start("none", ON).await;
    let content = content(LARGE);
    let digest = bed.push(&content).await;
    let response = bed.get(&digest, &[]).await;
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(header(&response, "docker-content-digest"), digest);
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
    assert_eq!(header(&response, "content-length"), "0");
    assert_eq!(header(&response, "x-request-id").len(), 16);
    for name in ["authorization", "www-authenticate", "set-cookie", "etag", "content-range"] {
        assert_eq!(header(&response, name), "", "{name}");
    }
    let url = header(&response, "location").to_owned();
    assert!(url.starts_with("http://127.0.0.1:") && !url.contains(bed.registry.address()), "{url}");
    assert!(response.bytes().await.unwrap().is_empty());
    let (status, body) = fetch(&bed.client, &url, None).await;
    assert_eq!((status, sha256(&body)), (StatusCode::OK, digest.clone()));

    let ranged = bed.get(&digest, &[("Range", "bytes=1000-1999")]).await;
    assert_eq!(ranged.status(), StatusCode::TEMPORARY_REDIRECT, "the store heeds the range");
    let (status, body) = fetch(&bed.client, header(&ranged, "location"), Some("bytes=1000-1999")).await;
    assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &content[1000..2000]));
    assert_eq!(bed.count("redirected").await, 2);
    let log = bed.registry.core().lines().join("\n");
    assert!(!log.contains(url.rsplit('/').next().unwrap()), "a URL is not logged:\n{log}");
}

#[tokio::test]
async fn head_conditions_small_blobs_and_manifests_are_answered_by_the_core() {
    let bed = Bed::start("none", ON).await;
    let large = content(LARGE);
    let (digest, small) = (bed.push(&large).await, bed.push(&content(99_999)).await);
    let tag = format!("\"{digest}\"");

    let head = bed.client.head_blob(REPOSITORY, &digest).await.unwrap();
    assert_eq!((head.status(), header(&head, "content-length")), (StatusCode::OK, "200000"));
    let response = bed.get(&digest, &[("If-None-Match", &tag)]).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    let response = bed.get(&digest, &[("If-Range", &tag), ("Range", "bytes=0-9")]).await;
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "the tag is ours, and not the store's");
    assert_eq!(response.bytes().await.unwrap(), large[..10]);
    let response = bed.get(&digest, &[("If-Match", &tag)]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(bed.client.get_blob(REPOSITORY, &small).await.unwrap(), large[..99_999]);
    let response = bed.get(&small, &[("Range", "bytes=5-9")]).await;
    assert_eq!(header(&response, "content-range"), "bytes 5-9/99999");
    assert_eq!(response.bytes().await.unwrap(), large[5..10]);
    let response = bed.get(&small, &[("Range", "bytes=99999-")]).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    let manifest = image_manifest((&small, 99_999), &vec![(&*digest, LARGE as u64); 1000]);
    assert!(manifest.len() > 100_000, "larger than min_size");
    bed.client.put_manifest(REPOSITORY, "v1", OCI_MANIFEST, manifest.clone()).await.unwrap();
    let response = bed.client.get(&manifest_path(REPOSITORY, "v1")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "manifests are never redirected");
    assert_eq!(response.bytes().await.unwrap(), manifest);
    assert_eq!(bed.count("redirected").await, 0);
}

#[tokio::test]
async fn a_blob_that_another_repository_has_is_not_redirected_to() {
    let bed = Bed::start("none", ON).await;
    let digest = bed.push(&content(LARGE)).await;
    for path in [blob_path("other/app", &digest), blob_path(REPOSITORY, &sha256(b"unknown"))] {
        let response = bed.client.get(&path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(header(&response, "location"), "");
        assert_eq!(code(response).await, "BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn only_clients_of_the_networks_are_redirected_also_behind_a_proxy() {
    let bed = Bed::start("none", &format!("{ON}networks = ['192.0.2.0/24', '2001:db8::1']\n")).await;
    let content = content(LARGE);
    let digest = bed.push(&content).await;
    let response = bed.get(&digest, &[]).await;
    assert_eq!(response.status(), StatusCode::OK, "loopback is none of them");
    assert_eq!(response.bytes().await.unwrap(), content);
    for (client, status) in [
        ("192.0.2.9", StatusCode::TEMPORARY_REDIRECT),
        ("2001:db8::1", StatusCode::TEMPORARY_REDIRECT),
        ("192.0.3.9", StatusCode::OK),
        ("192.0.2.9, 198.51.100.1", StatusCode::OK),
    ] {
        let response = bed.get(&digest, &[("X-Forwarded-For", client)]).await;
        assert_eq!(response.status(), status, "{client}");
    }
}

#[tokio::test]
async fn a_driver_that_gives_no_url_is_no_harm() {
    // Without an expiry a URL is none.
    for (fault, outcome, warnings) in [("sign-refused", "failed", 1), ("sign-expiry-untold", "no_url", 0)] {
        let bed = Bed::start(fault, ON).await;
        let content = content(LARGE);
        let digest = bed.push(&content).await;
        for _ in 0..3 {
            let response = bed.get(&digest, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{fault}");
            assert_eq!(header(&response, "docker-content-digest"), digest);
            assert_eq!(response.bytes().await.unwrap(), content, "{fault}");
        }
        let response = bed.get(&digest, &[("Range", "bytes=7-8")]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{fault}");
        assert_eq!(response.bytes().await.unwrap(), content[7..9]);
        assert_eq!((bed.count(outcome).await, bed.count("redirected").await), (4, 0), "{fault}");
        let core = bed.registry.core();
        if warnings > 0 {
            core.await_line(WARNING, Duration::from_secs(5));
        }
        let warned = core.lines().iter().filter(|line| line.contains(WARNING)).count();
        assert_eq!(warned, warnings, "{fault}: {}", core.log());
    }
}

#[tokio::test]
async fn a_driver_that_is_late_with_its_url_is_waited_for_once() {
    let bed = Bed::start("sign-hangs", ON).await;
    let content = content(LARGE);
    let digest = bed.push(&content).await;
    let begin = Instant::now();
    for _ in 0..4 {
        assert_eq!(bed.client.get_blob(REPOSITORY, &digest).await.unwrap(), content);
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "each was waited for: {took:?}");
    assert_eq!(bed.count("late").await, 4);
}

#[tokio::test]
async fn a_driver_that_signs_nothing_serves_through_the_core() {
    let storage = Storage::default_one().signing_nothing().configured("redirect = true");
    let registry = Registry::start_storages(vec![storage]).await;
    let client = registry.client();
    let content = content(2 * 1024 * 1024);
    let digest = client.push_blob(REPOSITORY, content.clone()).await.unwrap();
    assert_eq!(client.get_blob(REPOSITORY, &digest).await.unwrap(), content);
    let log = registry.core().lines().join("\n");
    assert!(log.contains("the driver signs no URLs"), "{log}");
}
