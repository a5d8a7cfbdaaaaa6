//! A writer that is stopped at any step of an upload, and wakes after another instance finished it: whatever it still does,
//! not a byte of the committed object changes. It is stopped by SIGSTOP while a proxy holds one of its requests, before
//! the server has it, in the middle of its body, or before its answer is back.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::proxy::{HoldingProxy, Moment, Step};
use longshore_end_to_end::servers::{Flavour, SwiftServer, encode};
use longshore_end_to_end::writer::{Writer, patiently};
use longshore_end_to_end::{Random, Registry, figure, sha256};
use reqwest::{Method, StatusCode};

use crate::REPOSITORY;
use crate::container::{Container, Driver, SEGMENTS, UPLOADS};

/// What a writer that woke may take to see that it is too late.
const AWAKE: Duration = Duration::from_secs(60);
/// Without a request for so long, it has done its worst.
const REST: Duration = Duration::from_millis(100);
/// Bytes that are durable, and bytes that come with the end: of one segment.
const SMALL: [usize; 2] = [1000, 3000];
/// Bytes in a record, segments, and segments that come with the end.
const LARGE: [usize; 3] = [1000, 24 << 20, 16 << 20];
/// A body that is smaller may come along with its head, and has no middle.
const SPLIT: usize = 1 << 20;
/// RGW keeps all of them in memory.
const CASES_OF_A_SERVER: usize = 24;

