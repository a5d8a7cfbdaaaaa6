//! Two cores and two drivers over one store: an upload goes on at the other, and what one acknowledged the other serves.

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::client::{OCI_MANIFEST, image_manifest, manifest_path};
use crate::object_store::ObjectStore;
use crate::{Client, Random, sha256};

const REPOSITORY: &str = "team/app";
const BLOB: usize = 48 << 20;

pub async fn chunks_go_to_two_cores_by_turns(name: &str, store: &impl ObjectStore) {
    let drivers = [store.driver("one"), store.driver("two")];
    let cores = [drivers[0].core("").await, drivers[1].core("").await];
    let clients = [cores[0].client(), cores[1].client()];
    let mut random = Random::announced(&format!("by turns, {name}"));
    let blob = Bytes::from(random.bytes(BLOB));
    let digest = upload_by_turns(&clients, &blob, &mut random).await;
    for client in &clients {
        let pulled = client.get_blob(REPOSITORY, &digest).await.expect("GET");
        assert_eq!(sha256(&pulled), digest, "{name}");
    }
    tags_are_the_same_at_both(&clients, &digest).await;
    drivers[0].end_all_uploads().await;
    store.nothing_is_left_of_uploads().await;
}

/// Chunks of all sizes: below a part or a segment, above one, and a few bytes.
async fn upload_by_turns(clients: &[Client; 2], blob: &Bytes, random: &mut Random) -> String {
    let mut location = clients[0].start_upload(REPOSITORY).await.expect("POST");
    let (mut sent, mut turn) = (0, 1);
    while sent < blob.len() {
        let most = [100_u64, 1 << 20, 6 << 20, 20 << 20][turn % 4];
        let size = (random.between(1, most) as usize).min(blob.len() - sent);
        let chunk = blob.slice(sent..sent + size);
        let client = &clients[turn % 2];
        // A location is a path, good at every core.
        let (next, durable) = client.patch(&location, sent as u64, chunk).await.expect("PATCH");
        sent += size;
        assert_eq!(durable, sent as u64);
        (location, turn) = (next, turn + 1);
    }
    let digest = sha256(blob);
    clients[turn % 2].finish_upload(&location, &digest).await.expect("PUT");
    digest
}

/// What is pushed, moved and deleted at one core is so at the other with the next request.
async fn tags_are_the_same_at_both(clients: &[Client; 2], layer: &str) {
    let config = clients[0].push_blob(REPOSITORY, "{}").await.expect("a configuration");
    for round in 0..10 {
        let (here, there) = (&clients[round % 2], &clients[(round + 1) % 2]);
        let manifest = image_manifest((&config, 2), &[(layer, BLOB as u64), (&config, 2 + round as u64)]);
        here.put_manifest(REPOSITORY, "latest", OCI_MANIFEST, manifest.clone()).await.expect("push");
        assert_eq!(there.get_manifest(REPOSITORY, "latest").await.expect("GET at the other"), manifest);
    }
    let gone = clients[0].request(Method::DELETE, &manifest_path(REPOSITORY, "latest"));
    let gone = gone.send().await.expect("DELETE of the tag");
    assert_eq!(gone.status(), StatusCode::ACCEPTED);
    for client in clients {
        let answer = client.get(&manifest_path(REPOSITORY, "latest")).send().await.expect("GET");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "a deleted tag is served");
    }
}
