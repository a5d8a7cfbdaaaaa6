//! A store whose listings lag: what is deleted is not served, and nothing relies on it.

#![expect(clippy::unwrap_used, reason = "all of it is a test; clippy takes only #[test] functions for that")]

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::oci::{Algorithm, Digest, RepositoryName, media_type};
use longshore_core::registry::manifests::PushManifest;
use longshore_core::registry::precondition::Precondition;
use longshore_core::registry::store::Store;
use longshore_core::registry::uploads::Chunk;
use longshore_core::registry::{Registry, RegistryError, Repository, Rules};
use longshore_core::storage::{Route, Storages};
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{
    Condition, Description, Driver, Entry, Key, KeyPrefix, ListQuery, Object, Page, Probe, ReadRange,
    Reading, Result, Uploads,
};
use sha2::Digest as _;

/// It lists what there was when it was frozen.
#[derive(Clone, Default)]
struct Lagging {
    store: Arc<MemoryDriver>,
    frozen: Arc<Mutex<Option<Vec<Entry>>>>,
}

impl Lagging {
    async fn freeze(&self) {
        let all =
            ListQuery { prefix: KeyPrefix::all(), recursive: true, start_after: String::new(), limit: 1000 };
        let page = Driver::list(&*self.store, &all).await.unwrap();
        assert!(!page.more);
        *self.frozen.lock().unwrap() = Some(page.entries);
    }
}

#[async_trait]
impl Driver for Lagging {
    fn description(&self) -> Description {
        let mut description = self.store.description();
        description.capabilities.list_is_current = false;
        description
    }

    async fn probe(&self) -> Result<Probe> {
        self.store.probe().await
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.store.stat(key).await
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        self.store.put(key, content, condition).await
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        self.store.delete(key, if_match).await
    }

    /// All of them: nothing here asks for one level alone.
    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(entries) = frozen else { return Driver::list(&*self.store, query).await };
        let is_asked_for = |entry: &Entry| {
            entry.name().starts_with(query.prefix.as_str()) && entry.name() > query.start_after.as_str()
        };
        Ok(Page { entries: entries.into_iter().filter(is_asked_for).collect(), more: false })
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        self.store.read(key, range).await
    }

    fn uploads(&self) -> &dyn Uploads {
        self.store.uploads()
    }
}

struct Bench {
    driver: Lagging,
    repository: Repository,
}

impl Bench {
    fn new() -> Self {
        let driver = Lagging::default();
        let store = Arc::new(Store::new("main".to_owned(), Arc::new(driver.clone())));
        let storages = Storages::new(vec![Route { prefix: String::new(), store }]).unwrap();
        let registry = Registry::new(storages, Rules::default(), "test".to_owned());
        let repository = registry.repository(&"a".parse::<RepositoryName>().unwrap());
        Self { driver, repository }
    }

    async fn push(&self) -> Digest {
        let id = self.repository.start_upload(Algorithm::Sha256).await.unwrap().id;
        let digest = Digest::from_hash(Algorithm::Sha256, &sha2::Sha256::digest("x"));
        let bytes: Vec<std::result::Result<Bytes, String>> = vec![Ok(Bytes::from_static(b"x"))];
        let body = Box::pin(futures_util::stream::iter(bytes));
        let chunk = Chunk { start: None, length: None, body };
        self.repository.finish_upload(&id, &digest, chunk).await.unwrap();
        digest
    }

    async fn is_served(&self, digest: &Digest) -> bool {
        let size = self.repository.blob_size(digest).await;
        let leased = self.repository.lease_blob(digest).await;
        let read = self.repository.read_blob(digest, None).await;
        let served = [size.is_ok(), leased.is_ok(), read.is_ok()];
        for error in [size.err(), leased.err(), read.err()].into_iter().flatten() {
            assert!(matches!(error, RegistryError::BlobUnknown(_)), "{error}");
        }
        assert!(served.iter().all(|one| *one == served[0]), "{served:?}");
        served[0]
    }

    async fn takes_a_manifest_of(&self, blob: &Digest) -> bool {
        let config = serde_json::json!({"mediaType": "application/json", "digest": blob, "size": 1});
        let body = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config,
            "layers": []});
        let push = PushManifest {
            digest: None,
            tags: vec!["v1".parse().unwrap()],
            media_type: None,
            body: Bytes::from(body.to_string()),
            precondition: Precondition::default(),
        };
        self.repository.put_manifest(push).await.is_ok()
    }
}

#[tokio::test]
async fn a_blob_that_is_still_listed_after_its_delete_is_gone_and_no_manifest_relies_on_it() {
    let bench = Bench::new();
    let digest = bench.push().await;
    bench.driver.freeze().await;
    assert!(bench.is_served(&digest).await);
    bench.repository.delete_blob(&digest).await.unwrap();
    assert!(!bench.is_served(&digest).await);
    assert!(!bench.takes_a_manifest_of(&digest).await);
    assert!(bench.repository.delete_blob(&digest).await.is_err(), "there is nothing to delete");
}

#[tokio::test]
async fn a_blob_that_is_not_listed_yet_is_served_and_deleted() {
    let bench = Bench::new();
    bench.driver.freeze().await;
    let digest = bench.push().await;
    assert!(bench.is_served(&digest).await);
    assert!(bench.takes_a_manifest_of(&digest).await);
    bench.repository.delete_blob(&digest).await.unwrap();
    assert!(!bench.is_served(&digest).await);
}

#[tokio::test]
async fn the_name_that_leads_to_the_newest_link_is_not_believed_where_that_link_is_gone() {
    let bench = Bench::new();
    bench.driver.freeze().await;
    let digest = bench.push().await;
    // A push that a delete crossed writes it last.
    let latest = Key::parse(&format!("repositories/a/_blobs/sha256/{}/latest", digest.hex())).unwrap();
    let (_, record) = Driver::get(&*bench.driver.store, &latest).await.unwrap();
    bench.repository.delete_blob(&digest).await.unwrap();
    Driver::put(&*bench.driver.store, &latest, record, Condition::Always).await.unwrap();
    assert!(!bench.is_served(&digest).await);
}
