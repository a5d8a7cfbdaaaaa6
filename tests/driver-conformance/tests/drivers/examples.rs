//! The README of an example does what it says.

use std::path::Path;

use crate::processors;
use crate::readme::{Readme, require_python};

#[test]
fn the_readme_of_the_example_in_rust_works_as_it_stands() {
    works_as_it_stands("driver-rust");
}

#[test]
fn the_readme_of_the_example_in_go_works_as_it_stands() {
    works_as_it_stands("driver-go");
}

#[test]
fn the_readme_of_the_example_in_python_works_as_it_stands() {
    require_python();
    works_as_it_stands("driver-python");
}

fn works_as_it_stands(example: &str) {
    let _busy = processors::for_compilers();
    Readme::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example)).run();
}
