//! The outcome of a run as JUnit's XML, for continuous integration.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::check::Need;
use crate::runner::{Finished, Outcome};

/// The whole document, a suite for each group.
///
/// # Errors
/// When it can't be written as XML.
pub fn document(finished: &[Finished], driver: &str, took: Duration) -> Result<String, String> {
    let mut report = Report::new(format!("longshore-driver-check of {driver}"));
    report.set_time(took);
    let mut groups: Vec<&str> = finished.iter().map(|done| done.check.group()).collect();
    groups.dedup();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let mut suite = TestSuite::new(group);
        let members = finished.iter().filter(|done| done.check.group() == group);
        suite.add_test_cases(members.map(case));
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| error.to_string())
}

fn case(done: &Finished) -> TestCase {
    let status = match &done.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped(missing) => {
            let mut status = TestCaseStatus::skipped();
            let missing: Vec<_> = missing.iter().copied().map(Need::as_str).collect();
            status.set_message(format!("needs {}", missing.join("; ")));
            status
        }
        Outcome::Failed(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let clause = failure.clause.or(done.check.clauses.first().copied()).unwrap_or("?");
            status.set_type(clause);
            status.set_message(format!("clause {clause}: wanted {}, got {}", failure.wanted, failure.got));
            status.set_description(format!(
                "sent: {}\nwanted: {}\ngot: {}",
                failure.sent, failure.wanted, failure.got
            ));
            status
        }
    };
    let mut case = TestCase::new(done.check.name, status);
    case.set_time(done.took);
    case
}
