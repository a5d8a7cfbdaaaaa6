//! Generates the Rust of the proto without protoc: protox parses it, tonic-prost-build writes the code.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/longshore/driver/v1/driver.proto";
    println!("cargo:rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::PieceCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
