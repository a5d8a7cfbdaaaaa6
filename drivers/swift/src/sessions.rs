//! Upload sessions on Swift: segments that one manifest owns, and records of them that are written once each
//! ([`longshore_driver_sdk::sessions::parted`]).
//!
//! Swift enforces no condition, and its listings may lag. So nothing here believes a listing: a session is there as long as its
//! first record is, whose name is fixed; who has the session is found out by [`rounds`]; and that writer's records are found by
//! their names, which are numbered.

mod hold;
mod lane;
mod rounds;
mod segments;
mod store;

pub(crate) use segments::delete_of_object;
pub(crate) use store::SwiftSessions;