/// Where the writer is stopped.
#[derive(Clone, Copy)]
enum Steps {
    /// At each request that writes something of the upload.
    Writes,
    /// At the last of them: the object itself.
    Commit,
    /// At every request, in every way.
    #[cfg(feature = "full")]
    All,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_swift() {
    stale_writers(Flavour::SwiftTempauth, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_rgw() {
    stale_writers(Flavour::RgwSwift, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_segments_on_swift() {
    stale_writers(Flavour::SwiftTempauth, &LARGE, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_segments_on_rgw() {
    stale_writers(Flavour::RgwSwift, &LARGE, Steps::Commit).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_swift_it_is_stopped_at() {
    stale_writers(Flavour::SwiftTempauth, &SMALL, Steps::All).await;
    stale_writers(Flavour::SwiftTempauth, &LARGE, Steps::All).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_rgw_it_is_stopped_at() {
    stale_writers(Flavour::RgwSwift, &SMALL, Steps::All).await;
    stale_writers(Flavour::RgwSwift, &LARGE, Steps::All).await;
}

async fn stale_writers(flavour: Flavour, chunks: &[usize], steps: Steps) {
    let mut random = Random::announced(&format!("swift stale writers on {flavour:?}"));
    let mut scene = Scene::start(flavour).await;
    let requests = scene.requests_of_an_upload(chunks, &mut random).await;
    let mut cases = steps.among(&requests);
    if chunks.iter().sum::<usize>() < SPLIT {
        cases.retain(|(_, moment)| *moment != Moment::Body);
    }
    let least = if matches!(steps, Steps::Commit) { 2 } else { 5 };
    assert!(cases.len() >= least, "{requests:#?}");
    for (done, (step, moment)) in cases.iter().enumerate() {
        if done > 0 && done.is_multiple_of(CASES_OF_A_SERVER) {
            scene.leaves_nothing().await;
            scene = Scene::start(flavour).await;
        }
        scene.stopped_at(step, *moment, chunks, &mut random).await;
    }
    scene.leaves_nothing().await;
    let (stops, requests) = (cases.len(), requests.len());
    figure!("swift stale writers on {flavour:?}: stopped {stops} times in an upload of {requests} requests");
}

impl Steps {
    /// Requests, and how each is held.
    fn among(self, requests: &[Step]) -> Vec<(Step, Moment)> {
        let mut cases = Vec::new();
        for step in requests {
            let moments = [Moment::Request, Moment::Body, Moment::Answer].into_iter();
            let chosen = moments.filter(|moment| self.include(&step.line, *moment));
            cases.extend(chosen.map(|moment| (step.clone(), moment)));
        }
        cases
    }

    fn include(self, line: &str, moment: Moment) -> bool {
        let is_write = !line.starts_with("GET ") && !line.starts_with("HEAD ");
        let is_segment = is_write && line.contains(SEGMENTS);
        let is_of_object = is_write && line.contains("/objects/");
        if moment == Moment::Body && !(is_segment && line.starts_with("PUT ")) {
            return false;
        }
        match self {
            // What a writer finds that wakes after the answer, one that wakes before the next request finds, too.
            Self::Writes if line.contains(UPLOADS) => is_write && moment == Moment::Request,
            Self::Writes => is_segment || is_of_object,
            Self::Commit => is_of_object,
            #[cfg(feature = "full")]
            Self::All => true,
        }
    }
}

/// The writer that is stopped, the first, and the one that goes on.
struct Scene {
    cores: [Registry; 2],
    drivers: [Driver; 2],
    proxy: HoldingProxy,
    container: Container,
}

impl Scene {
    async fn start(flavour: Flavour) -> Self {
        let container = Container::start(flavour).await;
        let proxy = HoldingProxy::before(container.server.endpoint(), ".driver/store-id").await;
        let behind = container.server.reached_at(&proxy.url());
        let drivers = [container.driver_through("one", &behind), container.driver("two")];
        // Its requests come at times of their own, and would be counted.
        let no_sweeper = "[uploads]\nsweep_every = \"1h\"\n";
        let cores = [drivers[0].core(no_sweeper).await, drivers[1].core("").await];
        Self { cores, drivers, proxy, container }
    }

    /// Of one that nobody stops.
    async fn requests_of_an_upload(&self, chunks: &[usize], random: &mut Random) -> Vec<Step> {
        self.proxy.count();
        let writer = Writer::start(self.cores[0].client(), chunks, random);
        writer.task.await.expect("no panic").expect("an upload that nobody stops");
        self.proxy.steps()
    }

    /// Once the sessions are ended.
    async fn leaves_nothing(&self) {
        self.drivers[1].end_all_uploads().await;
        assert_eq!(self.container.uploads().await, Vec::<String>::new());
        self.container.no_segment_is_left_over().await;
    }

    async fn stopped_at(&self, step: &Step, moment: Moment, chunks: &[usize], random: &mut Random) {
        let told = format!("{moment:?} of {step:?}");
        let _told = Told(&told);
        self.proxy.hold(step, moment);
        let mut writer = Writer::start(self.cores[0].client(), chunks, random);
        tokio::select! {
            () = self.proxy.held() => {}
            ended = &mut writer.task => panic!("the request did not come: {ended:?}"),
        }
        self.drivers[0].process().pause();
        let there = self.cores[1].client();
        let longer = random.below(2) == 0;
        let digest = writer.finished_elsewhere(&there, longer).await;
        let committed = objects_of(&self.container.server, &digest).await;
        assert!(!committed.is_empty());

        self.drivers[0].process().resume();
        self.proxy.release();
        let outcome = tokio::time::timeout(AWAKE, writer.task).await;
        let outcome = outcome.expect("an answer to the writer that woke").expect("no panic");
        self.proxy.rests(REST).await;
        assert_eq!(objects_of(&self.container.server, &digest).await, committed);
        self.cores[0].await_ready(AWAKE).await;
        let mut acknowledged = vec![digest];
        match outcome {
            Ok(()) => acknowledged.push(sha256(&writer.content)),
            // It is told that it is too late, or to ask again.
            Err(failure) => {
                assert_ne!(failure.status(), Some(StatusCode::INTERNAL_SERVER_ERROR), "{failure}");
            }
        }
        for (core, digest) in
            self.cores.iter().flat_map(|core| acknowledged.iter().map(move |digest| (core, digest)))
        {
            let pulled = patiently(async || core.client().get_blob(REPOSITORY, digest).await).await;
            assert_eq!(sha256(&pulled), *digest);
        }
    }
}

/// Says which step it was when the test fails.
struct Told<'a>(&'a str);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            figure!("the writer was stopped at: {}", self.0);
        }
    }
}

/// What the container says of the objects of a blob: etag, metadata and digest, by their names.
async fn objects_of(server: &SwiftServer, digest: &str) -> BTreeMap<String, Vec<String>> {
    let links = format!("repositories/{REPOSITORY}/_blobs/{}/", digest.replace(':', "/"));
    let mut objects = BTreeMap::new();
    for link in server.names(&links).await {
        let id = link[links.len()..].split('.').next().expect("an object's id");
        if id == "latest" {
            continue;
        }
        let name = format!("objects/{}/{id}", &id[..2]);
        let target = format!("/{}/{}", server.container(), encode(&name, true));
        let answer = server.send(Method::GET, &target, Bytes::new()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        let told = answer.headers().iter().map(|(name, value)| format!("{name}: {value:?}"));
        let mut told: Vec<_> =
            told.filter(|line| line.starts_with("etag") || line.starts_with("x-object-meta-")).collect();
        told.sort();
        told.push(sha256(&answer.bytes().await.expect("a whole object")));
        objects.insert(name, told);
    }
    objects
}
