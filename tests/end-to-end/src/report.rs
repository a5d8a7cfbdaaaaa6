//! Figures and progress of a test, written past libtest's capture so that they are always to be seen.

use std::io::Write as _;

/// One line on standard error. `println!` would be captured and thrown away when the test passes.
pub fn line(text: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "    {text}");
}

/// `figure!("{} kills", n)`: a line for the reader of the test run.
#[macro_export]
macro_rules! figure {
    ($($argument:tt)*) => { $crate::report::line(&format!($($argument)*)) };
}
