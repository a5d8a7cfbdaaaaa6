//! What a run says on a terminal and in a log: a line for each check, everything that helps for a failure, a summary.

use std::fmt::Write as _;
use std::time::Duration;

use crate::check::Need;
use crate::clauses;
use crate::runner::{Finished, Outcome};

/// How many of each there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Tally {
    pub fn of(finished: &[Finished]) -> Self {
        let mut tally = Self::default();
        for done in finished {
            match done.outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Failed(_) => tally.failed += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
            }
        }
        tally
    }
}

/// What is said of one check. `again`: the command line without `--only`.
pub fn line(done: &Finished, again: &str) -> String {
    let name = done.check.name;
    match &done.outcome {
        Outcome::Passed => format!("PASS  {name}"),
        Outcome::Skipped(missing) => {
            let missing: Vec<_> = missing.iter().copied().map(Need::as_str).collect();
            format!("SKIP  {name} (needs {})", missing.join("; "))
        }
        Outcome::Failed(failure) => {
            let clause = failure.clause.unwrap_or_else(|| done.check.clauses.first().copied().unwrap_or("?"));
            let text = clauses::text(clause).unwrap_or_default();
            let mut said = format!("FAIL  {name}");
            let _ = write!(said, "\n      sent    {}", indented(&failure.sent));
            let _ = write!(said, "\n      wanted  {}", indented(&failure.wanted));
            let _ = write!(said, "\n      got     {}", indented(&failure.got));
            let _ = write!(said, "\n      clause  {clause}: {text}");
            let _ = write!(said, "\n      again   {again} --only ={name}");
            said
        }
    }
}

/// In the column of the values; no longer than somebody reads.
fn indented(text: &str) -> String {
    const MOST: usize = 1000;
    let (text, rest) = match text.char_indices().nth(MOST) {
        Some((at, _)) => (&text[..at], format!("... ({} bytes in all)", text.len())),
        None => (text, String::new()),
    };
    text.lines().collect::<Vec<_>>().join("\n              ") + &rest
}

/// The last line.
pub fn summary(finished: &[Finished], took: Duration) -> String {
    let Tally { passed, failed, skipped } = Tally::of(finished);
    let all = finished.len();
    let seconds = took.as_secs_f64();
    format!("{all} checks in {seconds:.1} s: {passed} passed, {failed} failed, {skipped} skipped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Failure;
    use crate::{checks, runner};

    #[test]
    fn a_failure_says_what_was_asked_promised_and_answered_and_how_to_run_it_again() {
        let check = runner::select(&checks::all(), Some("=list.limit")).unwrap()[0];
        let failure = Failure::new("List", "one\ntwo", "x".repeat(5000));
        let done = Finished { check, outcome: Outcome::Failed(failure), took: Duration::ZERO };
        let said = line(&done, "longshore-driver-check --endpoint E");
        assert!(said.starts_with("FAIL  list.limit\n      sent    List\n"), "{said}");
        assert!(said.contains("wanted  one\n              two\n"), "{said}");
        assert!(said.contains("xxx... (5000 bytes in all)\n") && said.len() < 2000, "{said}");
        assert!(said.contains("clause  L3: `start_after` is exclusive"), "{said}");
        assert!(said.ends_with("again   longshore-driver-check --endpoint E --only =list.limit"), "{said}");
    }
}
