//! The requests that the driver makes of a container, by names below the prefix. Owns what goes into each, and how an answer
//! is read. What a failure means is [`crate::failure`]'s.
//!
//! Swift says 404 of an object also where the whole container is missing. So whoever is told that something is absent looks
//! at the container (rule R5), though not more often than once in [`WITNESSED`].

mod bulk;
mod listing;
mod manifest;
mod temp_url;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{DriverError, Reason, Result, UploadId};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::body::Sum;
use crate::client::{Answer, Body, Client, Request};
use crate::config::Config;
use crate::failure::{self, Failure, Outcome};
use crate::info::{Flavour, Info};
use crate::names;

pub(crate) use {bulk::BATCH, manifest::Segment};

/// Which upload session made an object: so that a commit whose answer was lost is known again.
const MADE_BY: &str = "x-object-meta-longshore-upload";
/// The last bookmark of that session, in as many values as it takes: Swift's have 256 bytes.
const BOOKMARK: [&str; 8] = [
    "x-object-meta-longshore-bookmark-0",
    "x-object-meta-longshore-bookmark-1",
    "x-object-meta-longshore-bookmark-2",
    "x-object-meta-longshore-bookmark-3",
    "x-object-meta-longshore-bookmark-4",
    "x-object-meta-longshore-bookmark-5",
    "x-object-meta-longshore-bookmark-6",
    "x-object-meta-longshore-bookmark-7",
];
const VALUE: usize = 256;
/// Of an object in segments. RGW tells the second alone where it is asked for an object as it is stored.
const IS_MANIFEST: [&str; 2] = ["x-static-large-object", "x-object-meta-static-large-object"];
/// Shows a manifest, and not what it names: RGW says 404 of the whole where its first segment is missing. It shows of a
/// manifest nothing but that there is one, and everything of an object that lies in one piece.
const AS_STORED: &str = "multipart-manifest=get";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Absence is believed for so long after the container was seen.
const WITNESSED: Duration = Duration::from_secs(1);
/// `rate_limit_under_size` of Swift's `slo`, where nobody changed it.
const RATE_LIMITED: u64 = 1024 * 1024;
/// No object ends there.
const FARTHEST: u64 = 1 << 50;

/// What the server told of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) size: u64,
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<SystemTime>,
    /// The upload session that made it. Listings do not tell.
    pub(crate) made_by: Option<String>,
    /// The bookmark that it was made with.
    pub(crate) bookmark: Option<Bytes>,
    /// Of segments. Listings tell it of RGW's only by having looked.
    pub(crate) is_manifest: bool,
}

impl Found {
    /// Whether this upload session made it.
    pub(crate) fn is_of(&self, id: &UploadId) -> bool {
        self.made_by.as_deref() == Some(id.as_str())
    }

    fn of(answer: &Answer, size: u64) -> Self {
        let text = |name| header(answer.headers(), name);
        Self {
            size,
            etag: text("etag").and_then(etag),
            modified: text("x-timestamp")
                .and_then(unix_time)
                .or_else(|| text("last-modified").and_then(http_time)),
            made_by: text(MADE_BY).map(str::to_owned),
            bookmark: bookmark(answer.headers()),
            is_manifest: IS_MANIFEST
                .into_iter()
                .filter_map(text)
                .any(|text| text.eq_ignore_ascii_case("true")),
        }
    }
}

/// An object's bytes as they come.
pub(crate) struct Got {
    pub(crate) found: Found,
    pub(crate) body: Body,
}

impl Got {
    fn of(answer: Answer) -> Self {
        Self { found: Found::of(&answer, whole_size(answer.headers())), body: answer.body() }
    }
}

/// Whether the server is to ask all its replicas for the newest (`X-Newest`). It costs a request to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Freshness {
    /// The first replica that answers: what was overwritten or deleted just now may still show.
    #[default]
    Any,
    Newest,
}

/// What goes along with an object besides its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extra<'a> {
    pub(crate) made_by: Option<&'a str>,
    /// Left out where it is too long.
    pub(crate) bookmark: Option<&'a Bytes>,
    /// The server refuses other bytes (422).
    pub(crate) md5: Option<[u8; 16]>,
    /// Not over another object ([`Failure::Condition`]), as far as the server looks: RGW does not, and Swift lets several
    /// through that come at once.
    pub(crate) only_new: bool,
}

