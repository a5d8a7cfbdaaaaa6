//! Counts failures in a row. After five of them the breaker opens: calls fail at once, until a probe succeeds.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{DriverError, Reason};

const OPENS_AFTER: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
}

impl Breaker {
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Whether this failure opens the breaker.
    pub(super) fn failed(&self, error: &DriverError) -> bool {
        counts(error) && self.failures.fetch_add(1, Ordering::Relaxed) + 1 == OPENS_AFTER
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= OPENS_AFTER
    }
}

/// A driver that answers, even with an error, is alive; one that does not, or has no backend, is not.
fn counts(error: &DriverError) -> bool {
    matches!(error.reason(), Reason::BackendUnavailable | Reason::Timeout | Reason::Starting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_open_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        let down = DriverError::new(Reason::Timeout, "x");
        for _ in 0..4 {
            assert!(!breaker.failed(&down));
        }
        breaker.succeeded();
        for _ in 0..4 {
            assert!(!breaker.failed(&down));
        }
        assert!(!breaker.failed(&DriverError::new(Reason::KeyNotFound, "an answer")));
        assert!(breaker.failed(&down) && breaker.is_open());
        breaker.succeeded();
        assert!(!breaker.is_open());
    }
}
