//! The wire between the core and a storage driver: package `longshore.driver.v1`, its messages, clients and servers,
//! generated from `proto/longshore/driver/v1/driver.proto`. Owns nothing else but the codec that sends data pieces
//! without growing a buffer step by step.

pub mod codec;

/// The proto itself, for tools that want to publish or compare it.
pub const PROTO_SOURCE: &str = include_str!("../proto/longshore/driver/v1/driver.proto");

/// The compiled proto, an encoded `FileDescriptorSet` with all that it imports: what reflection answers from.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/v1.binpb"));

/// `longshore.driver.v1`.
#[allow(clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("longshore.driver.v1");
}
