//! What a server's refusal means in the contract's words (section E). Owns the table of statuses.

use std::time::Duration;

use longshore_driver_sdk::{DriverError, Reason};
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Where the server asks for fewer requests and does not say for how long.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Of a server's words, in a message.
const QUOTED: usize = 200;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server states that there is no such thing.
    Absent,
    /// A condition does not hold.
    Condition,
    /// Somebody else is at the same name.
    Conflict,
    /// A segment that a manifest names is not there, or another one; in the server's words.
    Segments(String),
    /// A range behind the end.
    Range,
    /// The server does not take what was sent; in its words.
    Malformed(String),
    /// The server does not know the request.
    Unknown(DriverError),
    Other(DriverError),
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// For a request after which none of the special outcomes can be.
    pub(crate) fn into_error(self, what: &str) -> DriverError {
        let say = |reason, text: &str| DriverError::new(reason, format!("{what}: {text}"));
        match self {
            Self::Absent => say(Reason::KeyNotFound, "no such object"),
            Self::Condition => say(Reason::PreconditionFailed, "the condition does not hold"),
            Self::Conflict => say(Reason::Conflict, "another request changes the same key"),
            Self::Segments(text) => {
                let text = format!("a segment is not what was sent ({text}); somebody removed or wrote it");
                say(Reason::Conflict, &text)
            }
            Self::Range => say(Reason::OffsetPastEnd, "a range behind the end"),
            Self::Malformed(text) => {
                say(Reason::DriverBug, &format!("the server does not take this request (400 {text})"))
            }
            Self::Unknown(error) | Self::Other(error) => error,
        }
    }

    /// What is worth another attempt at once.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Other(error) if error.is_transient())
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Other(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// The container is not there: no answer about an object in it means anything.
pub(crate) fn no_container(what: &str, container: &str) -> DriverError {
    DriverError::new(Reason::BackendUnavailable, format!("{what}: the container {container} {NO_CONTAINER}"))
}

pub(crate) const NO_CONTAINER: &str = "does not exist; make it, or mend `container`";

/// A manifest whose segments somebody took away.
pub(crate) fn no_segments(what: &str) -> DriverError {
    DriverError::new(Reason::ShortObject, format!("{what}: {NO_SEGMENTS}"))
}

pub(crate) const NO_SEGMENTS: &str =
    "a segment of the object is missing or not what its manifest says; somebody removed or wrote it";

/// No answer in time.
pub(crate) fn timed_out(what: &str) -> DriverError {
    DriverError::new(Reason::Timeout, format!("{what}: the Swift server did not answer in time"))
        .with_unknown_outcome()
}

/// Nothing was sent, or nothing came back. `whom`: in messages.
pub(crate) fn unsent(what: &str, whom: &str, error: &reqwest::Error) -> DriverError {
    if error.is_timeout() && !error.is_connect() {
        return timed_out(what);
    }
    let text = chain(error);
    let message = if UNTRUSTED.iter().any(|word| text.contains(word)) {
        format!("{what}: {whom}{UNTRUSTED_HINT} ({text})")
    } else {
        format!("{what}: {whom} can't be reached: {text}")
    };
    let failed = DriverError::new(Reason::BackendUnavailable, message);
    if error.is_connect() { failed } else { failed.with_unknown_outcome() }
}

pub(crate) const UNTRUSTED_HINT: &str =
    "'s certificate is signed by nobody who is trusted; name its CA with `ca_file`";
/// In the words of rustls; the second where a CA of the same name is trusted.
const UNTRUSTED: [&str; 2] = ["UnknownIssuer", "BadSignature"];

/// The causes, without what reqwest puts before them: that is the URL, which may be a secret.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let first = std::error::Error::source(error);
    let mut causes: Vec<String> =
        std::iter::successors(first, |cause| cause.source()).map(ToString::to_string).collect();
    causes.dedup();
    let telling = causes.iter().filter(|cause| !matches!(cause.as_str(), "client error (Connect)"));
    let text = telling.map(String::as_str).collect::<Vec<_>>().join(": ");
    text.chars().take(2 * QUOTED).collect()
}

/// `Retry-After` in seconds (RFC 9110 10.2.3), within reason.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// Refusals that mean one thing.
struct Row {
    statuses: &'static [u16],
    reason: Reason,
    text: &'static str,
}

const TABLE: &[Row] = &[
    Row {
        statuses: &[401],
        reason: Reason::BackendCredentials,
        text: "the server does not take the token; the user must have a role in this account",
    },
    Row { statuses: &[403], reason: Reason::BackendCredentials, text: FORBIDDEN },
    Row {
        statuses: &[408],
        reason: Reason::Timeout,
        text: "the server waited too long for what was to be sent",
    },
    Row { statuses: &[422], reason: Reason::ChecksumMismatch, text: "the bytes arrived damaged" },
    Row {
        // 498 is Swift's own, where it would have to hold a request back for too long.
        statuses: &[429, 498],
        reason: Reason::RateLimited,
        text: "the server asks for fewer requests",
    },
    Row { statuses: &[507], reason: Reason::NoSpace, text: "the server is full" },
];

const FORBIDDEN: &str = "the server refuses; the user's role or the container's ACL must allow this";
const FORBIDDEN_WRITE: &str =
    "the container is read-only for this user; the user's role or the container's write ACL must allow this";

/// A refusal, as it came.
pub(crate) struct Answer<'a> {
    pub(crate) method: &'a Method,
    pub(crate) status: u16,
    pub(crate) text: &'a str,
    pub(crate) retry_after: Option<Duration>,
}

