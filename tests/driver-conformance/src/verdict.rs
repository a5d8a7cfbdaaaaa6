//! How a check fails: what was sent, what was promised, and what came back instead.

use std::fmt;

/// What a check ends with.
pub type Verdict<T = ()> = Result<T, Failure>;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The last thing that was asked of the driver.
    pub sent: String,
    /// What the contract promises then.
    pub wanted: String,
    /// What the driver did.
    pub got: String,
    /// The clause that is broken, where it is not the first of the check's.
    pub clause: Option<&'static str>,
}

impl Failure {
    pub fn new(sent: impl fmt::Display, wanted: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { sent: sent.to_string(), wanted: wanted.to_string(), got: got.to_string(), clause: None }
    }

    /// Names the clause that is broken.
    #[must_use]
    pub fn of(mut self, clause: &'static str) -> Self {
        self.clause = Some(clause);
        self
    }
}

/// Fails unless `holds`.
///
/// # Errors
/// When it does not.
pub fn ensure(
    holds: bool,
    sent: impl fmt::Display,
    wanted: impl fmt::Display,
    got: impl fmt::Display,
) -> Verdict {
    if holds { Ok(()) } else { Err(Failure::new(sent, wanted, got)) }
}

/// Fails unless both are equal.
///
/// # Errors
/// When they differ.
pub fn equal<T: PartialEq + fmt::Debug>(sent: impl fmt::Display, wanted: &T, got: &T) -> Verdict {
    if wanted == got { Ok(()) } else { Err(Failure::new(sent, format!("{wanted:?}"), format!("{got:?}"))) }
}

/// Bytes as a failure shows them: few whole, many by length and the first place of difference.
///
/// # Errors
/// When they differ.
pub fn same_bytes(sent: impl fmt::Display, wanted: &[u8], got: &[u8]) -> Verdict {
    if wanted == got {
        return Ok(());
    }
    let at = wanted.iter().zip(got).take_while(|(a, b)| a == b).count();
    Err(Failure::new(
        sent,
        format!("{} bytes", wanted.len()),
        format!("{} bytes, which differ from byte {at} on", got.len()),
    ))
}
