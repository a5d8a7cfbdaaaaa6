//! Whether docs/driver-authors.md is true.

use std::path::Path;

use longshore_end_to_end::document::{Document, root};

use crate::processors;

#[test]
fn what_is_told_to_authors_of_drivers_works_as_it_stands() {
    let document = Document::read("docs/driver-authors.md");
    document.has(10, 6);
    let _busy = processors::for_compilers();
    // The binaries of this build, then what `cargo xtask test` provides.
    let kit = Path::new(env!("CARGO_BIN_EXE_longshore-driver-check"));
    let release = kit.parent().expect("the directory of the binaries").to_owned();
    let grpcurl = root().join("target/tools/grpcurl-v1.9.4");
    let examples = release.join("examples");
    let needed = [
        (release.join("longshore"), "cargo build --release"),
        (
            examples.join("longshore-driver-memory"),
            "cargo build --release -p longshore-driver-sdk --examples",
        ),
        (grpcurl.join("grpcurl"), "cargo xtask test"),
    ];
    for (program, made_by) in needed {
        assert!(program.is_file(), "{} is missing: `{made_by}` builds it", program.display());
    }
    document.is_true(&[release, examples, grpcurl], |_, _| {});
}
