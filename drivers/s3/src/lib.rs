//! A storage driver of Longshore over a bucket that speaks S3.
//!
//! Reading order: [`config`], [`driver`], `bucket` (the requests), `probe` (what the server enforces), `sessions` (uploads:
//! one multipart upload straight to the final key, resumed by any instance).

mod body;
mod bucket;
mod client;
pub mod config;
mod credentials;
pub mod driver;
mod failure;
mod init;
mod listing;
mod probe;
mod sessions;

pub use driver::S3Driver;