impl Answer<'_> {
    pub(crate) fn classify(&self, what: &str) -> Failure {
        match self.status {
            400 => Failure::Malformed(plain(self.text)),
            404 => Failure::Absent,
            // Of a GET: the first segment is not what the manifest says.
            409 if *self.method == Method::GET => Failure::Other(no_segments(what)),
            409 => Failure::Conflict,
            412 => Failure::Condition,
            416 => Failure::Range,
            405 | 501 => Failure::Unknown(self.error(
                Reason::NotSupported,
                what,
                "the server does not know this request",
            )),
            _ => Failure::Other(self.other(what)),
        }
    }

    fn other(&self, what: &str) -> DriverError {
        let (reason, text) = self.meaning();
        let error = self.error(reason, what, text);
        match reason {
            Reason::RateLimited => error.with_retry_after(Some(self.retry_after.unwrap_or(PAUSE))),
            Reason::BackendUnavailable => error.with_retry_after(self.retry_after),
            _ => error,
        }
    }

    fn meaning(&self) -> (Reason, &'static str) {
        let is_write = matches!(*self.method, Method::PUT | Method::DELETE | Method::POST);
        match self.status {
            403 if is_write => (Reason::BackendCredentials, FORBIDDEN_WRITE),
            413 if self.text.to_lowercase().contains("quota") => {
                (Reason::QuotaExceeded, "a quota of the account or the container is used up")
            }
            413 => (Reason::TooLarge, "larger than the server takes; mend `segment_size`"),
            status => match TABLE.iter().find(|row| row.statuses.contains(&status)) {
                Some(row) => (row.reason, row.text),
                None if status >= 499 => (Reason::BackendUnavailable, "the server failed"),
                None => (Reason::DriverBug, "the server does not take this request"),
            },
        }
    }

    /// What Swift refuses before it looks at it did nothing; after a failure nobody knows, and it may be a proxy that gave up.
    fn error(&self, reason: Reason, what: &str, text: &str) -> DriverError {
        let error = DriverError::new(reason, format!("{what}: {text} ({})", self.quoted()));
        if self.status >= 499 { error.with_unknown_outcome() } else { error }
    }

    fn quoted(&self) -> String {
        match plain(self.text) {
            text if text.is_empty() => self.status.to_string(),
            text => format!("{} {text}", self.status),
        }
    }
}

/// A server's words on one line, without the tags of HTML.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut in_tag = false;
    for character in text.chars() {
        match character {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                plain.push(' ');
            }
            other if !in_tag => plain.push(if other.is_control() { ' ' } else { other }),
            _ => {}
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(method: &Method, status: u16, text: &str) -> DriverError {
        Answer { method, status, text, retry_after: None }.classify("GET k").into_error("GET k")
    }

    #[test]
    fn each_refusal_gets_its_reason() {
        for (status, text, expected) in [
            (401, "", Reason::BackendCredentials),
            (403, "", Reason::BackendCredentials),
            (404, "", Reason::KeyNotFound),
            (405, "", Reason::NotSupported),
            (408, "", Reason::Timeout),
            (409, "", Reason::Conflict),
            (412, "", Reason::PreconditionFailed),
            (413, "Upload exceeds quota.", Reason::QuotaExceeded),
            (413, "QuotaExceeded", Reason::QuotaExceeded),
            (413, "Your request is too large.", Reason::TooLarge),
            (416, "", Reason::OffsetPastEnd),
            (422, "", Reason::ChecksumMismatch),
            (429, "", Reason::RateLimited),
            (498, "Slow down", Reason::RateLimited),
            (499, "", Reason::BackendUnavailable),
            (500, "", Reason::BackendUnavailable),
            (503, "", Reason::BackendUnavailable),
            (507, "", Reason::NoSpace),
            (400, "", Reason::DriverBug),
        ] {
            assert_eq!(error(&Method::PUT, status, text).reason(), expected, "{status} {text}");
        }
        assert_eq!(error(&Method::GET, 409, "").reason(), Reason::ShortObject);
    }

    #[test]
    fn a_write_that_is_forbidden_says_that_the_container_may_be_read_only() {
        assert!(error(&Method::PUT, 403, "").message().contains("read-only"));
        assert!(!error(&Method::GET, 403, "").message().contains("read-only"));
    }

    #[test]
    fn only_a_server_that_failed_leaves_open_what_it_did() {
        assert!(error(&Method::PUT, 503, "").is_outcome_unknown());
        assert!(!error(&Method::PUT, 498, "").is_outcome_unknown());
        assert!(!error(&Method::PUT, 413, "").is_outcome_unknown());
    }

    #[test]
    fn a_server_that_is_too_busy_says_for_how_long_or_a_second_is_taken() {
        let busy = |status, retry_after| {
            let answer = Answer { method: &Method::GET, status, text: "", retry_after };
            answer.classify("GET k").into_error("GET k").retry_after()
        };
        assert_eq!(busy(498, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(busy(429, None), Some(PAUSE));
        assert_eq!(busy(503, None), None);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "86400".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(LONGEST_PAUSE));
    }

    #[test]
    fn a_page_of_html_is_quoted_as_one_line() {
        let page = "<html><h1>Forbidden</h1><p>Access was\ndenied.</p></html>";
        assert_eq!(plain(page), "Forbidden Access was denied.");
        assert!(error(&Method::GET, 403, page).message().ends_with("(403 Forbidden Access was denied.)"));
    }
}
