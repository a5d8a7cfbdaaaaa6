//! What `scaffold` writes works where it was written, far from this repository: its README up to the check, as it stands.
//! The one in Rust is built and checked by docs/driver-authors.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use longshore_end_to_end::scratch;

use crate::processors;
use crate::readme::{Readme, require_python};

#[test]
fn a_scaffold_in_go_builds_and_passes_and_its_code_is_that_of_the_proto() {
    let scratch = scratch::socket_directory();
    let folder = scratch.path().join("my-go");
    scaffold("go", &folder);
    let code = || {
        ["driver.pb.go", "driver_grpc.pb.go"]
            .map(|file| fs::read_to_string(folder.join("driverv1").join(file)).expect("the generated code"))
    };
    let along = code();
    passes(&folder);
    assert!(along == code(), "run `go run ./generate` in examples/driver-go");
}

#[test]
fn a_scaffold_in_python_installs_and_passes() {
    require_python();
    let scratch = scratch::socket_directory();
    let folder = scratch.path().join("my-python");
    scaffold("python", &folder);
    passes(&folder);
}

fn scaffold(language: &str, folder: &Path) {
    let mut kit = Command::new(env!("CARGO_BIN_EXE_longshore-driver-check"));
    let output = kit.args(["scaffold", "--language", language]).arg(folder).output().expect("the kit runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn passes(folder: &Path) {
    let _busy = processors::for_compilers();
    let said = Readme::of(folder).run_until(5);
    let count = |verdict: &str| said.lines().filter(|line| line.starts_with(verdict)).count();
    assert!(count("FAIL ") == 0 && count("PASS ") >= 120, "{said}");
}
