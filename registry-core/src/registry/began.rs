//! When something began, by a clock that does not stand still while the host sleeps: what is bounded by W/2 is bounded in
//! the time of the other cores too.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[derive(Debug, Clone, Copy)]
pub(super) struct Began(Duration);

impl Began {
    pub(super) fn now() -> Self {
        Self(since_boot())
    }

    pub(super) fn elapsed(self) -> Duration {
        since_boot().saturating_sub(self.0)
    }
}

fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}
