//! The core's storage calls, in the order in which it makes them, are those of the model that is checked for every
//! interleaving (tests/layout-model). Where the core reads more than the model, the test names it.

#![expect(clippy::unwrap_used, reason = "all of it is a test; clippy takes only #[test] functions for that")]

mod recorder;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_core::oci::{Algorithm, Digest, RepositoryName, media_type};
use longshore_core::registry::manifests::PushManifest;
use longshore_core::registry::precondition::Precondition;
use longshore_core::registry::store::Store;
use longshore_core::registry::uploads::Chunk;
use longshore_core::registry::{Registry, Repository, Rules};
use longshore_core::storage::{Route, Storages};
use longshore_driver_sdk::UploadId;
use longshore_layout_model::{Op, StepKind, leased_path, own_path, steps, usual_path};
use recorder::Recorder;
use sha2::Digest as _;

/// Every link is old at once.
const OLD: Duration = Duration::from_secs(3600);

struct Bench {
    recorder: Recorder,
    registry: Registry,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        let recorder = Recorder::default();
        let store = Arc::new(Store::new("main".to_owned(), Arc::new(recorder.clone())));
        let storages = Storages::new(vec![Route { prefix: String::new(), store }]).unwrap();
        Self { recorder, registry: Registry::new(storages, rules, "test".to_owned()) }
    }

    fn repository(&self, name: &str) -> Repository {
        self.registry.repository(&name.parse::<RepositoryName>().unwrap())
    }

    async fn push(&self, repository: &str, content: &'static str) -> (UploadId, Digest) {
        let repository = self.repository(repository);
        let id = repository.start_upload(Algorithm::Sha256).await.unwrap().id;
        let digest = digest(content.as_bytes());
        repository.finish_upload(&id, &digest, chunk(content)).await.unwrap();
        (id, digest)
    }

    async fn put_manifest(&self, repository: &str, blob: &Digest) -> Digest {
        let descriptor = serde_json::json!({"mediaType": "application/json", "digest": blob, "size": 1});
        let body = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": descriptor, "layers": [],
            "subject": {"mediaType": media_type::OCI_MANIFEST, "digest": blob, "size": 1}});
        let body = Bytes::from(body.to_string());
        let push = PushManifest {
            digest: None,
            tags: vec!["v1".parse().unwrap()],
            media_type: None,
            body,
            precondition: Precondition::default(),
        };
        self.repository(repository).put_manifest(push).await.unwrap().digest
    }
}

fn digest(content: &[u8]) -> Digest {
    Digest::from_hash(Algorithm::Sha256, &sha2::Sha256::digest(content))
}

fn chunk(content: &'static str) -> Chunk {
    let bytes: Vec<Result<Bytes, String>> = vec![Ok(Bytes::from_static(content.as_bytes()))];
    Chunk { start: None, length: None, body: Box::pin(futures_util::stream::iter(bytes)) }
}

/// A finished session is forgotten later, by the sweeper, so that a repeated finalise finds it.
fn without_forget(mut path: Vec<StepKind>) -> Vec<StepKind> {
    path.retain(|step| *step != StepKind::ForgetUpload);
    path
}

/// The core looks for a mark before it writes one, so that the time in it stays the first.
fn without_looks_at_marks(path: &[StepKind]) -> Vec<StepKind> {
    let next = path.iter().skip(1).map(Some).chain([None]);
    let looks = |(step, next): &(&StepKind, Option<&StepKind>)| {
        **step == StepKind::GetCondemned
            && next.is_some_and(|next| matches!(next, StepKind::GetCondemned | StepKind::PutCondemned))
    };
    path.iter().zip(next).filter(|pair| !looks(pair)).map(|(step, _)| *step).collect()
}

#[tokio::test]
async fn a_push_of_a_new_blob_and_of_one_that_is_held() {
    let bench = Bench::new(Rules::default());
    bench.push("a", "x").await;
    assert_eq!(bench.recorder.take(), without_forget(own_path()));
    bench.push("b", "x").await;
    let calls = without_looks_at_marks(&bench.recorder.take());
    assert_eq!(calls, without_forget(usual_path(Op::Push)));
}

#[tokio::test]
async fn a_mount() {
    let bench = Bench::new(Rules::default());
    let (_, digest) = bench.push("a", "x").await;
    bench.recorder.take();
    assert!(bench.repository("b").mount_blob(&digest, &bench.repository("a")).await.unwrap());
    assert_eq!(bench.recorder.take(), usual_path(Op::Mount));
}

