//! What plain HTTP requests reach: segments from memory, their manifest, then one GET. `cargo xtask bench swift` compares core
//! and driver with it. It leaves out what a store needs: digests, records, a spool.
//!
//!     http_alone CONTAINER MEBIBYTES SEGMENTS_UNTIL_THEY_DOUBLE SEGMENTS_AT_ONCE
//!
//! logs in with `ST_AUTH`, `ST_USER` and `ST_KEY`, and prints the seconds of the push and those of the pull.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_driver_sdk::sessions::parted::Schedule;
use reqwest::Response;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const OBJECT: &str = "http-alone";
const TOKEN: &str = "x-auth-token";
const USAGE: &str = "http_alone CONTAINER MEBIBYTES SEGMENTS_UNTIL_THEY_DOUBLE SEGMENTS_AT_ONCE";

#[derive(Clone)]
struct Container {
    http: reqwest::Client,
    name: String,
    url: String,
    token: String,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, size, after, at_once] = words.as_slice() else { return Err(USAGE.into()) };
    let size = size.parse::<usize>()? << 20;
    let container = Container::log_in(name).await?;
    // Every segment has other bytes, and was touched before the clock runs.
    let bytes = Bytes::from(noise(size));
    let segments = segments(&bytes, after.parse()?)?;

    let began = Instant::now();
    container.push(segments, at_once.parse()?).await?;
    let push = began.elapsed();
    drop(bytes);
    let began = Instant::now();
    let pulled = container.pull().await?;
    let pull = began.elapsed();
    if pulled != size {
        return Err(format!("{pulled} bytes came back of {size}").into());
    }
    writeln!(std::io::stdout(), "{} {}", push.as_secs_f64(), pull.as_secs_f64())?;
    Ok(())
}

/// Of the sizes that the driver makes them of.
fn segments(bytes: &Bytes, after: u32) -> Outcome<Vec<Bytes>> {
    let schedule = Schedule::doubling(u32::MAX, after, u64::MAX);
    let (mut segments, mut rest) = (Vec::new(), bytes.clone());
    while !rest.is_empty() {
        let size = schedule.size(u32::try_from(segments.len() + 1)?);
        segments.push(rest.split_to(usize::try_from(size)?.min(rest.len())));
    }
    Ok(segments)
}

impl Container {
    async fn log_in(name: &str) -> Outcome<Self> {
        // As the driver has it.
        let http = reqwest::Client::builder().http1_only().no_proxy().build()?;
        let request = http.get(std::env::var("ST_AUTH")?).header("x-auth-user", std::env::var("ST_USER")?);
        let answer = good(request.header("x-auth-key", std::env::var("ST_KEY")?).send().await?).await?;
        let (token, account) = (header(&answer, TOKEN)?, header(&answer, "x-storage-url")?);
        Ok(Self { http, name: name.to_owned(), url: format!("{account}/{name}"), token })
    }

    async fn push(&self, segments: Vec<Bytes>, at_once: usize) -> Outcome<()> {
        let sending = segments.into_iter().enumerate();
        let sending =
            sending.map(|(number, segment)| tokio::spawn(self.clone().push_segment(number, segment)));
        let sent: Vec<Value> =
            stream::iter(sending).buffered(at_once).map(|joined| joined?).try_collect().await?;
        let manifest = format!("{}/{OBJECT}?multipart-manifest=put", self.url);
        let request = self.http.put(manifest).header(TOKEN, &self.token).json(&sent);
        good(request.send().await?).await.map(drop)
    }

    /// Its line in the manifest.
    async fn push_segment(self, number: usize, segment: Bytes) -> Outcome<Value> {
        let (name, size) = (format!("{OBJECT}-{number:08}"), segment.len());
        let request = self.http.put(format!("{}/{name}", self.url)).header(TOKEN, &self.token);
        let answer = good(request.body(segment).send().await?).await?;
        let etag = header(&answer, "etag")?;
        let path = format!("/{}/{name}", self.name);
        Ok(json!({ "path": path, "etag": etag.trim_matches('"'), "size_bytes": size }))
    }

    /// Reads all of it, and keeps nothing.
    async fn pull(&self) -> Outcome<usize> {
        let request = self.http.get(format!("{}/{OBJECT}", self.url)).header(TOKEN, &self.token);
        let mut answer = good(request.send().await?).await?;
        let mut length = 0;
        while let Some(piece) = answer.chunk().await? {
            length += piece.len();
        }
        Ok(length)
    }
}

async fn good(answer: Response) -> Outcome<Response> {
    let (status, url) = (answer.status(), answer.url().clone());
    if status.is_success() {
        return Ok(answer);
    }
    Err(format!("{url} was answered with {status}: {}", answer.text().await?).into())
}

fn header(answer: &Response, name: &str) -> Outcome<String> {
    let value = answer.headers().get(name).ok_or_else(|| format!("{} told no {name}", answer.url()))?;
    Ok(value.to_str()?.to_owned())
}

/// Bytes that look random.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()
    });
    words.take(length).collect()
}
