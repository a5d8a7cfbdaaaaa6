//! One blob or one manifest, from the foreign tree into a repository of ours, by the steps of a push.

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::io::AsyncReadExt as _;

use super::registry2::data;
use super::report::Count;
use super::{Halt, Importer};
use crate::oci::{Digest, Manifest, ManifestProblem, Tag, media_type};
use crate::registry::manifests::PushManifest;
use crate::registry::precondition::Precondition;
use crate::registry::uploads::Chunk;
use crate::registry::{RegistryError, Repository};

const PIECE: usize = 256 * 1024;

impl Importer {
    /// A manifest of the foreign tree as far as it can be read. A fault is reported.
    pub(super) async fn read_manifest(&self, digest: &Digest) -> Option<Manifest> {
        let (wanted, limit) = (digest.clone(), self.registry.rules().max_manifest);
        let read = self.blocking(move |source| source.manifest(&wanted, limit)).await;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err((path, flaw)) => {
                self.problem(&path, &flaw.to_string());
                return None;
            }
        };
        match parse(bytes.into()) {
            Ok(manifest) => Some(manifest),
            Err(problem) => {
                self.problem(&data(digest), &format!("the manifest is not taken: {problem}"));
                None
            }
        }
    }

    /// False: it can't be had, which is reported.
    pub(super) async fn import_blob(&self, to: &Repository, digest: &Digest) -> Result<bool, Halt> {
        let (name, wanted) = (to.name().clone(), digest.clone());
        let found =
            if self.options.dry_run { to.blob_size(digest).await } else { to.lease_blob(digest).await };
        match found {
            Ok(_) => {
                self.report.count(Count::BlobsThere, 1);
                return Ok(true);
            }
            Err(RegistryError::BlobUnknown(_)) => {}
            Err(error) => return self.failed(&data(digest), error).map(|()| false),
        }
        let opened = self
            .blocking(move |source| {
                source.layer_link(&name, &wanted)?;
                source.blob(&wanted)
            })
            .await;
        let (file, size) = match opened {
            Ok(opened) => opened,
            Err((path, flaw)) => {
                self.problem(&path, &flaw.to_string());
                return Ok(false);
            }
        };
        if self.options.dry_run {
            self.report.count(Count::BlobsCopied, 1);
            self.report.count(Count::Bytes, size);
            return Ok(true);
        }
        match self.registry.mount_from_any(to, digest, |_| true).await {
            Ok(true) => {
                self.report.count(Count::BlobsShared, 1);
                return Ok(true);
            }
            Ok(false) => {}
            Err(error) => return self.failed(&data(digest), error).map(|()| false),
        }
        match to.upload_whole(digest, self.chunk(file, size)).await {
            Ok(()) => {
                self.report.count(Count::BlobsCopied, 1);
                Ok(true)
            }
            Err(_) if self.stop.is_cancelled() => Err(Halt::Interrupted),
            Err(error) => self.failed(&data(digest), error).map(|()| false),
        }
    }

    /// The file as a request's body would be; it breaks off when the import is to stop, and then nothing is kept of it.
    fn chunk(&self, file: std::fs::File, size: u64) -> Chunk {
        let (report, stop) = (self.report.clone(), self.stop.clone());
        let file = tokio::fs::File::from_std(file);
        let body = stream::unfold(Some(file), move |file| {
            let (report, stop) = (report.clone(), stop.clone());
            async move {
                let mut file = file?;
                if stop.is_cancelled() {
                    return Some((Err("the import was stopped".to_owned()), None));
                }
                let mut piece = BytesMut::with_capacity(PIECE);
                match file.read_buf(&mut piece).await {
                    Ok(0) => None,
                    Ok(length) => {
                        report.count(Count::Bytes, length as u64);
                        Some((Ok(piece.freeze()), Some(file)))
                    }
                    Err(error) => Some((Err(error.to_string()), None)),
                }
            }
        });
        Chunk { start: None, length: Some(size), body: Box::pin(body) }
    }

    pub(super) async fn import_manifest(
        &self,
        to: &Repository,
        digest: &Digest,
        manifest: Manifest,
        tags: Vec<Tag>,
    ) -> Result<bool, Halt> {
        let push = PushManifest {
            digest: Some(digest.clone()),
            tags,
            media_type: Some(manifest.media_type),
            body: manifest.bytes,
            precondition: Precondition::default(),
        };
        match to.put_manifest(push).await {
            Ok(_) => Ok(true),
            Err(error) => self.failed(&data(digest), error).map(|()| false),
        }
    }

    /// A fault of our own store ends the import, because it would meet everything else too; others are reported.
    pub(super) fn failed(&self, path: &str, error: RegistryError) -> Result<(), Halt> {
        match error {
            RegistryError::Storage(_) => Err(Halt::Store(error)),
            error => {
                self.problem(path, &error.to_string());
                Ok(())
            }
        }
    }
}

/// Distribution keeps no media type beside the body; where the body has none, it takes what looks like an index for one, and
/// everything else for an image.
fn parse(bytes: Bytes) -> Result<Manifest, ManifestProblem> {
    match Manifest::parse(bytes.clone(), None) {
        Err(ManifestProblem::NoMediaType) => {}
        parsed => return parsed,
    }
    match Manifest::parse(bytes.clone(), Some(media_type::OCI_INDEX)) {
        Err(ManifestProblem::Lacks(..) | ManifestProblem::Ambiguous) => {
            Manifest::parse(bytes, Some(media_type::OCI_MANIFEST))
        }
        parsed => parsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_media_type_is_taken_for_what_it_looks_like() {
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert_eq!(parse(index.into()).unwrap().media_type, media_type::OCI_INDEX);
        let config = format!(r#"{{"digest":"sha256:{}","size":1}}"#, "0a".repeat(32));
        let image = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        assert_eq!(parse(image.into()).unwrap().media_type, media_type::OCI_MANIFEST);
        let old = r#"{"schemaVersion":1,"name":"a","tag":"b"}"#;
        assert_eq!(parse(old.into()).unwrap_err(), ManifestProblem::Schema1);
    }
}
