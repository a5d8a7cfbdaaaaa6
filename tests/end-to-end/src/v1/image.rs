//! An image of the V1 registry: a name, a JSON and a layer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::Random;
use crate::layer::write_layer;

#[derive(Clone, Debug)]
pub struct Image {
    pub id: String,
    /// The images that it is built on, its parent first.
    pub ancestors: Vec<String>,
    pub json: Vec<u8>,
    pub layer: Vec<u8>,
}

impl Image {
    /// Its JSON is like that of docker 1.3.
    pub fn new(random: &mut Random, parent: Option<&Self>, layer: Vec<u8>) -> Self {
        let id: String = random.bytes(32).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut json = json!({
            "id": id,
            "created": "2014-10-07T19:14:09.871034Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD file:1 in /"]},
            "docker_version": "1.3.0",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"]},
            "architecture": "amd64",
            "os": "linux",
            "Size": layer.len(),
        });
        let mut ancestors = Vec::new();
        if let Some(parent) = parent {
            json["parent"] = parent.id.as_str().into();
            ancestors.push(parent.id.clone());
            ancestors.extend(parent.ancestors.iter().cloned());
        }
        Self { id, ancestors, json: json.to_string().into_bytes(), layer }
    }

    /// sha256 of JSON, newline and layer.
    pub fn checksum(&self) -> String {
        let sum = Sha256::new().chain_update(&self.json).chain_update(b"\n").chain_update(&self.layer);
        let hex: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}

/// An archive with one file in it; with none, it has 1,024 bytes of zero.
pub fn tar_of(content: &[u8]) -> Vec<u8> {
    if content.is_empty() {
        return vec![0; 1024];
    }
    write_layer(Vec::new(), content.len() as u64, content)
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
