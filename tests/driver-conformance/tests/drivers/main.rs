//! The kit against drivers that keep the contract: ours, and the examples. Their READMEs, and docs/driver-authors.md, run
//! as they stand.

mod authors;
mod examples;
mod leftovers;
mod legacy_python;
mod processors;
mod readme;
mod s3;
mod scaffold;
mod stand;
mod swift;

use std::fs;
use std::path::Path;

use longshore_end_to_end::scratch;
use stand::{Stand, Wire};

#[test]
fn the_filesystem_driver_passes_everything_over_a_unix_socket() {
    passes_everything(Wire::Unix);
}

#[test]
fn the_filesystem_driver_passes_everything_over_tcp() {
    passes_everything(Wire::Tcp);
}

/// With hooks and a second instance nothing is skipped.
fn passes_everything(wire: Wire) {
    let driver = scratch::binary("longshore-driver-filesystem");
    let stand = Stand::start(&driver, &hooks("filesystem"), wire);
    let second = stand.second(|root| vec![format!("root={}", root.display())]);
    let report = stand.check(Some(&second));
    assert_eq!((report.failed, report.skipped), (0, 0), "{}", report.text);
    assert!(report.passed >= 120, "{}", report.text);
}

#[test]
fn the_kit_runs_again_and_touches_nothing_that_is_not_its_own() {
    let driver = scratch::binary("longshore-driver-filesystem");
    let stand = Stand::start(&driver, &hooks("filesystem"), Wire::Unix);
    let root = stand.root();
    for name in ["somebody/else", "longshore-driver-checked/x", "a"] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, name).expect("an object of somebody else");
    }
    let mut before = None;
    for _ in 0..2 {
        let report = stand.check(None);
        assert_eq!(report.failed, 0, "{}", report.text);
        let files = files(&root);
        assert!(files.iter().all(|file| !file.contains("longshore-driver-check/")), "left behind: {files:?}");
        let uploads = root.join(".driver/uploads");
        let sessions = fs::read_dir(&uploads).map_or(0, Iterator::count);
        assert_eq!(sessions, 0, "sessions left behind in {}", uploads.display());
        assert_eq!(before.get_or_insert_with(|| files.clone()), &files);
    }
}

#[test]
fn the_memory_driver_passes_what_it_declares() {
    for wire in [Wire::Unix, Wire::Tcp] {
        let driver = scratch::binary("examples/longshore-driver-memory");
        let stand = Stand::start(&driver, &hooks("memory"), wire);
        let report = stand.check(None);
        assert_eq!(report.failed, 0, "{}", report.text);
        assert!(report.passed >= 120, "{}", report.text);
    }
}

#[test]
fn the_example_in_rust_passes_what_it_declares() {
    for wire in [Wire::Unix, Wire::Tcp] {
        let driver = scratch::binary("driver-rust");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/driver-rust/hooks");
        let stand = Stand::start(&driver, &folder, wire);
        let report = stand.check(None);
        assert_eq!(report.failed, 0, "{}", report.text);
        assert!(report.passed >= 120, "{}", report.text);
    }
}

fn hooks(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks").join(name)
}

/// Below a root, without what is the driver's own.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = entry.strip_prefix(root).expect("below the root").display().to_string();
            if name == ".driver" {
                continue;
            }
            if entry.is_dir() {
                folders.push(entry);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}
