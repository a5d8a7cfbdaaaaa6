//! Whole objects: Stat, Get, Put, Delete, Move, Sign (contract section O).

mod conditions;
mod deletes;
mod durable;
mod moves;
mod puts;
mod signs;

use crate::check::Check;

/// In the order of the contract.
pub(super) fn checks() -> Vec<Check> {
    [puts::CHECKS, conditions::CHECKS, deletes::CHECKS, moves::CHECKS, durable::CHECKS, signs::CHECKS]
        .concat()
}
