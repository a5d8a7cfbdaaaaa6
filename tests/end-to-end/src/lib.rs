//! The harness of the end-to-end tests: it starts the release binaries as an operator would, speaks HTTP
//! to them as a client would, and ends every process it started, whatever happens.

pub mod authority;
pub mod broken_connections;
pub mod bucket;
pub mod client;
pub mod container;
pub mod digest;
pub mod distribution;
pub mod docker_engine;
pub mod docker_round;
pub mod document;
pub mod faults;
pub mod figures;
pub mod image;
pub mod instance;
pub mod lagging_listings;
pub mod layer;
pub mod load;
pub mod loop_disk;
pub mod object_store;
pub mod old_store;
pub mod patch_kills;
pub mod process;
pub mod proxy;
pub mod random;
pub mod registry;
pub mod report;
pub mod scratch;
pub mod servers;
pub mod shell;
pub mod stale_writers;
pub mod strace_log;
pub mod swift_front;
pub mod two_cores;
pub mod v1;
pub mod wire;
pub mod writer;

pub use authority::Authority;
pub use client::{Client, Failure};
pub use digest::sha256;
pub use faults::{Fault, FaultyFront};
pub use process::Process;
pub use random::Random;
pub use registry::Registry;
pub use servers::{S3Server, SwiftServer, V1Registry};
pub use swift_front::SwiftFront;
