//! `longshore import registry2`, from stores that the real distribution 3.1.2 has written.

mod broken;
mod foreign;
mod kills;
mod target;

use foreign::{APP, BASE, Foreign};
use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest};
use longshore_end_to_end::{figure, sha256};
use target::{Target, compare};

#[tokio::test]
async fn what_distribution_kept_is_imported_with_equal_digests_and_a_second_run_changes_nothing() {
    let foreign = Foreign::write(1, 64 * 1024).await;
    let target = Target::new();
    let first = target.import(&foreign.root, &[]);
    assert!(first.success, "{}", first.text);
    assert!(first.sum("tags").contains(&format!("{} written", foreign.ledger.tags.len())), "{}", first.text);
    assert!(first.sum("uploads").contains("1 unfinished"), "{}", first.text);
    assert!(first.sum("manifests").contains("1 deleted"), "{}", first.text);
    assert!(first.sum("blobs").contains(" 1 shared"), "{}", first.text);
    figure!("import: {}; {}", first.sum("manifests"), first.sum("time"));

    let before = target.listing();
    let holders = format!("blobs/sha256/{}/", &foreign.ledger.shared_layer[7..9]);
    let objects = |path: &std::path::PathBuf| path.starts_with(target.store().join("objects"));
    let blobs: std::collections::BTreeSet<_> =
        foreign.ledger.blobs.iter().map(|(_, content)| sha256(content)).collect();
    assert_eq!(before.keys().filter(|path| objects(path)).count(), blobs.len(), "each blob is stored once");
    assert!(before.keys().any(|path| path.to_string_lossy().contains(&holders)));

    // The tree itself may be named too.
    let second = target.import(&foreign.v2(), &["--jobs", "2"]);
    assert!(second.success, "{}", second.text);
    assert!(second.sum("manifests").contains(" 0 imported"), "{}", second.text);
    assert!(second.sum("bytes").contains(" 0 "), "nothing is read again: {}", second.text);
    assert!(target.listing() == before, "the second run changed the store");

    let (_core, client) = target.serve();
    compare(&client, &foreign.ledger).await;
}

#[tokio::test]
async fn a_dry_run_and_a_filter_import_no_more_than_they_say() {
    let foreign = Foreign::write(2, 1024).await;
    let target = Target::new();
    let dry = target.import(&foreign.root, &["--dry-run"]);
    assert!(dry.success && dry.text.contains("nothing was written"), "{}", dry.text);
    assert_eq!(target.listing().len(), 1, "longshore.json alone");
    let one = target.import(&foreign.root, &["--repository", BASE]);
    assert!(one.success && one.sum("repositories").ends_with(" 1"), "{}", one.text);
    assert!(!target.store().join("repositories").join(APP).exists());
    let all = target.import(&foreign.root, &["--repository", "team/*"]);
    assert!(all.success && target.store().join("repositories").join(APP).exists(), "{}", all.text);
    let typo = target.import(&foreign.root, &["--repository", "team/ap"]);
    assert!(!typo.success && typo.text.contains("team/ap: there is no such repository"), "{}", typo.text);
}

#[tokio::test]
async fn a_tag_that_was_moved_here_stays_unless_it_is_to_be_overwritten() {
    let foreign = Foreign::write(3, 1024).await;
    let target = Target::new();
    assert!(target.import(&foreign.root, &[]).success);
    let (mut core, client) = target.serve();
    let config = client.push_blob(BASE, "{}").await.unwrap();
    let moved = image_manifest((&config, 2), &[]);
    client.put_manifest(BASE, "1.0", OCI_MANIFEST, moved.clone()).await.unwrap();
    // Beside the running core, as any second core.
    let again = target.import(&foreign.root, &[]);
    assert!(again.success, "{}", again.text);
    assert!(again.sum("tags").contains(" 1 left"), "{}", again.text);
    assert!(again.text.contains("library/base:1.0 points at"), "{}", again.text);
    assert_eq!(client.get_manifest(BASE, "1.0").await.unwrap(), moved);
    let forced = target.import(&foreign.root, &["--overwrite-tags"]);
    assert!(forced.success && forced.sum("tags").contains(" 1 written"), "{}", forced.text);
    compare(&client, &foreign.ledger).await;
    assert!(core.terminate(std::time::Duration::from_secs(20)).success());
}
