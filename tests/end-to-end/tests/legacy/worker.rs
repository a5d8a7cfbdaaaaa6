//! The worker's own tests, in Python, under each interpreter: every bad driver, and the published drivers swift, s3 and azureblob
//! with their SDKs.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_end_to_end::old_store::Python;
use longshore_end_to_end::process::run_command;

#[test]
fn the_worker_passes_its_tests_under_python_3() {
    passes(&Python::Three.of_test("").expect("Python 3"));
}

#[test]
fn the_worker_passes_its_tests_under_python_2() {
    let Some(python) = Python::Two.of_test("the_worker_passes_its_tests_under_python_2") else { return };
    passes(&python);
}

fn passes(python: &PathBuf) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers/legacy-python/python");
    for file in ["test_worker.py", "test_backends.py"] {
        let mut command = Command::new(python);
        command.arg(tests.join(file)).env("PYTHONDONTWRITEBYTECODE", "1");
        run_command(&mut command);
    }
}
