//! `longshore storage check`: what a store can do, tried through its driver and the protocol alone, so that it works with any
//! driver. Owns what is tried, under names of its own below `check/`, and that nothing of it is left.

mod place;
mod promises;
mod timings;

use std::time::{Duration, SystemTime};

use longshore_driver_sdk::{Driver, Result};

use place::Place;
pub use promises::{Held, Promise};
pub use timings::{Latency, Transfer};

/// What was seen.
#[derive(Debug)]
pub struct Findings {
    pub promises: Vec<Promise>,
    pub latencies: Vec<Latency>,
    pub transfer: Transfer,
    pub skew: Option<Skew>,
    /// How clients would be sent to the store itself.
    pub signed_url: Option<String>,
}

/// How far the store's clock is from ours, in whole seconds, as stores tell times: positive, if it is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew(pub i64);

impl Skew {
    /// Of an object that was written between two looks at our clock. A store that tells whole seconds cuts the rest off, so
    /// what it says may be a second too low.
    fn of(modified: SystemTime, before: SystemTime, after: SystemTime) -> Self {
        const GRAIN: Duration = Duration::from_secs(1);
        if let Ok(ahead) = modified.duration_since(after) {
            return Self(rounded(ahead));
        }
        match before.duration_since(modified + GRAIN) {
            Ok(behind) => Self(-rounded(behind)),
            Err(_) => Self(0),
        }
    }
}

fn rounded(time: Duration) -> i64 {
    i64::try_from((time + Duration::from_millis(500)).as_secs()).unwrap_or(i64::MAX)
}

/// Tries a store, and clears up whatever came of it. `began` is told each step as it begins.
///
/// # Errors
/// The first that a plain call meets: without those nothing can be said.
pub async fn run(driver: &dyn Driver, size: u64, began: &(dyn Fn(&str) + Sync)) -> Result<Findings> {
    let place = Place::new(driver)?;
    place.clear_what_is_old().await;
    let outcome = all(&place, size, began).await;
    began("clearing up");
    place.clear().await;
    outcome
}

async fn all(place: &Place<'_>, size: u64, began: &(dyn Fn(&str) + Sync)) -> Result<Findings> {
    began("small requests, one after the other");
    let (latencies, skew) = timings::small_requests(place).await?;
    began("what the driver declares");
    let promises = promises::try_each(place).await?;
    began("a large object, written and read");
    let (transfer, signed_url) = timings::transfer(place, size).await?;
    Ok(Findings { promises, latencies, transfer, skew, signed_url })
}

#[cfg(test)]
mod tests {
    use longshore_driver_sdk::memory::MemoryDriver;
    use longshore_driver_sdk::{KeyPrefix, ListQuery};

    use super::*;

    #[tokio::test]
    async fn what_a_store_promises_is_tried_and_nothing_is_left() {
        let driver = MemoryDriver::default();
        let findings = run(&driver, 3 << 20, &|_| {}).await.unwrap();
        assert!(findings.promises.iter().all(|promise| promise.held != Held::Broken), "{findings:?}");
        assert!(findings.promises.iter().any(|promise| promise.held == Held::Seen), "{findings:?}");
        assert_eq!(findings.transfer.size, 3 << 20);
        let all =
            ListQuery { prefix: KeyPrefix::all(), recursive: true, start_after: String::new(), limit: 10 };
        assert_eq!(driver.list(&all).await.unwrap().entries, []);
    }

    #[test]
    fn a_clock_that_tells_whole_seconds_is_no_second_off() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        for (modified, before, after, skew) in [
            (10_000, 10_900, 10_950, 0),
            (10_000, 9_990, 10_010, 0),
            (40_000, 9_900, 10_000, 30),
            (10_000, 71_000, 71_200, -60),
        ] {
            assert_eq!(Skew::of(at(modified), at(before), at(after)), Skew(skew), "{modified}");
        }
    }
}
