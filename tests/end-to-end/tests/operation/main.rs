//! What an operator sees of a running registry, against the release binaries.

mod health;
mod logs;
mod metrics;
mod read_only;
mod watermark;
