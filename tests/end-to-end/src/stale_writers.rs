//! A writer that is stopped at any step of an upload, and wakes after another instance finished it: whatever it still does,
//! not a byte of the committed object changes. It is stopped by SIGSTOP while a proxy holds one of its requests, before
//! the server has it, in the middle of its body, or before its answer is back.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;

use crate::instance::Driver;
use crate::object_store::ObjectStore;
use crate::proxy::{HoldingProxy, Moment, Step};
use crate::writer::{Writer, patiently};
use crate::{Random, Registry, figure, sha256};

const REPOSITORY: &str = "team/app";
/// What a writer that woke may take to see that it is too late.
const AWAKE: Duration = Duration::from_secs(60);
/// Without a request for so long, it has done its worst.
const REST: Duration = Duration::from_millis(100);
/// A body that is smaller may come along with its head, and has no middle.
const SPLIT: usize = 1 << 20;
/// RGW keeps all of them in memory.
const CASES_OF_A_SERVER: usize = 24;

/// An upload, and where its writer is stopped.
pub struct Trial<'a> {
    /// For what is told of it.
    pub name: String,
    /// Sizes: each chunk but the last is acknowledged before the next.
    pub chunks: &'a [usize],
    /// Whether it is stopped at the request with this first line, and then.
    pub includes: &'a dyn Fn(&str, Moment) -> bool,
    /// So many stops, or the requests are not those that were meant.
    pub least_stops: usize,
}

/// On stores that are new and empty.
pub async fn stale_writers<S: ObjectStore>(trial: Trial<'_>, new_store: impl AsyncFn() -> S) {
    let Trial { name, chunks, .. } = trial;
    let mut random = Random::announced(&format!("stale writers, {name}"));
    let mut scene = Scene::on(new_store().await).await;
    let requests = scene.requests_of_an_upload(chunks, &mut random).await;
    let mut cases = cases(&requests, trial.includes);
    if chunks.iter().sum::<usize>() < SPLIT {
        cases.retain(|(_, moment)| *moment != Moment::Body);
    }
    assert!(cases.len() >= trial.least_stops, "{requests:#?}");
    for (done, (step, moment)) in cases.iter().enumerate() {
        if done > 0 && done.is_multiple_of(CASES_OF_A_SERVER) {
            scene.leaves_nothing().await;
            scene = Scene::on(new_store().await).await;
        }
        scene.stopped_at(step, *moment, chunks, &mut random).await;
    }
    scene.leaves_nothing().await;
    let (stops, requests) = (cases.len(), requests.len());
    figure!("stale writers, {name}: stopped {stops} times in an upload of {requests} requests");
}

/// Requests, and how each is held.
fn cases(requests: &[Step], includes: &dyn Fn(&str, Moment) -> bool) -> Vec<(Step, Moment)> {
    let mut cases = Vec::new();
    for step in requests {
        let moments = [Moment::Request, Moment::Body, Moment::Answer].into_iter();
        let chosen = moments.filter(|moment| includes(&step.line, *moment));
        cases.extend(chosen.map(|moment| (step.clone(), moment)));
    }
    cases
}

/// The writer that is stopped, the first, and the one that goes on.
struct Scene<S> {
    cores: [Registry; 2],
    drivers: [Driver; 2],
    proxy: HoldingProxy,
    store: S,
}

impl<S: ObjectStore> Scene<S> {
    async fn on(store: S) -> Self {
        let proxy = HoldingProxy::before(store.endpoint(), ".driver/store-id").await;
        let drivers = [store.driver_behind("one", &proxy.url()), store.driver("two")];
        // Its requests come at times of their own, and would be counted.
        let no_sweeper = "[uploads]\nsweep_every = \"1h\"\n";
        let cores = [drivers[0].core(no_sweeper).await, drivers[1].core("").await];
        Self { cores, drivers, proxy, store }
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
        self.store.nothing_is_left_of_uploads().await;
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
        let committed = objects_of(&self.store, &digest).await;
        assert!(!committed.is_empty());

        self.drivers[0].process().resume();
        self.proxy.release();
        let outcome = tokio::time::timeout(AWAKE, writer.task).await;
        let outcome = outcome.expect("an answer to the writer that woke").expect("no panic");
        self.proxy.rests(REST).await;
        assert_eq!(objects_of(&self.store, &digest).await, committed);
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

/// What the store says of the objects of a blob: etag, metadata and digest, by their keys.
async fn objects_of<S: ObjectStore>(store: &S, digest: &str) -> BTreeMap<String, Vec<String>> {
    let links = format!("repositories/{REPOSITORY}/_blobs/{}/", digest.replace(':', "/"));
    let mut objects = BTreeMap::new();
    for link in store.names(&links).await {
        let id = link[links.len()..].split('.').next().expect("an object's id");
        if id == "latest" {
            continue;
        }
        let key = format!("objects/{}/{id}", &id[..2]);
        let answer = store.answer_of(&key).await;
        assert_eq!(answer.status(), StatusCode::OK, "{key}");
        let told = answer.headers().iter().map(|(name, value)| format!("{name}: {value:?}"));
        let mut told: Vec<_> =
            told.filter(|line| line.starts_with("etag") || line.starts_with(S::METADATA)).collect();
        told.sort();
        told.push(sha256(&answer.bytes().await.expect("a whole object")));
        objects.insert(key, told);
    }
    objects
}