/// A container, and what is known of its server.
pub(crate) struct Container {
    client: Client,
    name: String,
    prefix: String,
    config: Config,
    info: OnceLock<Info>,
    seen: Mutex<Option<Instant>>,
    key: temp_url::Key,
}

impl Container {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        Ok(Self {
            client: Client::open(config)?,
            name: config.container.clone(),
            prefix: config.prefix(),
            config: config.clone(),
            info: OnceLock::new(),
            seen: Mutex::new(None),
            key: temp_url::Key::default(),
        })
    }

    /// For messages: container and prefix.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.name, self.prefix)
    }

    /// What the server can do. It is asked until it has answered once.
    pub(crate) async fn info(&self) -> Result<&Info> {
        if let Some(info) = self.info.get() {
            return Ok(info);
        }
        let info = Info::read(&self.client, self.config.temp_url_digest).await?;
        Ok(self.info.get_or_init(|| info))
    }

    /// Swift's `slo` says nothing of its limit in /info, so it is taken to be the usual one.
    pub(crate) fn warn_of_small_segments(&self, info: &Info) {
        if let Some(segment_size) = self.config.segment_size
            && segment_size < RATE_LIMITED
            && info.flavour == Flavour::Swift
        {
            let message = "downloads will be slow or break off: after the tenth segment below 1 MiB, Swift reads one in a second \
                (rate_limit_under_size); mend `segment_size`";
            tracing::warn!(container = self.place(), segment_size, "{message}");
        }
    }

    /// Below the account.
    fn path_of_container(&self) -> String {
        format!("/{}", names::path(&self.name))
    }

    fn path(&self, name: &str) -> String {
        format!("/{}/{}", names::path(&self.name), names::path(&format!("{}{name}", self.prefix)))
    }

    async fn send(&self, what: &str, request: Request) -> Outcome<Answer> {
        self.client.send(what, &request).await
    }

    /// What there is, or `None`. An answer of a whole object's size, also where it is in segments.
    pub(crate) async fn stat(&self, name: &str, freshness: Freshness) -> Result<Option<Found>> {
        if_there(name, self.look(name, freshness).await)
    }

    /// The same, of what is in segments most likely.
    async fn stat_whole(&self, name: &str) -> Result<Option<Found>> {
        if_there(name, self.look_at_whole(name, Freshness::Any).await)
    }

    /// To RGW an object is looked at as it is stored first: that settles an absence, and is all there is to see of one that
    /// lies in one piece.
    async fn look(&self, name: &str, freshness: Freshness) -> Outcome<Found> {
        if self.info().await?.flavour == Flavour::Rgw {
            let stored = self.look_as_stored(name, freshness).await?;
            if !stored.is_manifest {
                return Ok(stored);
            }
        }
        self.look_at_whole(name, freshness).await
    }

    async fn look_at_whole(&self, name: &str, freshness: Freshness) -> Outcome<Found> {
        let what = format!("HEAD {name}");
        let request = fresh(Request::new(Method::HEAD, self.path(name)), freshness);
        match self.send(&what, request).await {
            Ok(answer) => Ok(Found::of(&answer, length(answer.headers()))),
            Err(failure) => Err(self.explained(&what, name, failure).await),
        }
    }

    /// Of a manifest nothing is right but that it is one, and whose.
    async fn look_as_stored(&self, name: &str, freshness: Freshness) -> Outcome<Found> {
        let what = format!("HEAD {name} as it is stored");
        let request = fresh(Request::new(Method::HEAD, self.path(name)).query(AS_STORED), freshness);
        match self.send(&what, request).await {
            Ok(answer) => Ok(Found::of(&answer, length(answer.headers()))),
            Err(failure) => Err(self.witnessed(&what, failure).await),
        }
    }

    /// Whether an object is in segments, be they there or not; `None`: there is no object.
    pub(crate) async fn is_in_segments(&self, name: &str) -> Result<Option<bool>> {
        let found = if_there(name, self.look_as_stored(name, Freshness::Newest).await)?;
        Ok(found.map(|found| found.is_manifest))
    }

    /// Bytes from an offset, at most so many; all of them without either. A range behind the end is [`Failure::Range`], and
    /// so is every range of an empty object.
    pub(crate) async fn get(
        &self,
        name: &str,
        offset: u64,
        length: Option<u64>,
        freshness: Freshness,
    ) -> Outcome<Got> {
        let what = format!("GET {name}");
        let request = fresh(Request::new(Method::GET, self.path(name)), freshness);
        match self.send(&what, ranged(request, offset, length)).await {
            Ok(answer) => Ok(Got::of(answer)),
            Err(failure) => Err(self.explained(&what, name, failure).await),
        }
    }

    /// The same, of what lies in one piece as a rule: RGW is asked for it as it is stored, which settles an absence.
    pub(crate) async fn get_piece(
        &self,
        name: &str,
        offset: u64,
        length: Option<u64>,
        freshness: Freshness,
    ) -> Outcome<Got> {
        if self.info().await?.flavour == Flavour::Rgw {
            let what = format!("GET {name} as it is stored");
            let request = fresh(Request::new(Method::GET, self.path(name)).query(AS_STORED), freshness);
            let got = match self.send(&what, ranged(request, offset, length)).await {
                Ok(answer) => Got::of(answer),
                // As it is stored, a manifest is empty.
                Err(Failure::Range) => return self.get(name, offset, length, freshness).await,
                Err(failure) => return Err(self.witnessed(&what, failure).await),
            };
            if !got.found.is_manifest {
                return Ok(got);
            }
        }
        self.get(name, offset, length, freshness).await
    }

    /// Writes an object whole.
    pub(crate) async fn put(&self, name: &str, content: Content, extra: Extra<'_>) -> Outcome<Found> {
        let what = format!("PUT {name}");
        let size = content.len();
        let mut request = Request::new(Method::PUT, self.path(name)).content(content);
        let md5 = extra.md5.map(|md5| hex(&md5));
        if let Some(md5) = md5.as_deref().and_then(|md5| HeaderValue::from_str(md5).ok()) {
            request = request.header("etag", md5);
        }
        if extra.only_new {
            request = request.header("if-none-match", HeaderValue::from_static("*"));
        }
        let answer = match self.send(&what, self.described(&what, request, extra)?).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explained_write(&what, failure)),
        };
        let etag = header(answer.headers(), "etag").and_then(etag);
        if md5.is_some() && etag.is_some() && md5 != etag {
            let message = format!("{what}: the server says that it has other bytes than were sent");
            return Err(Failure::Other(DriverError::new(Reason::ChecksumMismatch, message)));
        }
        self.saw();
        let made_by = extra.made_by.map(str::to_owned);
        let bookmark = extra.bookmark.cloned();
        Ok(Found { size, etag, modified: None, made_by, bookmark, is_manifest: false })
    }

    /// Writes an object whole, and makes sure that the server has the bytes that were sent.
    pub(crate) async fn put_summed(&self, name: &str, content: Content) -> Outcome<Found> {
        let what = format!("PUT {name}");
        let (size, sum) = (content.len(), Sum::default());
        let request = Request::new(Method::PUT, self.path(name)).content(content).summed(&sum);
        let answer = match self.send(&what, self.described(&what, request, Extra::default())?).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explained_write(&what, failure)),
        };
        let found = Found { size, ..Found::of(&answer, size) };
        if found.etag.as_deref().is_some_and(|etag| etag != hex(&sum.so_far())) {
            let message = format!("{what}: the server says that it has other bytes than were sent");
            return Err(Failure::Other(DriverError::new(Reason::ChecksumMismatch, message)));
        }
        self.saw();
        Ok(found)
    }

    /// What every object has.
    fn described(&self, what: &str, request: Request, extra: Extra<'_>) -> Outcome<Request> {
        let mut request = request.header("content-type", CONTENT_TYPE);
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| {
                DriverError::new(Reason::DriverBug, format!("{what}: {text:?} can't be a header"))
            })
        };
        if let Some(made_by) = extra.made_by {
            request = request.header(MADE_BY, value(made_by)?);
        }
        for (name, text) in extra.bookmark.map(headers_of).unwrap_or_default() {
            request = request.header(name, value(&text)?);
        }
        Ok(request)
    }

    /// Removes one object; of a manifest nothing but the manifest.
    pub(crate) async fn delete(&self, name: &str) -> Outcome<()> {
        let what = format!("DELETE {name}");
        match self.send(&what, Request::new(Method::DELETE, self.path(name))).await {
            Ok(_) => Ok(()),
            Err(Failure::Absent) => {
                self.must_be_there(&what).await?;
                Err(Failure::Absent)
            }
            Err(other) => Err(other),
        }
    }

    /// Whether the container is there: to be asked before anything in it is believed to be absent.
    async fn must_be_there(&self, what: &str) -> Result<()> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.elapsed() < WITNESSED) {
            return Ok(());
        }
        self.headers(what).await.map(drop)
    }

    fn saw(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// What the server tells of the container.
    async fn headers(&self, what: &str) -> Result<HeaderMap> {
        let request = Request::new(Method::HEAD, self.path_of_container());
        match self.send(&format!("{what}: HEAD the container {}", self.name), request).await {
            Ok(answer) => {
                self.saw();
                Ok(answer.headers().clone())
            }
            Err(Failure::Absent) => Err(failure::no_container(what, &self.name)),
            Err(other) => Err(other.into_error(what)),
        }
    }

    /// A 404 of a write is the container's.
    fn explained_write(&self, what: &str, failure: Failure) -> Failure {
        match failure {
            Failure::Absent => Failure::Other(failure::no_container(what, &self.name)),
            other => other,
        }
    }

    /// What a failed look at an object means.
    async fn explained(&self, what: &str, name: &str, failure: Failure) -> Failure {
        match self.witnessed(what, failure).await {
            Failure::Absent => {
                let checked = self.must_have_segments(what, name).await;
                checked.map_or_else(Failure::Other, |()| Failure::Absent)
            }
            other => other,
        }
    }

    /// What a failed look at an object as it is stored means.
    async fn witnessed(&self, what: &str, failure: Failure) -> Failure {
        let Failure::Absent = failure else { return failure };
        self.must_be_there(what).await.map_or_else(Failure::Other, |()| Failure::Absent)
    }

    /// RGW says 404 also of an object whose first segment is missing; as it is stored, it is there.
    async fn must_have_segments(&self, what: &str, name: &str) -> Result<()> {
        if self.info().await?.flavour != Flavour::Rgw {
            return Ok(());
        }
        let request = Request::new(Method::HEAD, self.path(name)).query(AS_STORED);
        match self.send(what, request).await {
            Ok(_) => Err(failure::no_segments(what)),
            Err(Failure::Absent) => Ok(()),
            Err(other) => Err(other.into_error(what)),
        }
    }
}

