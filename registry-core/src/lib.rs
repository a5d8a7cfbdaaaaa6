//! The Longshore registry, in reading order: [`oci`] is the vocabulary, [`registry`] the rules, [`storage`] the way to
//! drivers, [`check`] a look at what a store can do, [`v1`] one at what the V1 registry left, [`api`] the HTTP
//! edge, [`config`] what an operator sets, [`server`] where all of it is put together.

pub mod api;
pub mod auth;
pub mod check;
pub mod cli;
pub mod config;
pub mod import;
pub mod metrics;
pub mod oci;
pub mod registry;
pub mod server;
pub mod storage;
pub mod v1;