#[tokio::test]
async fn a_renewal_by_head() {
    let bench = Bench::new(Rules { grace: Duration::ZERO, ..Rules::default() });
    let (_, digest) = bench.push("a", "x").await;
    bench.recorder.take();
    tokio::time::sleep(Duration::from_millis(5)).await;
    bench.repository("a").lease_blob(&digest).await.unwrap();
    assert_eq!(bench.recorder.take(), usual_path(Op::Renew));
}

#[tokio::test]
async fn a_manifest_over_a_young_link_and_over_an_old_one() {
    let bench = Bench::new(Rules::default());
    let (_, digest) = bench.push("a", "x").await;
    bench.recorder.take();
    bench.put_manifest("a", &digest).await;
    assert_eq!(bench.recorder.take(), leased_path(1));

    let bench = Bench::new(Rules { grace: OLD, window: OLD, ..Rules::default() });
    let (_, digest) = bench.push("a", "x").await;
    bench.recorder.take();
    bench.put_manifest("a", &digest).await;
    assert_eq!(bench.recorder.take(), usual_path(Op::PutManifest(1)));
}

#[tokio::test]
async fn a_delete_of_a_manifest() {
    let bench = Bench::new(Rules::default());
    let (_, digest) = bench.push("a", "x").await;
    let manifest = bench.put_manifest("a", &digest).await;
    bench.recorder.take();
    bench.repository("a").delete_manifest(&manifest, &Precondition::default()).await.unwrap();
    let calls = bench.recorder.take();
    // It first reads the record that it deletes: for its subject, and to know that it is there.
    assert_eq!(calls[0], StepKind::GetManifest);
    // The tag is gone when it looks again; the model's path goes on to read the record for one that is not.
    let mut path = usual_path(Op::DeleteManifest);
    assert_eq!(path.pop(), Some(StepKind::GetManifest));
    assert_eq!(calls[1..], path);
}

#[tokio::test]
async fn a_delete_of_a_blob_releases_as_a_collector_does() {
    let bench = Bench::new(Rules::default());
    let (_, digest) = bench.push("a", "x").await;
    bench.recorder.take();
    bench.repository("a").delete_blob(&digest).await.unwrap();
    let collector = steps(Op::Collect);
    let from = collector.iter().position(|step| *step == StepKind::DeleteLink).unwrap();
    let to = collector.iter().position(|step| *step == StepKind::DeleteHolder).unwrap();
    let calls = without_looks_at_marks(&bench.recorder.take());
    assert_eq!(calls[0], StepKind::ListLinks);
    assert_eq!(calls[1..], collector[from..=to]);
}

#[tokio::test]
async fn a_finalise_of_a_session_that_is_committed_already() {
    let bench = Bench::new(Rules::default());
    let repository = bench.repository("a");
    let id = repository.start_upload(Algorithm::Sha256).await.unwrap().id;
    bench.recorder.fail_holders(true);
    assert!(repository.finish_upload(&id, &digest(b"x"), chunk("x")).await.is_err());
    bench.recorder.fail_holders(false);
    bench.recorder.take();
    repository.finish_upload(&id, &digest(b"x"), chunk("")).await.unwrap();
    let calls = bench.recorder.take();
    // It first looks whether the first one was acknowledged after all.
    assert_eq!(calls[0], StepKind::ListLinks);
    assert_eq!(calls[1..], without_forget(usual_path(Op::FinaliseAgain)));
}

#[tokio::test]
async fn the_sweeper_condemns_what_was_committed_and_never_recorded() {
    let short = Duration::from_millis(1);
    let bench = Bench::new(Rules { upload_ttl: short, finished_ttl: short, ..Rules::default() });
    let repository = bench.repository("a");
    let id = repository.start_upload(Algorithm::Sha256).await.unwrap().id;
    bench.recorder.fail_holders(true);
    assert!(repository.finish_upload(&id, &digest(b"x"), chunk("x")).await.is_err());
    bench.recorder.take();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let swept = bench.registry.sweep_uploads().await;
    assert_eq!((swept.condemned, swept.forgotten), (1, 0));
    assert_eq!(without_looks_at_marks(&bench.recorder.take()), usual_path(Op::SweepUpload));
}
