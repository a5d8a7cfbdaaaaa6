//! What the registry holds after a push, compared with what was built.

use longshore_end_to_end::client::{OCI_INDEX, OCI_MANIFEST};
use longshore_end_to_end::sha256;
use serde_json::Value;

use crate::client::{Conversion, Item};
use crate::images::{ARTIFACT_TYPE, Images};
use crate::reader::Reader;

pub(crate) struct Pushed {
    pub(crate) digest: String,
    /// What the client changed, seen and not believed.
    pub(crate) conversions: Vec<Conversion>,
    /// Architecture and digest of each image of a list.
    members: Vec<(String, String)>,
}

impl Pushed {
    pub(crate) async fn read(reader: &Reader, item: Item, images: &Images, repository: &str) -> Self {
        let bytes = reader.manifest(repository, item.tag()).await;
        let manifest = parse(&bytes);
        let (digest, mut conversions, mut members) = (sha256(&bytes), Vec::new(), Vec::new());
        let built = match item {
            Item::Image => {
                compare(&images.built[0].layout.manifest, &manifest, &mut conversions);
                &images.built[0].layout
            }
            Item::List => {
                members = read_members(reader, images, repository, &manifest, &mut conversions).await;
                &images.list
            }
            Item::Artifact => {
                assert_refers(reader, images, repository, &digest).await;
                &images.artifact
            }
        };
        if conversions.is_empty() && digest != built.digest {
            conversions.push(Conversion::Rewritten);
        }
        Self { digest, conversions, members }
    }

    /// The digest of the image that a client takes from a list.
    pub(crate) fn member(&self, architecture: &str) -> &str {
        let member = self.members.iter().find(|(of, _)| of == architecture);
        &member.unwrap_or_else(|| panic!("no {architecture} in the list")).1
    }
}

async fn read_members(
    reader: &Reader,
    images: &Images,
    repository: &str,
    list: &Value,
    conversions: &mut Vec<Conversion>,
) -> Vec<(String, String)> {
    note(conversions, Conversion::DockerTypes, list["mediaType"] != OCI_INDEX);
    let mut members = Vec::new();
    for entry in list["manifests"].as_array().expect("a list of manifests") {
        let architecture = entry["platform"]["architecture"].as_str().expect("an architecture");
        let digest = entry["digest"].as_str().expect("a digest");
        let built = images.built.iter().find(|built| built.architecture == architecture);
        let built = built.unwrap_or_else(|| panic!("nobody built {architecture}"));
        compare(&built.layout.manifest, &parse(&reader.manifest(repository, digest).await), conversions);
        members.push((architecture.to_owned(), digest.to_owned()));
    }
    assert_eq!(members.len(), images.built.len(), "{list}");
    members
}

/// The configuration names the uncompressed layers, so it stays the same whatever a client does.
fn compare(built: &Value, pushed: &Value, conversions: &mut Vec<Conversion>) {
    assert_eq!(built["config"]["digest"], pushed["config"]["digest"], "another configuration: {pushed}");
    let layers = |manifest: &Value| -> Vec<Value> {
        let layers = manifest["layers"].as_array().expect("a manifest has layers");
        layers.iter().map(|layer| layer["digest"].clone()).collect()
    };
    note(conversions, Conversion::DockerTypes, pushed["mediaType"] != OCI_MANIFEST);
    note(conversions, Conversion::Recompressed, layers(built) != layers(pushed));
}

fn note(conversions: &mut Vec<Conversion>, conversion: Conversion, seen: bool) {
    if seen && !conversions.contains(&conversion) {
        conversions.push(conversion);
    }
}

/// spec end-12a: the artifact is among the referrers of its subject.
async fn assert_refers(reader: &Reader, images: &Images, repository: &str, digest: &str) {
    let subject = &images.built[0].layout.digest;
    let referrers = parse(&reader.get(&format!("/v2/{repository}/referrers/{subject}")).await);
    let entry = referrers["manifests"].as_array().expect("an index").iter().find(|e| e["digest"] == digest);
    let entry = entry.unwrap_or_else(|| panic!("{digest} is not in {referrers}"));
    assert_eq!(entry["artifactType"], ARTIFACT_TYPE, "{entry}");
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}
