//! Figures and progress of a test, written past libtest's capture so that they are always to be seen.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Names the file that `cargo xtask test` reads for its summary.
const NOT_RUN: &str = "TEST_NOT_RUN";

/// One line on standard error. `println!` would be captured and thrown away when the test passes.
pub fn line(text: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "    {text}");
}

/// Says that a test is not run, by its name and with the reason; then it has to end. For what hardly any machine has, and nothing
/// else: what can be installed is demanded.
pub fn not_run(test: &str, reason: &str) {
    line(&format!("NOT RUN: {test}: {reason}"));
    let Some(file) = std::env::var_os(NOT_RUN) else { return };
    let file = OpenOptions::new().append(true).create(true).open(file);
    // One write: other tests add lines of theirs.
    let told = file.and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
    told.expect("a line in the file of tests that are not run");
}

/// `figure!("{} kills", n)`: a line for the reader of the test run.
#[macro_export]
macro_rules! figure {
    ($($argument:tt)*) => { $crate::report::line(&format!($($argument)*)) };
}
