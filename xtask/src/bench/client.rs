//! The clients of the loads: `ureq` pushes, `curl` pulls, `wrk` asks often.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use ureq::Agent;

use crate::console;

pub(crate) const REPOSITORY: &str = "bench/app";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCTETS: &str = "application/octet-stream";
const CONNECTIONS: u32 = 64;
const WRK_SECONDS: u32 = 3;

/// A client with connections of its own.
pub(crate) fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(true).proxy(None).build().into()
}

fn failed(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

/// POST, then one PUT with everything, as containerd pushes.
pub(crate) fn push(
    agent: &Agent,
    url: &str,
    repository: &str,
    digest: &str,
    body: impl ureq::AsSendBody,
) -> Result<(), String> {
    let location = begin(agent, url, repository)?;
    let put = agent.put(closing(&location, digest));
    let put = put.header("Content-Type", OCTETS).send(body);
    put.map(drop).map_err(|error| failed("PUT", error))
}

/// HEAD, POST, PATCH with everything, PUT, as docker pushes.
pub(crate) fn push_as_docker(agent: &Agent, url: &str, digest: &str, body: &[u8]) -> Result<(), String> {
    match agent.head(format!("{url}/v2/{REPOSITORY}/blobs/{digest}")).call() {
        Err(ureq::Error::StatusCode(404)) => {}
        Ok(_) => return Err(format!("{digest} is there before it was pushed")),
        Err(error) => return Err(failed("HEAD", error)),
    }
    let location = begin(agent, url, REPOSITORY)?;
    let patch = agent.patch(location).header("Content-Type", OCTETS).send(body);
    let location = location_of(&patch.map_err(|error| failed("PATCH", error))?, url)?;
    let put = agent.put(closing(&location, digest)).send_empty();
    put.map(drop).map_err(|error| failed("PUT", error))
}

fn begin(agent: &Agent, url: &str, repository: &str) -> Result<String, String> {
    let started = agent.post(format!("{url}/v2/{repository}/blobs/uploads/")).send_empty();
    location_of(&started.map_err(|error| failed("POST", error))?, url)
}

fn location_of(answer: &ureq::http::Response<ureq::Body>, url: &str) -> Result<String, String> {
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
    let location = location.ok_or("an upload without a Location")?;
    Ok(if location.starts_with('/') { format!("{url}{location}") } else { location.to_owned() })
}

fn closing(location: &str, digest: &str) -> String {
    let join = if location.contains('?') { '&' } else { '?' };
    format!("{location}{join}digest={digest}")
}

pub(crate) fn push_manifest(agent: &Agent, url: &str, reference: &str, manifest: &str) -> Result<(), String> {
    let put = agent.put(format!("{url}/v2/{REPOSITORY}/manifests/{reference}"));
    put.header("Content-Type", MANIFEST_TYPE)
        .send(manifest)
        .map(drop)
        .map_err(|error| failed("PUT manifest", error))
}

pub(crate) fn pull_manifest(agent: &Agent, url: &str, reference: &str) -> Result<String, String> {
    let get = agent.get(format!("{url}/v2/{REPOSITORY}/manifests/{reference}"));
    let mut answer = get.header("Accept", MANIFEST_TYPE).call().map_err(|error| failed("GET", error))?;
    answer.body_mut().read_to_string().map_err(|error| failed("GET", error))
}

/// Reads a blob and throws it away. By curl: client and servers share the processors, and a client that copies each byte
/// once more takes from the faster server what it can't give.
pub(crate) fn pull(url: &str, digest: &str, size: u64) -> Result<(), String> {
    pull_from(url, digest, size, None)
}

/// The same, from one of this machine's addresses, and following redirects.
pub(crate) fn pull_from(url: &str, digest: &str, size: u64, address: Option<&str>) -> Result<(), String> {
    let mut curl = Command::new("curl");
    if let Some(address) = address {
        curl.args(["--location", "--interface", address]);
    }
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--output", "/dev/null"]);
    curl.args(["--write-out", "%{size_download}", &format!("{url}/v2/{REPOSITORY}/blobs/{digest}")]);
    let output = curl.output().map_err(|error| failed("cannot start curl", error))?;
    let (received, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() && received == size.to_string() {
        return Ok(());
    }
    Err(format!("a pull ended with {} after {received} of {size} bytes: {said}", output.status))
}

/// Runs these at once; the time until the last has ended.
pub(crate) fn at_once<F>(jobs: Vec<F>) -> Result<Duration, String>
where
    F: FnOnce() -> Result<(), String> + Send,
{
    let began = Instant::now();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
        running
            .into_iter()
            .map(|job| job.join().unwrap_or_else(|_| Err("a client panicked".into())))
            .collect()
    });
    outcomes.into_iter().collect::<Result<Vec<()>, String>>()?;
    Ok(began.elapsed())
}

/// Requests a second with 64 connections; every answer must be 2xx.
pub(crate) fn ask_often(url: &str) -> Result<f64, String> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{WRK_SECONDS}")]);
    // distribution shows an OCI manifest to those alone who say that they know the type.
    wrk.args(["-H", &format!("Accept: {MANIFEST_TYPE}"), url]);
    let output = wrk.output().map_err(|error| failed("cannot start wrk", error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        console::complain(&text);
        return Err(format!("wrk was not content with {url}"));
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).ok_or_else(|| format!("wrk told no rate:\n{text}"))
}

pub(crate) fn digest_of_file(path: &Path) -> Result<String, String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(|error| failed("cannot open data", error))?;
    io::copy(&mut file, &mut HashWriter(&mut hash)).map_err(|error| failed("cannot read data", error))?;
    Ok(hex(&hash.finalize()))
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(hash: &[u8]) -> String {
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
