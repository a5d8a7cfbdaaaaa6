//! What the author of a Longshore storage driver depends on, and what the core speaks to drivers with.
//!
//! A driver is a program that implements [`Driver`] and calls [`run`] from its `main`; [`memory`] is the shortest worked
//! example. A backend without upload sessions of its own gets them from [`sessions`], and [`backend`] has the rules of
//! conditions, ranges and pages. The contract, clause by clause, is docs/driver-contract.md. Reading order: [`key`],
//! [`error`], [`driver`], [`memory`], [`backend`], [`sessions`], [`server`], [`client`].

pub mod backend;
pub mod client;
pub mod driver;
pub mod endpoint;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod heap;
pub mod key;
pub mod memory;
pub mod moved;
pub mod request_id;
pub mod run;
pub mod server;
pub mod sessions;
pub mod socket;
mod streams;
pub mod wire;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use driver::*;
pub use error::{Detail, DriverError, Optional, Reason, Result};
pub use key::{Key, KeyPrefix};
pub use moved::Moved;
pub use run::{About, run};
