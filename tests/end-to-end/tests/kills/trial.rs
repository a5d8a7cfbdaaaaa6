//! One kill after another on one registry, and the ledger of what it has acknowledged.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::client::{OCI_MANIFEST, finish_path, image_manifest, manifest_path};
use longshore_end_to_end::registry::START;
use longshore_end_to_end::wire::{Open, Outcome, Request};
use longshore_end_to_end::{Random, Registry, figure, sha256};

use crate::phase::{Histogram, Phase, Reached, Victim, count_objects};
use crate::recovery::go_on;

const MIB: u64 = 1 << 20;
/// The chunk whose PATCH is measured.
const MEASURED: u64 = 4 * MIB;
/// Without a new driver no answer that needs one can come; one that comes in this time needed none.
const GRACE_OF_AN_ANSWER: Duration = Duration::from_millis(40);

pub(crate) struct Trial {
    registry: Registry,
    random: Random,
    medians: [Duration; 4],
    histogram: Histogram,
    runs: usize,
    /// (repository, digest) of every blob, (repository, tag, bytes) of every manifest.
    pub(crate) blobs: Vec<(String, String)>,
    pub(crate) manifests: Vec<(String, String, Bytes)>,
    slowest_restart: Duration,
}

/// What a client is about to do when the kill comes.
pub(crate) struct Work {
    pub(crate) phase: Phase,
    pub(crate) repository: String,
    pub(crate) content: Bytes,
    pub(crate) digest: String,
    pub(crate) manifest: Bytes,
    /// The session, as of the last acknowledgement.
    pub(crate) location: String,
    pub(crate) acknowledged: u64,
    request: Request,
}

/// What is known once the killed processes run again.
pub(crate) struct Aftermath {
    pub(crate) status: Option<u16>,
    pub(crate) reached: Option<Reached>,
    /// The core saw the kill only as a failing driver, and may have gone on by itself.
    pub(crate) core_lived: bool,
    /// The last call that the core had sent may still be done after the kill.
    pub(crate) driver_lived: bool,
}

impl Trial {
    pub(crate) async fn start(random: Random) -> Self {
        let registry = Registry::start_apart().await;
        Self {
            registry,
            random,
            medians: [Duration::ZERO; 4],
            histogram: Histogram::default(),
            runs: 0,
            blobs: Vec::new(),
            manifests: Vec::new(),
            slowest_restart: Duration::ZERO,
        }
    }

    pub(crate) fn counted(&self) -> usize {
        self.histogram.total()
    }

    pub(crate) fn counted_inside_a_commit(&self) -> usize {
        self.histogram.of_phase(Phase::Put)
    }

    pub(crate) fn histogram(&self) -> Vec<String> {
        let mut lines = self.histogram.lines();
        lines.push(format!("slowest restart until the first answer: {:?}", self.slowest_restart));
        lines
    }

    /// How long each request takes when nobody is killed: kills are spread over that.
    pub(crate) async fn measure_phases(&mut self) {
        for phase in Phase::ALL {
            let mut times = Vec::new();
            for _ in 0..7 {
                let work = self.prepare(phase, MEASURED).await;
                let begin = Instant::now();
                let open = Open::send(self.registry.address(), work.request.clone()).await;
                let outcome = open.outcome(START).await;
                times.push(begin.elapsed());
                assert!(
                    matches!(&outcome, Outcome::Complete(answer) if answer.status < 300),
                    "{phase:?}: {outcome:?}"
                );
            }
            times.sort_unstable();
            self.medians[phase as usize] = times[times.len() / 2];
        }
        figure!("kills: medians without a kill, {:?}: {:.1?}", Phase::ALL, self.medians);
    }

    /// One kill; counts if it hit inside the request.
    pub(crate) async fn run(&mut self) {
        self.runs += 1;
        assert!(self.runs < 2_000, "kills come too late again and again: {:?}", self.histogram.lines());
        // The victim whose turn it is stays until a kill of it has counted.
        let counted = |victim: &Victim| self.histogram.of_victim(*victim);
        let victim = Victim::ALL.into_iter().min_by_key(counted).expect("three victims");
        let phase = Phase::of(self.random.below(20));
        let size = MIB << self.random.below(5);
        let work = self.prepare(phase, size).await;
        let Some(aftermath) = self.kill_inside(&work, victim).await else {
            self.histogram.too_late += 1;
            return;
        };
        self.histogram.count(phase, victim, aftermath.reached);
        go_on(self, work, aftermath).await;
    }

    pub(crate) fn client(&self) -> longshore_end_to_end::Client {
        self.registry.client()
    }

    pub(crate) fn one_in(&mut self, number: u64) -> bool {
        self.random.below(number) == 0
    }

