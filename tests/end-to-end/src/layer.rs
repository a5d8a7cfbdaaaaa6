//! A layer with one file in it.

use std::io::{Read, Write};

/// Writes it as a tar, and gives back what it was written to.
pub fn write_layer<W: Write>(to: W, size: u64, content: impl Read) -> W {
    let mut archive = tar::Builder::new(to);
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, "layer", content).expect("the layer's file");
    archive.into_inner().expect("the end of the archive")
}
