//! A storage driver of Longshore over a container of Swift: OpenStack's, or the one that Ceph's RGW speaks.
//!
//! Reading order: [`config`], [`driver`], `store` (what is known of the container), `container` (the requests), `client` (how
//! one is sent), `auth` (tokens, and where the account is), `info` (what the server can do), `failure` (what a refusal means),
//! `sessions` (uploads: segments that one manifest owns, resumed by any instance).

mod auth;
mod body;
mod client;
pub mod config;
mod container;
pub mod driver;
mod failure;
mod info;
mod init;
mod listing;
mod names;
mod sessions;
mod store;

pub use driver::SwiftDriver;
