//! Manifests: one that is accepted keeps its bytes, says what it says to every reader, and refers to what is in it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use longshore_core::oci::{Descriptor, Digest, Manifest, media_type};
use longshore_fuzz::script::Script;
use longshore_fuzz::{grammar, tally};
use serde_json::Value;

const TYPES: [&str; 6] = [
    media_type::OCI_MANIFEST,
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_LIST,
    media_type::DOCKER_SCHEMA1,
    "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
];

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let own;
    let content_type = match script.byte() {
        choice @ 0..6 => Some(TYPES[usize::from(choice)]),
        6 => {
            own = script.text();
            Some(own.as_str())
        }
        _ => None,
    };
    let bytes = Bytes::copy_from_slice(script.rest());
    match Manifest::parse(bytes.clone(), content_type) {
        Ok(manifest) => {
            tally::count(true);
            accepted(&bytes, content_type, &manifest);
        }
        Err(problem) => {
            tally::count(false);
            assert!(!problem.to_string().is_empty());
        }
    }
});

fn accepted(bytes: &Bytes, content_type: Option<&str>, manifest: &Manifest) {
    // Its digest is that of these bytes, so they are kept as they came.
    assert_eq!(&manifest.bytes, bytes);
    assert_eq!(manifest.bytes.as_ptr(), bytes.as_ptr());
    assert!(manifest.media_type.ends_with("+json") && manifest.media_type.len() <= 255);
    let text = std::str::from_utf8(bytes).expect("an accepted manifest is text");
    match serde_json::from_str(text) {
        Ok(value) => says(&value, bytes, content_type, manifest),
        Err(error) => unrepresentable(&error.to_string()),
    }
}

/// What the grammar of JSON has and a parser's types have not, in fields that mean nothing here: half a surrogate pair,
/// and numbers beyond all measure.
fn unrepresentable(error: &str) {
    let known = ["surrogate", "hex escape", "number out of range"];
    assert!(known.iter().any(|known| error.contains(known)), "accepted, and no JSON: {error}");
}

/// What it says to somebody who reads everything.
fn says(value: &Value, bytes: &Bytes, content_type: Option<&str>, manifest: &Manifest) {
    assert!(depth(value) <= 128);
    assert_eq!(value["schemaVersion"], Value::from(2));
    if let Some(named) = value["mediaType"].as_str().filter(|named| !named.is_empty()) {
        assert_eq!(named, manifest.media_type);
    }
    if let Some(header) = content_type.and_then(|text| text.split(';').next()).map(str::trim)
        && !header.is_empty()
    {
        assert_eq!(header, manifest.media_type);
    }
    references(value, manifest);
    let again = Manifest::parse(bytes.clone(), Some(&manifest.media_type)).expect("accepted once");
    assert_eq!(again.blobs, manifest.blobs);
    assert_eq!(again.children, manifest.children);
    assert_eq!(again.artifact_type, manifest.artifact_type);
}

fn references(value: &Value, manifest: &Manifest) {
    let length = |name: &str| value[name].as_array().map_or(0, Vec::len);
    let config = usize::from(value["config"].is_object());
    assert_eq!(manifest.blobs.len() + manifest.elsewhere.len(), length("layers") + config);
    assert_eq!(manifest.children.len(), length("manifests"));
    assert!(length("layers") + length("manifests") <= 10_000);
    assert!(manifest.children.is_empty() || manifest.blobs.is_empty() && manifest.elsewhere.is_empty());
    assert_eq!(manifest.subject.is_some(), value["subject"].is_object());
    let all =
        manifest.blobs.iter().chain(&manifest.elsewhere).chain(&manifest.children).chain(&manifest.subject);
    for descriptor in all {
        sound(descriptor);
    }
}

fn sound(descriptor: &Descriptor) {
    let text = descriptor.digest.to_string();
    assert!(grammar::is_digest(text.as_bytes()));
    assert_eq!(text.parse::<Digest>().as_ref(), Ok(&descriptor.digest));
    // What referrers show of it is read by others.
    let json = serde_json::to_vec(descriptor).expect("a descriptor");
    assert_eq!(&serde_json::from_slice::<Descriptor>(&json).expect("its own JSON"), descriptor);
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
