//! What came of the tests: how many passed, and those that this machine lacks something for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::step::root;

#[derive(Default)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) ignored: u64,
    /// Each test that passed for nothing, and why.
    pub(super) not_run: Vec<String>,
}

/// Where tests that are not run say so. Their standard error is not read: what they start may hold it open.
pub(super) struct NotRun {
    file: PathBuf,
}

impl NotRun {
    /// Names the file that a test adds a line to which lacks what few machines have (`report::not_run` in tests/end-to-end).
    pub(super) const VARIABLE: &str = "TEST_NOT_RUN";

    pub(super) fn new() -> Result<Self, String> {
        let file = root().join("target/tests-not-run");
        fs::write(&file, "").map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(Self { file })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn tests(&self) -> Result<Vec<String>, String> {
        let said = fs::read_to_string(&self.file);
        let said = said.map_err(|error| format!("cannot read {}: {error}", self.file.display()))?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}

impl Tally {
    /// The last lines of a run that succeeded.
    pub(super) fn verdict(&self, remark: &str) -> String {
        let run = self.passed.saturating_sub(self.not_run.len() as u64);
        let mut lines = vec![format!("green: {run} tests passed{remark}")];
        if !self.not_run.is_empty() {
            lines.push(format!("and {} that this machine lacks something for:", self.not_run.len()));
        }
        lines.extend(self.not_run.iter().map(|told| format!("NOT RUN: {told}")));
        lines.join("\n")
    }

    /// "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s"
    pub(super) fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result:").and_then(|(_, rest)| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').and_then(|(number, word)| Some((number.parse::<u64>().ok()?, word))) {
                Some((number, "passed")) => self.passed += number,
                Some((number, "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_are_not_run_are_named_and_are_no_passed_ones() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        );
        assert_eq!(tally.verdict(", none ignored"), "green: 12 tests passed, none ignored");
        tally.not_run.push("a_test: no python2.7".to_owned());
        let verdict = tally.verdict("");
        assert!(verdict.starts_with("green: 11 tests passed\n"), "{verdict}");
        assert!(verdict.ends_with("\nNOT RUN: a_test: no python2.7"), "{verdict}");
    }
}
