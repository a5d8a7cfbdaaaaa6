//! How many inputs got past a parser's checks. A target whose inputs are all refused at the door proves little, and
//! coverage alone does not show it.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static RUNS: AtomicU64 = AtomicU64::new(0);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static AT_EXIT: Once = Once::new();
/// So often is said how things stand, for those who watch.
const EVERY: u64 = 1 << 20;

/// Counts an input. Says at the end of the process how many there were.
pub fn count(accepted: bool) {
    AT_EXIT.call_once(|| {
        // SAFETY: `say` takes nothing, unwinds never, and touches only what lives as long as the process.
        unsafe { libc::atexit(say) };
    });
    ACCEPTED.fetch_add(u64::from(accepted), Ordering::Relaxed);
    if (RUNS.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(EVERY) {
        say();
    }
}

/// `cargo xtask fuzz` reads this line.
extern "C" fn say() {
    use std::io::Write as _;
    let (accepted, runs) = (ACCEPTED.load(Ordering::Relaxed), RUNS.load(Ordering::Relaxed));
    let _closed = writeln!(std::io::stderr(), "accepted {accepted} of {runs}");
}
