//! How long requests take, and how fast bytes go.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use longshore_driver_sdk::{
    Condition, DriverError, Key, OpenMode, OpenUpload, Optional as _, ReadRange, Reason, Result, SignRequest,
};

use super::Skew;
use super::place::Place;

/// Of each kind.
const REQUESTS: usize = 16;
const SMALL: usize = 1024;
/// As a core marks uploads that a client sends in one request.
const MARK_EVERY: u64 = 16 * 1024 * 1024;
const URL_TTL: Duration = Duration::from_secs(60);

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Latency {
    pub name: &'static str,
    pub median: Duration,
    pub slowest: Duration,
}

/// One object, written and read.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    pub size: u64,
    /// Commit included.
    pub write: Duration,
    pub commit: Duration,
    pub read: Duration,
}

/// One after the other, as a pull or a push of a manifest asks them.
pub(super) async fn small_requests(place: &Place<'_>) -> Result<(Vec<Latency>, Option<Skew>)> {
    let driver = place.driver;
    let mut times: [Vec<Duration>; 5] = Default::default();
    let mut skew = None;
    for number in 0..REQUESTS {
        let key = place.key(&format!("small{number}"))?;
        let before = SystemTime::now();
        let written = timed(&mut times[0], put_small(place, &key)).await?;
        let after = SystemTime::now();
        let modified = timed(&mut times[1], driver.stat(&key)).await?.modified.or(written);
        timed(&mut times[2], driver.get(&key)).await?;
        timed(&mut times[3], place.objects()).await?;
        timed(&mut times[4], driver.delete(&key, None)).await?;
        if let Some(absent) = driver.stat(&key).await.optional()? {
            let message = format!("{} was deleted and is there; is there a cache in between?", absent.key);
            return Err(DriverError::new(Reason::DriverBug, message));
        }
        skew = modified.map(|modified| Skew::of(modified, before, after)).or(skew);
    }
    let names = ["put of 1 KiB", "stat", "get of 1 KiB", "list", "delete"];
    Ok((names.into_iter().zip(times).map(|(name, times)| Latency::of(name, times)).collect(), skew))
}

async fn put_small(place: &Place<'_>, key: &Key) -> Result<Option<SystemTime>> {
    let content = Bytes::from(vec![b'x'; SMALL]);
    Ok(place.driver.put(key, content, Condition::Always).await?.modified)
}

async fn timed<T>(times: &mut Vec<Duration>, call: impl Future<Output = Result<T>>) -> Result<T> {
    let begin = Instant::now();
    let outcome = call.await?;
    times.push(begin.elapsed());
    Ok(outcome)
}

impl Latency {
    fn of(name: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        Self { name, median, slowest: times.last().copied().unwrap_or_default() }
    }
}

/// As a layer goes; and the URL under which the store would serve it.
pub(super) async fn transfer(place: &Place<'_>, size: u64) -> Result<(Transfer, Option<String>)> {
    let key = place.key("large")?;
    let (write, commit) = write(place, &key, size).await?;
    let begin = Instant::now();
    let mut bytes = place.driver.read(&key, ReadRange::default()).await?.bytes;
    let mut got = 0;
    while let Some(piece) = bytes.try_next().await? {
        got += piece.len() as u64;
    }
    let read = begin.elapsed();
    if got != size {
        let message = format!("{got} of {size} bytes came back from {key}");
        return Err(DriverError::new(Reason::ShortObject, message));
    }
    Ok((Transfer { size, write, commit, read }, signed_url(place, &key).await?))
}

async fn write(place: &Place<'_>, key: &Key, size: u64) -> Result<(Duration, Duration)> {
    let driver = place.driver;
    let mode = OpenMode::Create { key: key.clone(), size_hint: Some(size), bookmark: Bytes::new() };
    let piece = noise(driver.description().limits.max_chunk as usize)?;
    let begin = Instant::now();
    let open = OpenUpload { id: place.upload.clone(), fence: place.fence(), mode };
    let (_, mut stream) = driver.open_upload(open).await?;
    let mut sent = 0;
    while sent < size {
        let next = piece.slice(..piece.len().min(usize::try_from(size - sent).unwrap_or(usize::MAX)));
        sent += next.len() as u64;
        stream.write(next).await?;
        if sent.is_multiple_of(MARK_EVERY) && sent < size {
            stream.mark(Bytes::new(), false).await?;
        }
    }
    let committing = Instant::now();
    stream.commit(size, Bytes::new()).await?;
    Ok((begin.elapsed(), committing.elapsed()))
}

/// What can't be compressed on the way.
fn noise(length: usize) -> Result<Bytes> {
    let mut bytes = vec![0; length.max(1)];
    getrandom::fill(&mut bytes).map_err(|error| {
        DriverError::new(Reason::IoError, format!("the system has no random bytes: {error}"))
    })?;
    Ok(bytes.into())
}

async fn signed_url(place: &Place<'_>, key: &Key) -> Result<Option<String>> {
    if !place.driver.description().capabilities.sign_get {
        return Ok(None);
    }
    let request =
        SignRequest { head: false, ttl: URL_TTL, content_type: "application/octet-stream".to_owned() };
    Ok(place.driver.sign(key, &request).await?.map(|signed| signed.url))
}