fn if_there(name: &str, outcome: Outcome<Found>) -> Result<Option<Found>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(Failure::Absent) => Ok(None),
        Err(other) => Err(other.into_error(&format!("look at {name}"))),
    }
}

fn fresh(request: Request, freshness: Freshness) -> Request {
    match freshness {
        Freshness::Any => request,
        Freshness::Newest => request.header("x-newest", HeaderValue::from_static("true")),
    }
}

fn ranged(request: Request, offset: u64, length: Option<u64>) -> Request {
    match range(offset, length).and_then(|range| HeaderValue::from_str(&range).ok()) {
        Some(range) => request.header("range", range),
        None => request,
    }
}

/// Servers count in signed numbers; a range to beyond those is one to the end.
fn range(offset: u64, length: Option<u64>) -> Option<String> {
    let last = length.map(|length| offset.saturating_add(length.saturating_sub(1)));
    match (offset, last.filter(|last| *last < FARTHEST)) {
        (0, None) => None,
        (_, None) => Some(format!("bytes={offset}-")),
        (_, Some(last)) => Some(format!("bytes={offset}-{last}")),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// None where it is too long.
fn headers_of(bookmark: &Bytes) -> Vec<(&'static str, String)> {
    let text = BASE64.encode(bookmark);
    if text.len() > BOOKMARK.len() * VALUE {
        return Vec::new();
    }
    let values = (0..text.len()).step_by(VALUE).map(|at| text[at..text.len().min(at + VALUE)].to_owned());
    BOOKMARK.into_iter().zip(values).collect()
}

fn bookmark(headers: &HeaderMap) -> Option<Bytes> {
    let text: String = BOOKMARK.iter().map_while(|name| header(headers, name)).collect();
    if text.is_empty() { None } else { BASE64.decode(text).ok().map(Bytes::from) }
}

fn length(headers: &HeaderMap) -> u64 {
    header(headers, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Of the whole object, also when a range of it was asked for (RFC 9110 14.4).
fn whole_size(headers: &HeaderMap) -> u64 {
    let total = header(headers, "content-range").and_then(|range| range.rsplit('/').next()?.parse().ok());
    total.unwrap_or_else(|| length(headers))
}

/// Without the quotes that manifests have and other objects have not.
fn etag(text: &str) -> Option<String> {
    Some(text.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
}

/// `1795668843.43661`
fn unix_time(text: &str) -> Option<SystemTime> {
    let seconds: f64 = text.trim().parse().ok()?;
    let since = Duration::try_from_secs_f64(seconds).ok().filter(|since| !since.is_zero())?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// `Thu, 26 Nov 2026 04:54:04 GMT` (RFC 9110 5.6.7)
fn http_time(text: &str) -> Option<SystemTime> {
    system_time(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

fn system_time(time: jiff::Timestamp) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from(time.as_duration()).ok()?)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_range_is_asked_for_only_where_there_is_one() {
        assert_eq!(range(0, None), None);
        assert_eq!(range(5, None).as_deref(), Some("bytes=5-"));
        assert_eq!(range(0, Some(1)).as_deref(), Some("bytes=0-0"));
        assert_eq!(range(5, Some(u64::MAX)).as_deref(), Some("bytes=5-"));
        assert_eq!(range(0, Some(u64::MAX)), None);
    }

    #[test]
    fn the_size_of_the_whole_is_read_from_an_answer_with_a_part() {
        assert_eq!(whole_size(&headers(&[("content-length", "4"), ("content-range", "bytes 3-6/10")])), 10);
        assert_eq!(whole_size(&headers(&[("content-length", "10")])), 10);
    }

    #[test]
    fn an_etag_has_no_quotes_whatever_it_came_with() {
        assert_eq!(etag("\"ae80\"").as_deref(), Some("ae80"));
        assert_eq!(etag("ae80").as_deref(), Some("ae80"));
        assert_eq!(etag("\"\""), None);
    }

    #[test]
    fn times_are_read_as_both_servers_write_them() {
        let at = |seconds, nanoseconds| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        assert_eq!(unix_time("1795668843.50000"), Some(at(1_795_668_843, 500_000_000)));
        assert_eq!(unix_time("0.00000"), None, "RGW's word for not knowing");
        assert_eq!(http_time("Thu, 26 Nov 2026 04:54:04 GMT"), Some(at(1_795_668_844, 0)));
        assert_eq!((unix_time("soon"), http_time("soon")), (None, None));
    }

    #[test]
    fn a_bookmark_comes_back_from_values_that_swift_takes() {
        for length in [1, 192, 193, 400, 1536] {
            let bytes = Bytes::from((0..length).map(|at| at as u8).collect::<Vec<u8>>());
            let pairs = headers_of(&bytes);
            assert!(pairs.iter().all(|(_, text)| text.len() <= VALUE), "{length}");
            let headers: HeaderMap =
                pairs.iter().map(|(name, text)| (name.parse().unwrap(), text.parse().unwrap())).collect();
            assert_eq!(bookmark(&headers), Some(bytes));
        }
        assert!(headers_of(&Bytes::from(vec![0; 1537])).is_empty());
        assert_eq!(bookmark(&HeaderMap::new()), None);
    }

    #[test]
    fn bytes_are_written_in_hex() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
