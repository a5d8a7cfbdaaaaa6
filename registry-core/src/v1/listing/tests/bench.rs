//! A store in memory, and a driver around it that counts, fails where it is told to, and takes no writes of a listing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{
    Bytes, Condition, Description, Driver, DriverError, Entry, Key, ListQuery, Object, Page, ReadRange,
    Reading, Reason, Result, Uploads, async_trait,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::v1::{Form, ListError, Options, Progress, Report, list};

/// The id of an image that has no better name.
pub(super) fn id(number: u32) -> String {
    // What is shown of it has the number in it.
    format!("{number:012}{}", "0".repeat(52))
}

pub(super) struct Bench {
    pub(super) driver: Arc<Watched>,
    pub(super) options: Options,
}

#[derive(Default)]
pub(super) struct Watched {
    inner: MemoryDriver,
    listing: AtomicBool,
    now: AtomicUsize,
    most: AtomicUsize,
    lists: Mutex<HashMap<String, usize>>,
    failing: Mutex<Option<(String, Reason)>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let options = Options { verify: false, unreferenced: false, jobs: 8 };
        Self { driver: Arc::default(), options }
    }

    pub(super) async fn put(&self, key: &str, content: &[u8]) {
        let key = Key::parse(key).unwrap();
        self.driver.put(&key, Bytes::copy_from_slice(content), Condition::Always).await.unwrap();
    }

    pub(super) async fn get(&self, key: &str) -> Bytes {
        self.driver.get(&Key::parse(key).unwrap()).await.unwrap().1
    }

    pub(super) async fn delete(&self, key: &str) {
        assert!(self.driver.delete(&Key::parse(key).unwrap(), None).await.unwrap());
    }

    /// As docker-registry 0.9.1 leaves one when its checksum was put. Gives its id.
    pub(super) async fn image(&self, number: u32, parent: Option<&str>, layer: &[u8]) -> String {
        let id = id(number);
        let mut json = json!({"id": id, "created": "2014-10-07T19:14:09Z", "os": "linux"});
        let mut ancestry = vec![Value::from(id.as_str())];
        if let Some(parent) = parent {
            json["parent"] = Value::from(parent);
            let key = Key::parse(&format!("images/{parent}/ancestry")).unwrap();
            if let Ok((_, content)) = self.driver.get(&key).await {
                ancestry.extend(serde_json::from_slice::<Vec<Value>>(&content).unwrap());
            }
        }
        let json = json.to_string();
        let sum = Sha256::new().chain_update(&json).chain_update(b"\n").chain_update(layer).finalize();
        let sum = sum.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        let folder = format!("images/{id}");
        self.put(&format!("{folder}/json"), json.as_bytes()).await;
        self.put(&format!("{folder}/layer"), layer).await;
        self.put(&format!("{folder}/ancestry"), Value::from(ancestry).to_string().as_bytes()).await;
        self.put(&format!("{folder}/_checksum"), format!("[\"sha256:{sum}\"]").as_bytes()).await;
        id
    }

    /// As `put_tag` of that registry.
    pub(super) async fn tag(&self, repository: &str, tag: &str, image: &str) {
        let folder = format!("repositories/{repository}");
        self.put(&format!("{folder}/tag_{tag}"), image.as_bytes()).await;
        let times = br#"{"last_update": 1412709249, "docker_version": "1.3.0"}"#;
        self.put(&format!("{folder}/tag{tag}_json"), times).await;
        self.put(&format!("{folder}/_index_images"), b"[]").await;
    }

    pub(super) async fn list(&self) -> Vec<Value> {
        let text = self.try_list().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) async fn try_list(&self) -> std::result::Result<String, ListError> {
        self.listed(Form::Json).await
    }

    pub(super) async fn table(&self) -> String {
        self.listed(Form::Table).await.unwrap()
    }

    async fn listed(&self, form: Form) -> std::result::Result<String, ListError> {
        let (progress, mut out) = (Progress::default(), Vec::new());
        self.driver.listing.store(true, Ordering::Relaxed);
        let outcome =
            list(self.driver.clone(), self.options, &progress, &mut Report::new(&mut out, form, &progress))
                .await;
        self.driver.listing.store(false, Ordering::Relaxed);
        outcome.map(|()| String::from_utf8(out).unwrap())
    }
}

impl Watched {
    pub(super) fn fail(&self, key: &str, reason: Reason) {
        *self.failing.lock().unwrap() = Some((key.to_owned(), reason));
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    pub(super) fn lists_of(&self, prefix: &str) -> usize {
        self.lists.lock().unwrap().get(prefix).copied().unwrap_or_default()
    }

    /// Lets others begin before a call ends.
    async fn count<T>(&self, call: impl Future<Output = T>) -> T {
        if self.listing.load(Ordering::Relaxed) {
            let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(now, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.now.fetch_sub(1, Ordering::Relaxed);
        }
        call.await
    }

    fn is_whole(&self, key: &Key) -> Result<()> {
        match &*self.failing.lock().unwrap() {
            Some((failing, reason)) if failing == key.as_str() => Err(DriverError::new(*reason, "as told")),
            _ => Ok(()),
        }
    }

    fn is_written_to(&self) {
        assert!(!self.listing.load(Ordering::Relaxed), "a listing writes");
    }
}

#[async_trait]
impl Driver for Watched {
    fn description(&self) -> Description {
        self.inner.description()
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.count(self.inner.stat(key)).await
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        self.is_whole(key)?;
        self.count(self.inner.get(key)).await
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        self.is_written_to();
        self.inner.put(key, content, condition).await
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        self.is_written_to();
        self.inner.delete(key, if_match).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        *self.lists.lock().unwrap().entry(query.prefix.as_str().to_owned()).or_default() += 1;
        self.count(self.inner.list(query)).await
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        self.is_whole(key)?;
        self.count(self.inner.read(key, range)).await
    }

    fn uploads(&self) -> &dyn Uploads {
        self.is_written_to();
        self.inner.uploads()
    }
}
