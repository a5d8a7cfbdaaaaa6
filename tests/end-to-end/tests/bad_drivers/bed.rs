//! A registry of two storages: `bad`, whose driver stands behind a [`Front`], and `main` beside it, which is good. Owns
//! what was acknowledged before the driver went bad, and the look that it is all there afterwards.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, blob_path, image_manifest, manifest_path};
use longshore_end_to_end::registry::{START, Storage};
use longshore_end_to_end::{Client, Random, Registry, figure, figures, sha256};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::beside::Beside;
use crate::front::Front;

/// Short, so that a test of every call takes seconds.
pub(crate) const DEADLINES: &str = "[deadlines]\nprobe = \"1s\"\ncall = \"1s\"\ncall_with_retries = \"2s\"\nstall = \"2s\"\ncommit = \"3s\"\n[uploads]\nsweep_every = \"1s\"\n";
/// A request makes one call that hangs, with all its retries, and the machine may be busy.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// Dialling backs off for at most half a second.
const WELL_WITHIN: Duration = Duration::from_secs(5);
/// The core is at 11 MiB when it is idle. The most is a stream's window of 1 MiB full of messages of a few bytes: their
/// bookkeeping was seen to take 37 MiB.
const FLAT: u64 = 64 << 20;
const BLOB: usize = 700_000;
const HALF: usize = 300_000;

/// The calls that requests of clients lead to.
pub(crate) const CALLS: &[&str] =
    &["Stat", "Get", "Put", "Delete", "List", "ReadStream", "WriteStream", "GetUpload", "EndUpload"];

pub(crate) struct Bed {
    pub(crate) registry: Registry,
    pub(crate) front: Front,
    pub(crate) client: Client,
    blob: Bytes,
    manifest: Bytes,
    /// An upload that has come half-way.
    upload: String,
    pushes: u32,
    beside: Beside,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: StatusCode,
    pub(crate) request: String,
    pub(crate) retry_after: bool,
    /// `None`: the response was cut off.
    pub(crate) body: Option<Bytes>,
    pub(crate) took: Duration,
}

impl Bed {
    pub(crate) async fn start(name: &str) -> Self {
        let mut random = Random::announced(name);
        let front = Front::start();
        let bad = Storage::with_prefix("bad", "bad").behind(front.socket(), front.driver_socket());
        let registry = Registry::start_storages_with(vec![Storage::default_one(), bad], DEADLINES).await;
        registry.await_repository("bad/app", START).await;
        let client = registry.client();
        let blob = Bytes::from(random.bytes(BLOB));
        let digest = client.push_blob("bad/app", blob.clone()).await.expect("push");
        let manifest = image_manifest((&digest, BLOB as u64), &[]);
        client.put_manifest("bad/app", "v1", OCI_MANIFEST, manifest.clone()).await.expect("PUT manifest");
        let location = client.start_upload("bad/app").await.expect("POST");
        let (upload, durable) = client.patch(&location, 0, blob.slice(..HALF)).await.expect("PATCH");
        assert_eq!(durable, HALF as u64);
        figures::reset_peak_memory(registry.core().id());
        let beside = Beside::start(registry.client(), random);
        Self { registry, front, client, blob, manifest, upload, pushes: 0, beside }
    }

    /// A request that leads to this call, among others; what it needs is made while the driver is good.
    pub(crate) async fn request_with(&mut self, call: &str) -> RequestBuilder {
        let (client, repository) = (&self.client, "bad/app");
        let digest = sha256(&self.blob);
        self.pushes += 1;
        let tag = format!("tag-{}", self.pushes);
        match call {
            "Stat" => client.request(Method::HEAD, &blob_path(repository, &digest)),
            "Get" => client.get(&manifest_path(repository, "v1")),
            "Put" => client
                .request(Method::PUT, &manifest_path(repository, &tag))
                .header("Content-Type", OCI_MANIFEST)
                .body(self.manifest.clone()),
            "Delete" => {
                let manifest = self.manifest.clone();
                client.put_manifest(repository, &tag, OCI_MANIFEST, manifest).await.expect("PUT manifest");
                client.request(Method::DELETE, &manifest_path(repository, &tag))
            }
            "List" => client.get(&format!("/v2/{repository}/tags/list")),
            "ReadStream" => client.get(&blob_path(repository, &digest)),
            "WriteStream" => client.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")),
            "GetUpload" => client.get(&self.upload),
            "EndUpload" => {
                let location = client.start_upload(repository).await.expect("POST");
                client.request(Method::DELETE, &location)
            }
            other => panic!("no request leads to {other}"),
        }
    }

    /// A chunk for an upload of its own.
    pub(crate) async fn patch_request(&self) -> RequestBuilder {
        let location = self.client.start_upload("bad/app").await.expect("POST");
        self.client.patch_request(&location, 0, self.blob.slice(..HALF))
    }

    /// Sends it, and reads the answer to its end.
    pub(crate) async fn end_of(&self, request: RequestBuilder) -> Ended {
        self.answer_to(request).await.expect("an answer")
    }

    /// The same for a response that breaks: the connection may end before its head was sent.
    pub(crate) async fn broken_end_of(&self, request: RequestBuilder) -> Option<Ended> {
        match self.answer_to(request).await {
            Ok(ended) => Some(ended),
            Err(error) => {
                let closed = !error.is_timeout() && !error.is_connect();
                assert!(closed, "neither an answer nor an end of the connection: {error}");
                None
            }
        }
    }

