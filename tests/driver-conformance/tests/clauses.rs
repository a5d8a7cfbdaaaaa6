//! Contract and kit hold together: every clause has checks or says where the core keeps it, every check has clauses, and
//! the lines in docs/driver-contract.md are what the kit says.

use std::collections::BTreeSet;

use longshore_driver_check::{checks, clauses};

fn of_the_kit(clause: &str) -> BTreeSet<String> {
    let all = checks::all();
    let its = all.iter().filter(|check| check.clauses.contains(&clause));
    its.map(|check| check.name.to_owned()).collect()
}

#[test]
fn every_clause_has_its_checks_or_says_where_the_core_keeps_it() {
    for clause in clauses::all() {
        let named: BTreeSet<_> = clause.checks.iter().cloned().collect();
        assert_eq!(named.len(), clause.checks.len(), "{} names a check twice", clause.id);
        assert_eq!(named, of_the_kit(&clause.id), "the line *Checks: ...* of clause {}", clause.id);
        let kept = !named.is_empty() || clause.core.is_some();
        assert!(kept, "clause {} has neither a check nor a line *Core: ...*", clause.id);
    }
}

#[test]
fn a_core_line_names_files_that_are_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let mut seen = 0;
    for clause in clauses::all() {
        let core = clause.core.unwrap_or_default();
        for path in core.split('`').skip(1).step_by(2) {
            assert!(std::path::Path::new(root).join(path).exists(), "clause {}: {path}", clause.id);
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen} files");
}

#[test]
fn every_check_names_clauses_that_are_there() {
    let known: BTreeSet<_> = clauses::all().into_iter().map(|clause| clause.id).collect();
    for check in checks::all() {
        assert!(!check.clauses.is_empty(), "{} has no clause", check.name);
        for clause in check.clauses {
            assert!(known.contains(*clause), "{} names clause {clause}", check.name);
        }
    }
}

#[test]
fn names_of_checks_are_single_and_well_formed() {
    let mut names = BTreeSet::new();
    for check in checks::all() {
        let name = check.name;
        assert!(names.insert(name), "{name} is there twice");
        let (group, promise) = name.split_once('.').expect("group.what-is-promised");
        let plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        assert!(plain(group) && plain(promise), "{name}");
    }
    assert!(names.len() >= 120, "{} checks", names.len());
}
