//! The streams that carry the bytes of blobs, over HTTP/2 as gRPC has them, without a copy of these bytes at either end
//! (docs/adr/0020). Everything else that crosses the socket is left to the generated code.

mod incoming;
mod outgoing;
pub(crate) mod pieces;

pub(crate) use incoming::Incoming;
pub(crate) use outgoing::{call, respond};

pub(crate) const READ_STREAM: &str = "/longshore.driver.v1.StorageService/ReadStream";
pub(crate) const WRITE_STREAM: &str = "/longshore.driver.v1.StorageService/WriteStream";
