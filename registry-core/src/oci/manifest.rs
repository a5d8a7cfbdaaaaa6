//! Manifests and indexes: which they are, and what they refer to. Keeps the exact bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::descriptor::Descriptor;
use super::json_depth::is_deeper;

/// The media types that mean something here.
pub mod media_type {
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Signed and unsigned manifests of 2014, schema 1.
    pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1";
}

/// More references than any image has; a body of them would cost a call to the store each.
const MAX_DESCRIPTORS: usize = 10_000;

/// No manifest needs more, and clients with a recursive parser do not survive much more.
const MAX_DEPTH: usize = 128;
/// Registered types are shorter by far (RFC 6838 4.2).
const MAX_MEDIA_TYPE: usize = 255;

/// A manifest or index that can be stored.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub bytes: Bytes,
    pub media_type: String,
    /// Blobs that it needs: config and layers.
    pub blobs: Vec<Descriptor>,
    /// Layers that it need not have here: their bytes are elsewhere.
    pub elsewhere: Vec<Descriptor>,
    /// Manifests that it needs: an index's children.
    pub children: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    /// As referrers show it: the config's media type where an image has none of its own (spec end-12).
    pub artifact_type: Option<String>,
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestProblem {
    #[error("it is not a JSON object of the form of a manifest: {0}")]
    Json(String),
    #[error("its JSON is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("{0:?} is no media type of a manifest: these are JSON, and end with +json")]
    NotJson(String),
    #[error("schemaVersion is not 2")]
    SchemaVersion,
    #[error("no Content-Type was sent, and the manifest has no mediaType")]
    NoMediaType,
    #[error("mediaType is {body:?}, but Content-Type says {header:?}")]
    MediaTypeDiffers { body: String, header: String },
    #[error("it has both 'manifests' and 'layers' or 'config': an image or an index, not both")]
    Ambiguous,
    #[error("{0} lacks {1:?}, which {0} must have")]
    Lacks(String, &'static str),
    #[error("it has more than {MAX_DESCRIPTORS} references")]
    TooManyReferences,
    #[error("schema 1 manifests are not supported; push with docker 1.10 or later, which sends schema 2")]
    Schema1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Parses a body that came with this `Content-Type`.
    ///
    /// # Errors
    /// When it is no manifest that a client could rely on.
    pub fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self, ManifestProblem> {
        let header = content_type
            .and_then(|text| text.split(';').next())
            .map(str::trim)
            .filter(|text| !text.is_empty());
        if header.is_some_and(|header| header.starts_with(media_type::DOCKER_SCHEMA1)) {
            return Err(ManifestProblem::Schema1);
        }
        if is_deeper(&bytes, MAX_DEPTH) {
            return Err(ManifestProblem::TooDeep);
        }
        // Of fields that it does not know a parser reads no text; whoever reads the same bytes later may (RFC 8259 8.1).
        let text = std::str::from_utf8(&bytes).map_err(|error| ManifestProblem::Json(error.to_string()))?;
        let fields: Fields =
            serde_json::from_str(text).map_err(|error| ManifestProblem::Json(error.to_string()))?;
        match fields.schema_version {
            Some(2) => {}
            Some(1) => return Err(ManifestProblem::Schema1),
            _ => return Err(ManifestProblem::SchemaVersion),
        }
        let media_type = agreed_media_type(fields.media_type.as_deref(), header)?;
        // The body alone may have named it.
        if media_type.starts_with(media_type::DOCKER_SCHEMA1) {
            return Err(ManifestProblem::Schema1);
        }
        if !is_json_type(&media_type) {
            return Err(ManifestProblem::NotJson(shown(&media_type)));
        }
        fields.check(&media_type)?;
        Ok(fields.into_manifest(bytes, media_type))
    }
}

/// Body and header must name the same type, or a client could be made to take one for the other (CVE-2021-41190).
fn agreed_media_type(body: Option<&str>, header: Option<&str>) -> Result<String, ManifestProblem> {
    match (body.filter(|text| !text.is_empty()), header) {
        (None, None) => Err(ManifestProblem::NoMediaType),
        (Some(one), None) | (None, Some(one)) => Ok(one.to_owned()),
        (Some(body), Some(header)) if body == header => Ok(body.to_owned()),
        (Some(body), Some(header)) => {
            Err(ManifestProblem::MediaTypeDiffers { body: shown(body), header: shown(header) })
        }
    }
}

/// The type comes back with the manifest: one that a browser would run, or that is no type at all, must not.
fn is_json_type(media_type: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let parts = media_type.strip_suffix("+json").and_then(|rest| rest.split_once('/'));
    media_type.len() <= MAX_MEDIA_TYPE && parts.is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// As much of it as an error needs.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Fields {
    fn check(&self, media_type: &str) -> Result<(), ManifestProblem> {
        if self.manifests.is_some() && (self.layers.is_some() || self.config.is_some()) {
            return Err(ManifestProblem::Ambiguous);
        }
        let lacks = |field| Err(ManifestProblem::Lacks(media_type.to_owned(), field));
        match media_type {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST if self.config.is_none() => {
                return lacks("config");
            }
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST if self.layers.is_none() => {
                return lacks("layers");
            }
            media_type::OCI_INDEX | media_type::DOCKER_LIST if self.manifests.is_none() => {
                return lacks("manifests");
            }
            _ => {}
        }
        let references =
            self.layers.as_ref().map_or(0, Vec::len) + self.manifests.as_ref().map_or(0, Vec::len);
        if references > MAX_DESCRIPTORS { Err(ManifestProblem::TooManyReferences) } else { Ok(()) }
    }

    fn into_manifest(self, bytes: Bytes, media_type: String) -> Manifest {
        let config_type =
            self.config.as_ref().map(|config| config.media_type.clone()).filter(|text| !text.is_empty());
        let blobs = self.config.into_iter().chain(self.layers.into_iter().flatten());
        let (elsewhere, blobs) = blobs.partition(Descriptor::is_foreign);
        Manifest {
            bytes,
            media_type,
            blobs,
            elsewhere,
            children: self.manifests.unwrap_or_default(),
            subject: self.subject,
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()).or(config_type),
            annotations: self.annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn descriptor() -> serde_json::Value {
        json!({"mediaType": "application/octet-stream", "digest": format!("sha256:{}", "00".repeat(32)), "size": 1})
    }

    fn parse(body: &serde_json::Value, header: Option<&str>) -> Result<Manifest, ManifestProblem> {
        Manifest::parse(Bytes::from(body.to_string()), header)
    }

    #[test]
    fn an_image_names_its_blobs_and_an_index_its_children() {
        let image =
            json!({"schemaVersion": 2, "config": descriptor(), "layers": [descriptor(), descriptor()]});
        let image = parse(&image, Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")).unwrap();
        assert_eq!((image.blobs.len(), image.children.len()), (3, 0));
        assert_eq!(image.media_type, media_type::OCI_MANIFEST);
        let index =
            json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [descriptor()]});
        assert_eq!(parse(&index, None).unwrap().children.len(), 1);
    }

    #[test]
    fn what_two_clients_could_read_differently_is_refused() {
        let both =
            json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [], "layers": []});
        assert_eq!(parse(&both, Some(media_type::OCI_INDEX)).unwrap_err(), ManifestProblem::Ambiguous);
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
        assert!(matches!(
            parse(&index, Some(media_type::OCI_MANIFEST)),
            Err(ManifestProblem::MediaTypeDiffers { .. })
        ));
        let bare = json!({"schemaVersion": 2, "manifests": []});
        assert_eq!(parse(&bare, None).unwrap_err(), ManifestProblem::NoMediaType);
        assert!(matches!(
            parse(&bare, Some(media_type::OCI_MANIFEST)),
            Err(ManifestProblem::Lacks(_, "config"))
        ));
    }

    #[test]
    fn foreign_layers_need_not_be_here() {
        let mut foreign = descriptor();
        foreign["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        let image = json!({"schemaVersion": 2, "config": descriptor(), "layers": [foreign]});
        assert_eq!(parse(&image, Some(media_type::DOCKER_MANIFEST)).unwrap().blobs.len(), 1);
    }

    #[test]
    fn deep_and_broken_json_is_refused() {
        for body in [
            "",
            "[]",
            "{",
            "null",
            &"[".repeat(10_000),
            &format!("{{\"schemaVersion\":2,\"annotations\":{}", "{\"a\":".repeat(10_000)),
        ] {
            assert!(Manifest::parse(Bytes::from(body.to_owned()), Some(media_type::OCI_MANIFEST)).is_err());
        }
        let schema1 = json!({"schemaVersion": 1, "name": "x"});
        assert_eq!(parse(&schema1, None).unwrap_err(), ManifestProblem::Schema1);
        let named = format!("{}+json", media_type::DOCKER_SCHEMA1);
        let schema1 = json!({"schemaVersion": 2, "mediaType": named});
        for header in [None, Some(named.as_str())] {
            assert_eq!(parse(&schema1, header).unwrap_err(), ManifestProblem::Schema1, "{header:?}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_refused_in_fields_that_nobody_knows_too() {
        let body = |unknown: &[u8]| {
            let index = br#"{"schemaVersion":2,"manifests":[],"unknown":""#;
            Bytes::from([index, unknown, b"\"}"].concat())
        };
        assert!(Manifest::parse(body("\u{e9}".as_bytes()), Some(media_type::OCI_INDEX)).is_ok());
        for unknown in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80"] {
            let problem = Manifest::parse(body(unknown), Some(media_type::OCI_INDEX)).unwrap_err();
            assert!(matches!(problem, ManifestProblem::Json(_)), "{unknown:?}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Manifest::parse(bytes.into(), Some(media_type::OCI_MANIFEST));
        }
    }
}
