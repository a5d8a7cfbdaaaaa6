//! What docs/http-api.md names is there: its modules and its tests.

use std::path::Path;

const DOCUMENT: &str = include_str!("../../../../docs/http-api.md");

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_test_and_module_that_the_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut tests, mut modules) = (0, 0);
    for row in DOCUMENT.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let named = cells.last().and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
        if let Some((module, test)) = named.and_then(|named| named.rsplit_once("::")) {
            let file = root.join("tests/http").join(module.replace("::", "/")).with_extension("rs");
            assert!(read(&file).contains(&format!("fn {test}()")), "{module}::{test}");
            tests += 1;
        }
        if let Some(module) = cells.iter().find(|cell| cell.ends_with(".rs")) {
            read(&root.join("../../registry-core/src/api").join(module));
            modules += 1;
        }
    }
    assert!(
        tests > 40 && modules > 20,
        "{tests} tests and {modules} modules: the tables have another form now"
    );
}