    async fn answer_to(&self, request: RequestBuilder) -> reqwest::Result<Ended> {
        let begin = Instant::now();
        let response = request.timeout(Duration::from_secs(60)).send().await?;
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (request, retry_after) = (header("x-request-id").unwrap_or_default(), header("retry-after"));
        let status = response.status();
        let body = response.bytes().await.ok();
        Ok(Ended { status, request, retry_after: retry_after.is_some(), body, took: begin.elapsed() })
    }

    /// An error of the specification for the client, and for the operator a line with the request's id that names the
    /// storage, what happened (one of `said`), and the next step.
    pub(crate) async fn assert_refused(&self, what: &str, ended: &Ended, said: &[&str]) {
        assert!(ended.took < ANSWERED_WITHIN, "{what}: {ended:?}");
        assert!(ended.status.is_server_error(), "{what}: {ended:?}");
        if ended.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(ended.retry_after, "{what}: no Retry-After: {ended:?}");
        }
        let body = ended.body.as_ref().unwrap_or_else(|| panic!("{what}: cut off: {ended:?}"));
        // HEAD has none.
        if !body.is_empty() {
            let error: Value =
                serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}: {body:?}"));
            let code =
                if ended.status == StatusCode::SERVICE_UNAVAILABLE { "UNAVAILABLE" } else { "UNKNOWN" };
            assert_eq!(error["errors"][0]["code"], code, "{what}: {error}");
            let message = error["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(message.contains(&ended.request), "{what}: {message}");
        }
        let about = |line: &str| line.contains("request failed") && line.contains(&ended.request);
        let line = self.log_line(about).await;
        let line =
            line.unwrap_or_else(|| panic!("{what}: nothing about request {} in the log", ended.request));
        assert!(line.contains("storage=\"bad\""), "{what}: which storage? {line}");
        assert!(line.contains("next=\""), "{what}: what to do next? {line}");
        assert!(said.iter().any(|words| line.contains(words)), "{what}: none of {said:?} in {line}");
    }

    /// The newest such line; the log comes through a pipe and may be behind the answer.
    async fn log_line(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        for _ in 0..40 {
            if let Some(line) = self.registry.core().lines().into_iter().rev().find(|line| fits(line)) {
                return Some(line);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// The response never ended cleanly, and the operator learns why.
    pub(crate) async fn assert_cut_off(&self, what: &str, ended: Option<&Ended>, said: &str) {
        let is_cut = |ended: &Ended| ended.status == StatusCode::OK && ended.body.is_none();
        assert!(ended.is_none_or(is_cut), "{what}: not cut off: {ended:?}");
        let cut = |line: &str| line.contains("a response was cut off") && line.contains(said);
        let line = self.log_line(cut).await.unwrap_or_else(|| panic!("{what}: {said} is not in the log"));
        for words in ["storage=\"bad\"", "next=\""] {
            assert!(line.contains(words), "{what}: {words} is not in {line}");
        }
    }

    /// What `/readyz` says of the bad storage, once it is one of these.
    pub(crate) async fn await_readiness(&self, one_of: &[&str]) -> String {
        let begin = Instant::now();
        loop {
            let response = self.client.get("/readyz").send().await.expect("/readyz");
            let ready = response.status() == StatusCode::OK;
            let body: Value = response.json().await.expect("JSON");
            assert_eq!(body["storages"]["main"], "READY", "the storage beside it: {body}");
            let found = body["storages"]["bad"].as_str().unwrap_or_default();
            assert_eq!(ready, found == "READY", "{body}");
            if one_of.contains(&found) {
                return found.to_owned();
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "{body}, and not {one_of:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The driver is good again, and the core was not restarted.
    pub(crate) async fn heal(&self) {
        self.front.heal();
        self.await_well().await;
    }

    pub(crate) async fn await_well(&self) {
        let took = self.registry.await_repository("bad/app", WELL_WITHIN).await;
        self.await_readiness(&["READY"]).await;
        assert!(took < WELL_WITHIN);
    }

    /// What was acknowledged is there, bit by bit.
    pub(crate) async fn assert_nothing_lost(&self) {
        let content = self.client.get_blob("bad/app", &sha256(&self.blob)).await.expect("GET blob");
        assert_eq!(content, self.blob, "the blob");
        let manifest = self.client.get_manifest("bad/app", "v1").await.expect("GET manifest");
        assert_eq!(manifest, self.manifest, "the manifest");
        let (_, durable) = self.client.upload_status(&self.upload).await.expect("the upload");
        assert_eq!(durable, HALF as u64, "the upload's offset");
    }

    /// Everything is well, the upload ends well too, memory stayed flat, and the storage beside was served all the time.
    pub(crate) async fn finish(self, name: &str) {
        self.assert_nothing_lost().await;
        let rest = self.blob.slice(HALF..);
        let (location, _) = self.client.patch(&self.upload, HALF as u64, rest).await.expect("PATCH");
        self.client.finish_upload(&location, &sha256(&self.blob)).await.expect("PUT");
        let peak = figures::peak_memory(self.registry.core().id());
        let (served, slowest) = self.beside.stop().await;
        figure!(
            "{name}: peak of the core {}, {served} pushes and pulls beside it, slowest {slowest:.1?}",
            figures::mib(peak)
        );
        assert!(peak < FLAT, "{name}: {}", figures::mib(peak));
    }
}