    /// Everything up to the request that the kill will hit.
    async fn prepare(&mut self, phase: Phase, size: u64) -> Work {
        let content = Bytes::from(self.random.bytes(usize::try_from(size).expect("a small size")));
        let digest = sha256(&content);
        let repository = format!("kills/{}", self.random.next_u64());
        let client = self.client();
        let manifest = image_manifest((&digest, size), &[(&digest, size)]);
        let (mut location, mut acknowledged) = (String::new(), 0);
        let request = match phase {
            Phase::Post => Request::new("POST", &format!("/v2/{repository}/blobs/uploads/")),
            Phase::Patch => {
                location = client.start_upload(&repository).await.expect("POST");
                let first = self.random.below(size / 2);
                if first > 0 {
                    let chunk = content.slice(..usize::try_from(first).expect("a small size"));
                    (location, acknowledged) = client.patch(&location, 0, chunk).await.expect("PATCH");
                    assert_eq!(acknowledged, first, "a PATCH acknowledges what is durable");
                }
                let rest = content.slice(usize::try_from(acknowledged).expect("a small size")..);
                Request::new("PATCH", &location)
                    .header("Content-Range", format!("{acknowledged}-{}", size - 1))
                    .header("Content-Type", "application/octet-stream")
                    .body(rest)
            }
            Phase::Put => {
                location = client.start_upload(&repository).await.expect("POST");
                (location, acknowledged) = client.patch(&location, 0, content.clone()).await.expect("PATCH");
                Request::new("PUT", &finish_path(&location, &digest))
            }
            Phase::Manifest => {
                client.push_blob(&repository, content.clone()).await.expect("push");
                self.blobs.push((repository.clone(), digest.clone()));
                Request::new("PUT", &manifest_path(&repository, "latest"))
                    .header("Content-Type", OCI_MANIFEST)
                    .body(manifest.clone())
            }
        };
        Work { phase, repository, content, digest, manifest, location, acknowledged, request }
    }

    /// None if the answer came first.
    async fn kill_inside(&mut self, work: &Work, victim: Victim) -> Option<Aftermath> {
        let objects_before = count_objects(self.registry.store());
        let whole = if work.phase == Phase::Patch { 1 } else { work.request.body.len() as u64 };
        let delay = self.delay(work);
        let open = Open::send(self.registry.address(), work.request.clone()).await;
        while !(open.head_sent() && open.body_sent() >= whole) {
            assert!(!open.finished(), "refused before it was sent");
            tokio::task::yield_now().await;
        }
        // tokio's timer ticks in milliseconds, as long as some of the phases.
        tokio::task::block_in_place(|| std::thread::sleep(delay));
        if !open.unanswered() {
            open.outcome(START).await;
            return None;
        }
        match victim {
            Victim::Core => self.registry.kill_core(),
            Victim::Driver => self.registry.kill_driver(),
            Victim::Both => self.registry.kill_both(),
        }
        let store = self.registry.store();
        let reached = (work.phase == Phase::Put)
            .then(|| Reached::read(store, &work.repository, &work.digest, objects_before));
        if victim == Victim::Driver {
            tokio::time::sleep(GRACE_OF_AN_ANSWER).await;
        }
        let answered_without_the_victim = open.finished() || victim != Victim::Driver;
        let begin = Instant::now();
        self.start_again(victim);
        let outcome = open.outcome(Duration::from_secs(20)).await;
        self.slowest_restart =
            self.slowest_restart.max(self.registry.await_ready(START).await + begin.elapsed());
        let status = match outcome {
            Outcome::Complete(answer) => Some(answer.status),
            Outcome::Cut { .. } => None,
        };
        // A success that needed nothing of the victim had been on its way before the kill.
        if answered_without_the_victim
            && status.is_some_and(|status| status < 500 || victim != Victim::Driver)
        {
            return None;
        }
        Some(Aftermath {
            status,
            reached,
            core_lived: victim == Victim::Driver,
            driver_lived: victim == Victim::Core,
        })
    }

    fn delay(&mut self, work: &Work) -> Duration {
        let median = self.medians[work.phase as usize];
        if work.phase != Phase::Patch {
            return self.random.duration_below(median);
        }
        let length = work.request.body.len() as f64;
        self.random.duration_below(median.mul_f64((length / MEASURED as f64).max(0.1)))
    }

    fn start_again(&mut self, victim: Victim) {
        if victim != Victim::Core {
            self.registry.driver().start();
        }
        if victim != Victim::Driver {
            self.registry.start_core();
        }
    }

    pub(crate) async fn everything_acknowledged_is_there(&self) {
        let client = self.client();
        for (repository, digest) in &self.blobs {
            let content = client.get_blob(repository, digest).await.expect("an acknowledged blob");
            assert_eq!(sha256(&content), *digest, "{repository}");
        }
        for (repository, tag, bytes) in &self.manifests {
            for reference in [tag, &sha256(bytes)] {
                let manifest =
                    client.get_manifest(repository, reference).await.expect("an acknowledged manifest");
                assert_eq!(manifest, bytes, "{repository}:{reference}");
            }
        }
        figure!(
            "kills: {} blobs and {} manifests acknowledged, all there",
            self.blobs.len(),
            self.manifests.len()
        );
    }
}
