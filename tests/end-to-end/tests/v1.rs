//! `longshore v1 list`, over stores that the real docker-registry 0.9.1 has written, and over what is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use longshore_end_to_end::old_store::{OldStore, Python};
use longshore_end_to_end::registry::{CORE, DRIVER};
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::v1::sample::{APP, BASE, BROKEN, UPPER};
use longshore_end_to_end::v1::{Listing, Sample, findings};
use longshore_end_to_end::{Process, S3Server, V1Registry, bucket, scratch};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A filesystem driver at a directory that is no store of ours: it is to be read, and stays as it is. The driver is dropped first.
struct Stand {
    driver: Process,
    endpoint: String,
    _sockets: TempDir,
}

impl Stand {
    fn at(root: &Path) -> Self {
        let sockets = scratch::socket_directory();
        let endpoint = format!("unix://{}/v1.sock", sockets.path().display());
        let mut command = Command::new(scratch::binary(DRIVER));
        // init=never is what it does by itself: nothing is made.
        command.args(["--endpoint", &endpoint, &format!("root={}", root.display()), "init=never"]);
        let driver = Process::spawn(DRIVER, &mut command);
        driver.await_line("listening on", PATIENCE);
        Self { driver, endpoint, _sockets: sockets }
    }
}

/// Through the V1 registry's own driver `file`, unmodified, which only reads.
fn through_the_old_driver(store: &Path, options: &[&str]) -> Vec<Listing> {
    let pythons = [Python::Three, Python::Two].map(|python| python.of_test("v1 list through the old driver"));
    let listing = |python: PathBuf| {
        let old = OldStore::of("file", &python, &[]);
        let mut driver = old.new_reader_at("reader", store);
        driver.start();
        Listing::through(driver.endpoint(), options)
    };
    pythons.into_iter().flatten().map(listing).collect()
}

fn longshore(arguments: &[&str]) -> Output {
    Command::new(scratch::binary(CORE)).args(arguments).env("NO_COLOR", "1").output().expect("longshore runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file and folder, and when it was written.
fn tree(root: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("what it is");
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            found.insert(entry.path(), (metadata.modified().expect("a time"), metadata.len()));
        }
    }
    found
}

/// The same files in a bucket, as the V1 registry's own driver for S3 has them with `storage_path: /registry`.
async fn in_a_bucket(store: &Path, options: &[&str]) -> Listing {
    let server = S3Server::start(Implementation::Versitygw).await;
    for path in tree(store).into_keys().filter(|path| path.is_file()) {
        let name = path.strip_prefix(store).expect("below the store").to_str().expect("text");
        server.put(&format!("registry/{name}"), std::fs::read(&path).expect("a file")).await;
    }
    let sockets = scratch::socket_directory();
    let (mut command, endpoint) = bucket::driver_command(&server, sockets.path(), server.bucket());
    let _driver = bucket::started(command.arg("prefix=registry"));
    Listing::through(&endpoint, options)
}

/// What a listing says of each tag is what was pushed, and what was damaged since.
fn compare(listing: &Listing, sample: &Sample) {
    for (repository, tag, image) in &sample.tags {
        let line = listing.tag(repository, tag);
        assert_eq!(line["image"], image.as_str(), "{line}");
        assert_eq!(line["layers"], sample.layers(image), "{line}");
        assert_eq!(line["bytes"], sample.bytes(image), "{line}");
        assert_eq!(findings(line, "damage"), sample.damage_of(image), "{line}");
        assert_eq!(findings(line, "notes"), [], "{line}");
    }
    let tags = listing.lines.iter().filter(|line| line["kind"] == "tag").count();
    assert_eq!(tags, sample.tags.len(), "a file that is no tag was taken for one: {:#?}", listing.lines);
    compare_sums(listing.summary(), sample);
}

