//! What the author of a Longshore storage driver depends on, and what the core speaks to drivers with.
//!
//! A driver is a program that implements [`Driver`] and calls [`run`] from its `main`; [`memory`] is the shortest worked
//! example. A backend without upload sessions of its own gets them from [`sessions`]. The contract, clause by clause, is
//! docs/driver-contract.md. Reading order: [`key`], [`error`], [`driver`], [`memory`], [`sessions`], [`server`], [`client`].

pub mod client;
pub mod driver;
pub mod endpoint;
pub mod error;
pub mod heap;
pub mod key;
pub mod memory;
pub mod request_id;
pub mod run;
pub mod server;
pub mod sessions;
pub mod socket;
mod streams;
pub mod wire;

pub use driver::*;
pub use error::{Detail, DriverError, Optional, Reason, Result};
pub use key::{Key, KeyPrefix};
pub use run::{About, run};
