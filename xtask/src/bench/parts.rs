//! What is measured over a server that has the store.

use super::{Options, pairs, requests};

/// Whether requests are to be counted, and whether throughput is to be measured.
pub(crate) fn wanted(options: &Options) -> Result<[bool; 2], String> {
    let parts = [requests::PART, pairs::PART];
    let wanted = parts.map(|part| options.only.as_ref().is_none_or(|only| only == part));
    if wanted.contains(&true) {
        return Ok(wanted);
    }
    Err(format!("--only takes {}", parts.join(" or ")))
}
