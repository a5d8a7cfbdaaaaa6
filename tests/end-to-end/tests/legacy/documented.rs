//! Whether docs/legacy.md is true.

use longshore_end_to_end::docker_engine::{Engine, without_proxies};
use longshore_end_to_end::document::Document;
use longshore_end_to_end::scratch;

#[test]
fn what_is_told_of_old_drivers_works_as_it_stands() {
    let document = Document::read("docs/legacy.md");
    document.has(7, 5);
    for program in ["longshore", "longshore-driver-legacy-python"] {
        scratch::binary(program);
    }
    let engine = Engine::start();
    document.is_true(&[scratch::release_directory()], |command, place| {
        command.env("DOCKER_HOST", engine.host()).env("DOCKER_BUILDKIT", "0");
        command.env("DOCKER_CONFIG", place.join("docker"));
        without_proxies(command);
    });
}