fn compare_sums(summary: &Value, sample: &Sample) {
    let (reached, damaged, bytes) = sample.reached();
    let damaged_tags = sample.tags.iter().filter(|(.., image)| !sample.damage_of(image).is_empty()).count();
    assert_eq!((&summary["repositories"], &summary["tags"]), (&json!(6), &json!(sample.tags.len())));
    assert_eq!(summary["damaged_tags"], damaged_tags);
    let images = json!({"all": 30, "reached": reached, "damaged": damaged, "missing": 1, "unreferenced": sample.untagged.len()});
    assert_eq!(summary["images"], images);
    let all = sample.all_bytes();
    assert_eq!(summary["bytes"], json!({"all": all, "reached": bytes, "unreferenced": all - bytes}));
}

#[tokio::test]
async fn a_store_that_the_v1_registry_wrote_is_listed_as_it_was_pushed() {
    let Some(mut registry) =
        V1Registry::start("a_store_that_the_v1_registry_wrote_is_listed_as_it_was_pushed").await
    else {
        return;
    };
    let mut sample = Sample::push(&registry.client()).await;
    let theirs = registry.client().tags(BASE).await;
    registry.stop();
    let store = registry.store();
    sample.damage(&store);
    let before = tree(&store);
    let stand = Stand::at(&store);

    let listing = Listing::through(&stand.endpoint, &["--unreferenced"]);
    compare(&listing, &sample);
    for same in through_the_old_driver(&store, &["--unreferenced"]) {
        assert_eq!(same, listing);
    }
    assert_eq!(listing.unreferenced(), sample.untagged);
    for (tag, image) in theirs.as_object().expect("tags") {
        assert_eq!(listing.tag(BASE, tag)["image"], *image, "the registry itself says so");
    }
    assert_eq!(findings(listing.repository(UPPER), "notes"), [("no_v2_name".to_owned(), None)]);
    assert_eq!(
        (&listing.repository(APP)["private"], &listing.repository(BASE)["private"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&listing.repository(BROKEN)["tags"], &listing.repository(BROKEN)["damaged_tags"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(
        Listing::through(&stand.endpoint, &["--unreferenced", "--jobs", "1"]),
        listing,
        "one after the other"
    );

    assert_eq!(in_a_bucket(&store, &["--unreferenced"]).await, listing, "another driver, the same store");

    sample.damage_to_verified();
    let verified = Listing::through(&stand.endpoint, &["--verify"]);
    compare(&verified, &sample);
    let (reached, ..) = sample.reached();
    // Not checked: a layer that is missing, one that is empty; each is damage already. The broken push has its checksum.
    assert_eq!(
        verified.summary()["checksums"],
        json!({"matched": reached - 3, "mismatched": 1, "not_checked": 2})
    );

    let table = longshore(&["v1", "list", "--from", &stand.endpoint]);
    assert!(table.status.success(), "damage is told and fails nothing: {}", said(&table));
    for part in ["Team/Upper\n", "DAMAGED", "its layer is missing", "30 images", "1 missing"] {
        assert!(said(&table).contains(part), "{part} is not in\n{}", said(&table));
    }
    drop(stand);
    assert_eq!(tree(&store), before, "nothing was written, not by the driver either");
}

#[test]
fn a_place_without_a_v1_store_is_no_empty_one() {
    let data = scratch::data_directory();
    std::fs::create_dir_all(data.path().join("docker/registry/v2/repositories")).expect("a folder");
    let mut stand = Stand::at(data.path());
    let nothing = longshore(&["v1", "list", "--from", &stand.endpoint]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(said(&nothing).contains("storage_path"), "{}", said(&nothing));
    stand.driver.kill();
    let nobody = longshore(&["v1", "list", "--json", "--from", &stand.endpoint]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        nobody.stdout.is_empty() && said(&nobody).contains("look whether the driver runs"),
        "{}",
        said(&nobody)
    );
    assert_eq!(longshore(&["v1", "list"]).status.code(), Some(2));
}
