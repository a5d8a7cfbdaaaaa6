//! The backup that docs/operations.md describes: copied while pushes go on, then served by another registry.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use longshore_end_to_end::client::{Client, OCI_MANIFEST, image_manifest};
use longshore_end_to_end::process::run_command;
use longshore_end_to_end::registry::Storage;
use longshore_end_to_end::{Random, Registry, figure, scratch};

const BEFORE: usize = 20;
const REPOSITORY: &str = "team/app";

/// Pushes an image and a tag; the tag `latest` moves with it.
async fn push(client: &Client, number: usize, content: Vec<u8>) {
    let (config, layer) = (format!("{{\"number\":{number}}}"), content);
    let sizes = (config.len() as u64, layer.len() as u64);
    let config = client.push_blob(REPOSITORY, config).await.expect("push the configuration");
    let layer = client.push_blob(REPOSITORY, layer).await.expect("push the layer");
    let manifest = image_manifest((&config, sizes.0), &[(&layer, sizes.1)]);
    for tag in [format!("v{number}"), "latest".to_owned()] {
        client.put_manifest(REPOSITORY, &tag, OCI_MANIFEST, manifest.clone()).await.expect("push a manifest");
    }
}

/// The manifest and every blob of it; a wrong byte is an error too.
async fn pull(client: &Client, tag: &str) {
    let manifest = client.get_manifest(REPOSITORY, tag).await.expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    for digest in [&manifest["config"]["digest"], &manifest["layers"][0]["digest"]] {
        let digest = digest.as_str().expect("a digest");
        let blob = client.get_blob(REPOSITORY, digest).await.expect("the blob");
        assert_eq!(longshore_end_to_end::sha256(&blob), digest);
    }
}

/// The lines between the marks in docs/operations.md, run as they stand there.
fn back_up(store: &Path, copy: &Path) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let document = std::fs::read_to_string(document).expect("docs/operations.md");
    let (_, rest) = document.split_once("<!-- backup -->").expect("the backup's commands");
    let (block, _) = rest.split_once("<!-- end of backup -->").expect("their end");
    let script: String = block.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    assert!(script.contains("rsync"), "{script}");
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).env("STORE", store).env("COPY", copy);
    run_command(&mut command);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_pushes_go_on_has_every_manifest_acknowledged_before_it_in_full() {
    let mut random = Random::announced("backup");
    let registry = Registry::start().await;
    let client = registry.client();
    for number in 0..BEFORE {
        push(&client, number, random.bytes(65_536).to_vec()).await;
    }
    let (stop, pushed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(BEFORE)));
    let pusher = tokio::spawn({
        let (client, stop, pushed) = (client.clone(), Arc::clone(&stop), Arc::clone(&pushed));
        async move {
            while !stop.load(Ordering::SeqCst) {
                let number = pushed.load(Ordering::SeqCst);
                push(&client, number, random.bytes(65_536).to_vec()).await;
                pushed.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    while pushed.load(Ordering::SeqCst) < BEFORE + 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let acknowledged = pushed.load(Ordering::SeqCst);
    let place = scratch::data_directory();
    let copy = place.path().join("copy");
    let store = registry.store().to_owned();
    let of = copy.clone();
    tokio::task::spawn_blocking(move || back_up(&store, &of)).await.expect("the backup");
    let meanwhile = pushed.load(Ordering::SeqCst) - acknowledged;
    stop.store(true, Ordering::SeqCst);
    pusher.await.expect("the pusher");
    figure!("backup: {acknowledged} images before the copy, {meanwhile} pushed while it was made");
    assert!(meanwhile > 0, "nothing was pushed while the copy was made");

    let restored = Registry::start_storages(vec![Storage::default_one().at(copy)]).await;
    let client = restored.client();
    // `latest` moved all the time: whichever it was, it is whole.
    pull(&client, "latest").await;
    for number in 0..acknowledged {
        pull(&client, &format!("v{number}")).await;
    }
    // It goes on as a registry.
    push(&client, acknowledged + meanwhile + 2, b"after the restore".to_vec()).await;
    pull(&client, "latest").await;
}
