//! The check kit: whether a driver keeps the contract (docs/driver-contract.md), told from outside, over its socket.
//!
//! Reading order: [`check`] (what a check is), [`bed`] (what it works with), [`call`], [`reader`] and [`writer`] (how it
//! calls), [`verdict`] (how it fails), [`checks`] (all of them), [`runner`].

pub mod bed;
pub mod call;
pub mod check;
pub mod checks;
pub mod clauses;
pub mod connection;
pub mod figures;
pub mod hooks;
pub mod junit;
pub mod new_store;
pub mod reader;
pub mod report;
pub mod runner;
pub mod scaffold;
pub mod sweep;
pub mod verdict;
pub mod writer;
