//! What a client must not send. Each test sends it many times over a raw socket, as no library would, and then looks that
//! the core's memory stayed flat and that nothing which was there before is lost, changed or joined by something new.

mod content_types;
mod digests;
mod json;
mod names;
mod numbers;
mod ranges;
mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use longshore_end_to_end::client::blob_path;
use longshore_end_to_end::wire::{Answer, Open, Outcome, Request};
use longshore_end_to_end::{Client, Registry, figure, figures, sha256};

use crate::{REPOSITORY, push_image};

const LAYER: &str = "what was here before";
const TAG: &str = "before";
/// What a bad request may cost the core, with all the others of its test, at most.
const FLAT: u64 = 16 << 20;

/// A registry with an image in it, which must be there in the end as it was.
struct Target {
    registry: Registry,
    client: Client,
    manifest: Bytes,
    before: BTreeMap<String, u64>,
    memory: u64,
}

impl Target {
    async fn start() -> Self {
        let registry = Registry::start().await;
        let client = registry.client();
        let manifest = push_image(&client, REPOSITORY, TAG, LAYER).await;
        let before = objects(&registry).await;
        let core = registry.core().id();
        figures::reset_peak_memory(core);
        let memory = figures::peak_memory(core);
        Self { registry, client, manifest, before, memory }
    }

    fn layer(&self) -> String {
        sha256(LAYER.as_bytes())
    }

    async fn send(&self, request: Request) -> Answer {
        let told = format!("{} {:.200}", request.method, request.target);
        let open = Open::send(self.registry.address(), request).await;
        match open.outcome(Duration::from_secs(20)).await {
            Outcome::Complete(answer) => answer,
            Outcome::Cut { why, received } => {
                panic!("{told}: {why} after {:?}", String::from_utf8_lossy(&received))
            }
        }
    }

    /// Sends it and looks at status, code and sentence.
    async fn refuses(&self, request: Request, status: u16, code: &str) -> Answer {
        let told = format!("{} {:.200}", request.method, request.target);
        let head = request.method == "HEAD";
        let answer = self.send(request).await;
        assert_eq!(answer.status, status, "{told}: {}", String::from_utf8_lossy(&answer.body));
        if !head {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| {
                panic!("{told}: {error}: {:?}", String::from_utf8_lossy(&answer.body))
            });
            assert_eq!(body["errors"][0]["code"], code, "{told}");
            let sentence = body["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(sentence.contains(' '), "{told}: a sentence, not {sentence:?}");
            assert!(sentence.len() < 2048, "{told}: not all of what was sent is sent back");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{told}");
        }
        answer
    }

    /// A new upload session, at this offset.
    async fn upload(&self, content: &'static str) -> String {
        let location = self.client.start_upload(REPOSITORY).await.unwrap();
        if !content.is_empty() {
            self.client.patch(&location, 0, Bytes::from_static(content.as_bytes())).await.unwrap();
        }
        location
    }

    /// All is as it was, and nothing is new.
    async fn unharmed(self) {
        self.intact().await;
        assert_eq!(objects(&self.registry).await, self.before, "the store is as it was");
    }

    /// What was there is there, and the core is as small as it was.
    async fn intact(&self) {
        let grown = figures::peak_memory(self.registry.core().id()).saturating_sub(self.memory);
        figure!("bad input: the core grew by {}", figures::mib(grown));
        assert!(grown < FLAT, "the core grew by {}", figures::mib(grown));
        assert_eq!(self.client.get_blob(REPOSITORY, &self.layer()).await.unwrap(), LAYER);
        for reference in [TAG, &sha256(&self.manifest)] {
            assert_eq!(self.client.get_manifest(REPOSITORY, reference).await.unwrap(), self.manifest);
        }
        let path = blob_path(REPOSITORY, &sha256(b"{}"));
        assert_eq!(self.client.get(&path).send().await.unwrap().status(), 200);
    }
}

/// Every object of the store and its size, but for the driver's own: uploads that were begun stay until they expire.
async fn objects(registry: &Registry) -> BTreeMap<String, u64> {
    let mut found = registry.kept().objects("").await;
    found.retain(|key, _| !key.starts_with(".driver/"));
    found
}
