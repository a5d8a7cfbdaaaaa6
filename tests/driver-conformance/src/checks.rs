//! Every check there is, a file for each group.

mod errors;
mod handshake;
mod keys;
mod life;
mod listing;
mod objects;
mod reads;
mod transport;
mod uploads;

use crate::check::Check;

/// All of them, in the order of the contract.
pub fn all() -> Vec<Check> {
    [
        handshake::CHECKS.to_vec(),
        keys::CHECKS.to_vec(),
        objects::checks(),
        listing::CHECKS.to_vec(),
        reads::CHECKS.to_vec(),
        uploads::checks(),
        errors::CHECKS.to_vec(),
        life::CHECKS.to_vec(),
        transport::CHECKS.to_vec(),
    ]
    .concat()
}
