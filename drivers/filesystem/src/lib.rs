//! Objects as plain files below a root directory: the key is the path. What is the driver's own lies in `.driver/`:
//!
//! ```text
//! .driver/store-id       the store's id, written once
//! .driver/tmp/           files being written; stale ones go at the start
//! .driver/locks/<hh>     locks that conditional writes of several processes share
//! .driver/uploads/<id>/  upload sessions
//! ```

pub mod config;
mod driver;
mod durable;
mod etag;
mod init;
mod listing;
mod locks;
mod publish;
mod reading;
mod tree;

pub use config::{Config, Init};
pub use driver::FilesystemDriver;
