//! What the chores say to the person at the terminal.

use std::io::Write as _;

/// One line on standard output. A closed pipe is no reason to stop a chore half-way.
pub(crate) fn say(line: &str) {
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

/// One line on standard error.
pub(crate) fn complain(line: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

pub(crate) fn heading(title: &str) {
    say(&format!("\n=== {title}"));
}
