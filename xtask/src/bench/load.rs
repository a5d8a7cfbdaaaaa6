//! The loads, and the data that they move.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::client::{self, REPOSITORY};
use super::sample::Sample;
use super::server::{Kind, Programs, Server};

const CLIENTS: usize = 8;
const SMALL: usize = 4096;
const SMALL_BLOBS: usize = 64;
const TAG: &str = "v1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    ManifestByTag,
    ManifestByDigest,
    SmallBlob,
    SmallPush,
    Pull1,
    Pull8,
    PushTmpfs1,
    PushTmpfs8,
    PushDisk1,
    PushDisk8,
    ColdStart,
    IdleMemory,
}

impl Load {
    pub(crate) const ALL: [Self; 12] = [
        Self::ManifestByTag,
        Self::ManifestByDigest,
        Self::SmallBlob,
        Self::SmallPush,
        Self::Pull1,
        Self::Pull8,
        Self::PushTmpfs1,
        Self::PushTmpfs8,
        Self::PushDisk1,
        Self::PushDisk8,
        Self::ColdStart,
        Self::IdleMemory,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ManifestByTag => "manifest GET by tag, 64 connections",
            Self::ManifestByDigest => "manifest GET by digest, 64 connections",
            Self::SmallBlob => "GET of a 4 KiB blob, 64 connections",
            Self::SmallPush => "push of 4 KiB blobs on disk, 8 clients",
            Self::Pull1 => "pull of a large blob, 1 client",
            Self::Pull8 => "pull of a large blob, 8 clients",
            Self::PushTmpfs1 => "push of a large blob on tmpfs, 1 client",
            Self::PushTmpfs8 => "push of large blobs on tmpfs, 8 clients",
            Self::PushDisk1 => "push of a large blob on disk, 1 client",
            Self::PushDisk8 => "push of large blobs on disk, 8 clients",
            Self::ColdStart => "cold start",
            Self::IdleMemory => "idle memory",
        }
    }

    /// nginx can't take a push.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        if self == Self::SmallPush || self.pushers() > 0 {
            &[Kind::Longshore, Kind::Distribution]
        } else {
            &[Kind::Longshore, Kind::Distribution, Kind::Nginx]
        }
    }

    /// Clients that push a large blob.
    fn pushers(self) -> usize {
        match self {
            Self::PushTmpfs1 | Self::PushDisk1 => 1,
            Self::PushTmpfs8 | Self::PushDisk8 => CLIENTS,
            _ => 0,
        }
    }

    /// Before a push.
    pub(crate) fn touch_memory(self, data: &Data, tmpfs: &Path) -> Result<(), String> {
        if self.pushers() == 0 {
            return Ok(());
        }
        touch_memory(data.size * self.pushers() as u64, tmpfs)
    }

    pub(crate) fn on_tmpfs(self) -> bool {
        matches!(self, Self::PushTmpfs1 | Self::PushTmpfs8)
    }

    /// Fills the store with what will be asked for; the server that did it is ended again.
    pub(crate) fn prepare(
        self,
        kind: Kind,
        programs: &Programs,
        data: &Data,
        store: &Path,
    ) -> Result<(), String> {
        let large = matches!(self, Self::Pull1 | Self::Pull8);
        if kind == Kind::Nginx {
            return data.lay_out(&store.join("www/v2").join(REPOSITORY), large);
        }
        if self == Self::SmallPush || self.pushers() > 0 {
            return Ok(());
        }
        let server = Server::start(kind, programs, store)?;
        let agent = client::agent();
        client::push(&agent, &server.url, REPOSITORY, &client::digest_of(b"{}"), "{}")?;
        client::push(&agent, &server.url, REPOSITORY, &data.small.1, &data.small.0[..])?;
        client::push_manifest(&agent, &server.url, TAG, &data.manifest)?;
        if large {
            let (path, digest) = &data.large[0];
            client::push(&agent, &server.url, REPOSITORY, digest, open(path)?)?;
        }
        Ok(())
    }

    pub(crate) fn run(self, server: &Server, data: &Data) -> Result<Sample, String> {
        let before = server.cpu_seconds();
        let (figure, unit, bytes) = match self {
            Self::ManifestByTag => (ask(server, &format!("manifests/{TAG}"))?, "requests/s", None),
            Self::ManifestByDigest => (
                ask(server, &format!("manifests/{}", client::digest_of(data.manifest.as_bytes())))?,
                "requests/s",
                None,
            ),
            Self::SmallBlob => (ask(server, &format!("blobs/{}", data.small.1))?, "requests/s", None),
            Self::SmallPush => (push_small(server)?, "blobs/s", None),
            Self::Pull1 => throughput(data.size, pull(server, data, 1)?, 1),
            Self::Pull8 => throughput(data.size, pull(server, data, CLIENTS)?, CLIENTS),
            Self::PushTmpfs1 | Self::PushDisk1 | Self::PushTmpfs8 | Self::PushDisk8 => {
                throughput(data.size, push(server, data, self.pushers())?, self.pushers())
            }
            Self::ColdStart => (server.start.as_secs_f64() * 1000.0, "ms", None),
            Self::IdleMemory => {
                thread::sleep(Duration::from_secs(1));
                (server.resident_mib(), "MiB", None)
            }
        };
        let cpu_seconds = server.cpu_seconds() - before;
        Ok(Sample {
            figure,
            unit,
            cpu_seconds,
            gib: bytes.map(|bytes| bytes / f64::from(1 << 30)),
            peak_mib: server.peak_mib(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn throughput(size: u64, took: Duration, clients: usize) -> (f64, &'static str, Option<f64>) {
    let bytes = size as f64 * clients as f64;
    (bytes / f64::from(1 << 20) / took.as_secs_f64(), "MiB/s", Some(bytes))
}

fn ask(server: &Server, path: &str) -> Result<f64, String> {
    client::ask_often(&format!("{}/v2/{REPOSITORY}/{path}", server.url))
}

fn pull(server: &Server, data: &Data, clients: usize) -> Result<Duration, String> {
    let digest = &data.large[0].1;
    client::at_once((0..clients).map(|_| || client::pull(&server.url, digest, data.size)).collect())
}

/// Each client pushes another blob.
fn push(server: &Server, data: &Data, clients: usize) -> Result<Duration, String> {
    let blobs = data.large.iter().take(clients);
    client::at_once(
        blobs
            .map(|(path, digest)| {
                || client::push(&client::agent(), &server.url, REPOSITORY, digest, open(path)?)
            })
            .collect(),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn push_small(server: &Server) -> Result<f64, String> {
    let jobs = (0..CLIENTS).map(|client| {
        move || {
            let agent = client::agent();
            (0..SMALL_BLOBS).try_for_each(|number| {
                let content = noise(SMALL, (client * SMALL_BLOBS + number) as u64);
                client::push(&agent, &server.url, REPOSITORY, &client::digest_of(&content), &content[..])
            })
        }
    });
    let took = client::at_once(jobs.collect())?;
    Ok((CLIENTS * SMALL_BLOBS) as f64 / took.as_secs_f64())
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))
}

/// The same bytes for every server.
pub(crate) struct Data {
    pub(crate) size: u64,
    /// Large blobs that differ in their first bytes, with their digests.
    large: Vec<(PathBuf, String)>,
    small: (Vec<u8>, String),
    manifest: String,
    directory: PathBuf,
}

impl Data {
    pub(crate) fn make(place: &Path, megabytes: u64) -> Result<Self, String> {
        let failed =
            |error: std::io::Error| format!("cannot make the data below {}: {error}", place.display());
        let directory = place.join("data");
        fs::create_dir_all(&directory).map_err(failed)?;
        let size = megabytes << 20;
        let mut large = Vec::new();
        for number in 0..CLIENTS {
            let path = directory.join(format!("blob-{number}"));
            write_blob(&path, size, u8::try_from(number).unwrap_or(0)).map_err(failed)?;
            large.push((path.clone(), client::digest_of_file(&path)?));
        }
        let small = noise(SMALL, 77);
        let digest = client::digest_of(&small);
        let manifest = manifest(&digest, SMALL);
        Ok(Self { size, large, small: (small, digest), manifest, directory })
    }

    /// As plain files, for a web server.
    fn lay_out(&self, repository: &Path, large: bool) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot lay out {}: {error}", repository.display());
        let (manifests, blobs) = (repository.join("manifests"), repository.join("blobs"));
        fs::create_dir_all(&manifests).and_then(|()| fs::create_dir_all(&blobs)).map_err(failed)?;
        fs::write(manifests.join(TAG), &self.manifest).map_err(failed)?;
        fs::write(manifests.join(client::digest_of(self.manifest.as_bytes())), &self.manifest)
            .map_err(failed)?;
        fs::write(blobs.join(&self.small.1), &self.small.0).map_err(failed)?;
        if large {
            fs::copy(&self.large[0].0, blobs.join(&self.large[0].1)).map_err(failed)?;
        }
        Ok(())
    }
}

/// Of an image with the configuration `{}` and one layer.
pub(crate) fn manifest(layer: &str, size: usize) -> String {
    format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
         \"digest\":\"{}\",\"size\":2}},\"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\
         \"digest\":\"{layer}\",\"size\":{size}}}]}}",
        client::MANIFEST_TYPE,
        client::digest_of(b"{}"),
    )
}

impl Drop for Data {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.directory);
    }
}

/// Writes as much on tmpfs, and frees it. On a virtual machine that gives free memory back to its host, the next to use
/// it pays for that: up to three times the system time.
pub(crate) fn touch_memory(bytes: u64, tmpfs: &Path) -> Result<(), String> {
    let path = tmpfs.join("touched");
    let failed = |error| format!("cannot write {}: {error}", path.display());
    fs::create_dir_all(tmpfs).map_err(failed)?;
    let touched = write_blob(&path, bytes, 0).map_err(failed);
    fs::remove_file(&path).map_err(failed).and(touched)
}

fn write_blob(path: &Path, size: u64, mark: u8) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let block = noise(1 << 20, 1);
    let mut left = size;
    while left > 0 {
        let part = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(part).unwrap_or(block.len())])?;
        left -= part;
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&[mark])
}

/// Bytes that look random and are the same every time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}
