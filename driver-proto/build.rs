//! Generates the Rust of the proto without protoc: protox parses it, tonic-prost-build writes the code. The descriptors,
//! with what they import, are kept for reflection.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/longshore/driver/v1/driver.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("v1.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::PieceCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
