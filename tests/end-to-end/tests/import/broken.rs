//! A foreign tree in which things are broken, or made to lead elsewhere.

use std::fs;
use std::os::unix::fs::symlink;

use longshore_end_to_end::{scratch, sha256};

use crate::foreign::{APP, BASE, Foreign};
use crate::target::{Target, compare};

/// The image manifest of a tag, and the digest of its own layer, the last one.
fn image(foreign: &Foreign, tag: &str) -> (String, String) {
    let (_, _, digest) = foreign.ledger.tags.iter().find(|(at, name, _)| *at == BASE && name == tag).unwrap();
    let body = fs::read(foreign.data(digest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let layer = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap();
    (digest.clone(), layer.to_owned())
}

/// A blob with a revision's link and a tag, as if it had been pushed.
fn plant(foreign: &Foreign, repository: &str, tag: &str, content: &[u8]) -> String {
    let digest = sha256(content);
    let hex = digest.trim_start_matches("sha256:");
    let data = foreign.data(&digest);
    let manifests = foreign.v2().join(format!("repositories/{repository}/_manifests"));
    let revision = manifests.join(format!("revisions/sha256/{hex}"));
    let current = manifests.join(format!("tags/{tag}/current"));
    for folder in [data.parent().unwrap(), &revision, &current] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(&data, content).unwrap();
    fs::write(revision.join("link"), &digest).unwrap();
    fs::write(current.join("link"), &digest).unwrap();
    digest
}

#[tokio::test]
async fn broken_parts_are_reported_one_by_one_and_the_rest_is_imported() {
    let mut foreign = Foreign::write(6, 1024).await;
    let repositories = foreign.v2().join("repositories");
    let (_, absent) = image(&foreign, "1.0");
    fs::remove_file(foreign.data(&absent)).unwrap();
    let (_, other_bytes) = image(&foreign, "1.1");
    fs::write(foreign.data(&other_bytes), "not what it was").unwrap();
    let (_, unlinked) = image(&foreign, "1.2");
    let link = repositories.join(format!("{BASE}/_layers/sha256/{}/link", &unlinked[7..]));
    fs::remove_file(&link).unwrap();
    let (changed, _) = image(&foreign, "1.3");
    let mut bytes = fs::read(foreign.data(&changed)).unwrap();
    bytes.push(b' ');
    fs::write(foreign.data(&changed), bytes).unwrap();
    let (_, linked) = image(&foreign, "1.4");
    let outside = scratch::data_directory();
    let secret = outside.path().join("secret");
    fs::rename(foreign.data(&linked), &secret).unwrap();
    symlink(&secret, foreign.data(&linked)).unwrap();
    let (garbage, _) = image(&foreign, "1.5");
    let revisions = repositories.join(BASE).join("_manifests/revisions/sha256");
    fs::write(revisions.join(&garbage[7..]).join("link"), "\u{1b}[31mgarbage").unwrap();
    fs::write(repositories.join(BASE).join("_manifests/tags/1.6/current/link"), [0xff; 5000]).unwrap();
    fs::create_dir_all(repositories.join(BASE).join("_manifests/tags/..bad/current")).unwrap();
    fs::create_dir_all(repositories.join("Team/app/_manifests")).unwrap();
    symlink(outside.path(), repositories.join("elsewhere")).unwrap();
    let old = plant(&foreign, BASE, "schema1", br#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[]}"#);
    let huge = plant(&foreign, BASE, "huge", &vec![b' '; 5 << 20]);
    let deep = plant(&foreign, BASE, "deep", "[".repeat(10_000).as_bytes());

    let target = Target::new();
    let said = target.import(&foreign.root, &[]);
    assert!(!said.success, "{}", said.text);
    assert!(said.problem(&absent[7..]).contains("it is not there"));
    assert!(said.problem(&other_bytes[7..]).contains("the bytes received are"));
    assert!(said.problem(&unlinked[7..]).contains("_layers"));
    assert!(said.problem(&changed[7..]).contains("the manifest is sha256:"));
    assert!(said.problem(&linked[7..]).contains("symbolic link"));
    assert!(said.problem(&garbage[7..]).contains("names no digest"));
    assert!(said.problem("tags/1.5/current").contains("no manifest of this repository"));
    assert!(said.problem("tags/1.6/current").contains("more than 1024 bytes"));
    assert!(said.problem("..bad").contains("is not a tag"));
    assert!(said.problem("Team").contains("is not a repository name"));
    assert!(said.problem("elsewhere").contains("symbolic link"));
    assert!(said.problem(&old[7..]).contains("schema 1"));
    assert!(said.problem(&huge[7..]).contains("more than 4194304 bytes"));
    assert!(said.problem(&deep[7..]).contains("nested deeper"));
    assert!(!said.text.contains("\u{1b}[31mgarbage"), "a terminal is not written to by what is read");
    let problems = said.text.lines().filter(|line| line.starts_with("problem: ")).count();
    assert!(said.text.contains(&format!("{problems} problems: ")), "{}", said.text);

    let (core, client) = target.serve();
    for tag in 0..7 {
        assert!(client.get_manifest(BASE, &format!("1.{tag}")).await.is_err(), "1.{tag}");
    }
    foreign.ledger.tags.retain(|(at, ..)| *at == APP);
    foreign.ledger.tags.extend(["1.7", "1.8", "1.9"].map(|tag| (BASE, tag.to_owned(), String::new())));
    for (at, tag, digest) in &mut foreign.ledger.tags {
        if *at == BASE {
            *digest = sha256(&client.get_manifest(BASE, tag).await.unwrap());
        }
    }
    foreign.ledger.blobs.retain(|(at, _)| *at == APP);
    foreign.ledger.manifests.retain(|(at, ..)| *at == APP);
    compare(&client, &foreign.ledger).await;
    drop(core);
}

#[test]
fn what_is_no_store_of_distribution_is_refused() {
    let directory = scratch::data_directory();
    let target = Target::new();
    let said = target.import(directory.path(), &[]);
    assert!(!said.success && said.text.contains("is no store of registry:2"), "{}", said.text);
    let said = target.import(&directory.path().join("nothing"), &[]);
    assert!(!said.success && said.text.contains("it is not there"), "{}", said.text);
    assert!(!target.store().exists(), "nothing is made for an import that can't be");
}
