//! Deadlines and repeats of unary calls: up to four attempts with jittered back-off, within one deadline for all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Deadlines;
use super::link::Link;
use super::supervisor::Supervised;
use crate::error::{DriverError, Reason, Result};
use crate::wire;

const ATTEMPTS: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// What may be done again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The call is idempotent.
    Freely,
    /// Only when it certainly had no effect.
    UnlessUnknown,
}

/// Bounds one attempt.
pub(super) async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| Err(late(deadline)))
}

/// Nothing was heard of the driver for so long.
pub(super) fn late(deadline: Duration) -> DriverError {
    timed_out(format!("the driver did not answer within {} s", deadline.as_secs_f32()))
}

pub(super) fn timed_out(message: String) -> DriverError {
    DriverError::new(Reason::Timeout, message)
        .with_unknown_outcome()
        .with_retry_after(Some(Duration::from_secs(2)))
}

/// Calls until it succeeds, must not be repeated, or the time is up.
pub(super) async fn call<T, F>(
    supervised: &Supervised,
    deadlines: &Deadlines,
    repeat: Repeat,
    attempt: impl Fn(Arc<Link>) -> F,
) -> Result<T>
where
    F: Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>>,
{
    let end = Instant::now() + deadlines.call_with_retries;
    let mut tries = 0;
    loop {
        tries += 1;
        let left = end.saturating_duration_since(Instant::now()).min(deadlines.call);
        let outcome = match supervised.link(left).await {
            Err(error) => Err(error),
            Ok(link) => {
                let call = async { attempt(link.clone()).await.map_err(|status| wire::from_status(&status)) };
                let outcome = within(left, call).await;
                supervised.note(&link, &outcome);
                outcome
            }
        };
        let error = match outcome {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(error) => error,
        };
        let pause = pause(&error, tries, end.saturating_duration_since(Instant::now()));
        let Some(pause) = pause.filter(|_| tries < ATTEMPTS && may_repeat(repeat, &error)) else {
            return Err(error);
        };
        tokio::time::sleep(pause).await;
    }
}

/// How long to wait before the next try; `None`: longer than there is time left. What a driver asks for may be as long as
/// a message can say.
fn pause(error: &DriverError, tries: u32, left: Duration) -> Option<Duration> {
    let wanted = error.retry_after().filter(|_| error.reason() == Reason::RateLimited);
    Some(wanted.unwrap_or_else(|| backoff(tries))).filter(|pause| *pause < left)
}

fn may_repeat(repeat: Repeat, error: &DriverError) -> bool {
    error.is_transient()
        && error.reason() != Reason::Conflict
        && (repeat == Repeat::Freely || !error.is_outcome_unknown())
}

/// Doubles with each try, with full jitter.
fn backoff(tries: u32) -> Duration {
    let most = FIRST_BACKOFF * 2_u32.saturating_pow(tries.saturating_sub(1));
    let mut random = [0_u8; 2];
    let share = getrandom::fill(&mut random).map_or(u16::MAX / 2, |()| u16::from_le_bytes(random));
    most.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instant that lies behind the end of all instants can't be made.
    #[test]
    fn a_driver_that_wants_to_be_left_alone_for_ever_is_not_waited_for() {
        let limited = |seconds| {
            DriverError::new(Reason::RateLimited, "slow down")
                .with_retry_after(Some(Duration::from_secs(seconds)))
        };
        let left = Duration::from_secs(8);
        assert_eq!(pause(&limited(3), 1, left), Some(Duration::from_secs(3)));
        for seconds in [8, i64::MAX as u64, u64::MAX] {
            assert_eq!(pause(&limited(seconds), 1, left), None);
        }
        assert!(
            pause(&DriverError::new(Reason::Timeout, "x"), 1, left)
                .is_some_and(|pause| pause <= FIRST_BACKOFF)
        );
    }
}
