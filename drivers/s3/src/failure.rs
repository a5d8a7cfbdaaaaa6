//! What a server's refusal means in the contract's words (section E). Owns the table of error codes.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use longshore_driver_sdk::{DriverError, Reason};

/// Where the server asks for fewer requests and does not say for how long.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server states that there is no such object.
    Absent,
    /// The server states that there is no such multipart upload.
    NoUpload,
    /// A condition does not hold.
    Condition,
    /// Somebody else is at the same key.
    Conflict,
    /// A part that a completion names is not there, or another one.
    Parts,
    /// A range behind the end.
    Range,
    /// The server does not know the request.
    Unknown(DriverError),
    Other(DriverError),
}

impl Failure {
    /// The server does not take who asks.
    pub(crate) fn is_about_credentials(&self) -> bool {
        matches!(self, Self::Other(error) if error.reason() == Reason::BackendCredentials)
    }

    /// For a request after which none of the special outcomes can be.
    pub(crate) fn into_error(self, what: &str) -> DriverError {
        let say = |reason, text: &str| DriverError::new(reason, format!("{what}: {text}"));
        match self {
            Self::Absent => say(Reason::KeyNotFound, "no such object"),
            Self::NoUpload => say(Reason::Conflict, "the multipart upload is gone; somebody ended it"),
            Self::Condition => say(Reason::PreconditionFailed, "the condition does not hold"),
            Self::Conflict => say(Reason::Conflict, "another request changes the same key"),
            Self::Parts => say(Reason::Conflict, "a part is not what was sent; somebody else wrote it"),
            Self::Range => say(Reason::OffsetPastEnd, "a range behind the end"),
            Self::Unknown(error) | Self::Other(error) => error,
        }
    }
}

/// Classifies what the SDK says of a request; `what` names it and its key.
pub(crate) fn of<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let (response, failure) = (service.raw(), service.err());
            let answer = Answer {
                status: response.status().as_u16(),
                code: failure.code().unwrap_or_default(),
                message: failure.message().unwrap_or_default(),
                retry_after: retry_after(response),
                region: response
                    .headers()
                    .get("x-amz-bucket-region")
                    .or_else(|| expected_region(failure.message()?)),
            };
            answer.classify(what)
        }
        SdkError::TimeoutError(_) => Failure::Other(timed_out(what)),
        SdkError::ConstructionFailure(_) => Failure::Other(DriverError::new(
            Reason::BackendCredentials,
            format!("{what}: the request can't be made: {}", chain(error)),
        )),
        _ => Failure::Other(unsent(what, error).with_unknown_outcome()),
    }
}

/// No answer in time.
pub(crate) fn timed_out(what: &str) -> DriverError {
    DriverError::new(Reason::Timeout, format!("{what}: the S3 server did not answer in time"))
        .with_unknown_outcome()
}

/// Classifies what a batch says of one of its keys, which has no status of its own.
pub(crate) fn of_one(what: &str, code: &str, message: &str) -> Failure {
    let status = if code == "AccessDenied" { 403 } else { 500 };
    Answer { status, code, message, retry_after: None, region: None }.classify(what)
}

/// Nothing was sent, or nothing came back.
fn unsent<E: std::error::Error + 'static>(what: &str, error: &E) -> DriverError {
    let text = chain(error);
    // The SDK reports missing credentials as a failed dispatch.
    if causes(error).any(<dyn std::error::Error>::is::<CredentialsError>) {
        let message = format!("{what}: {NO_CREDENTIALS} ({text})");
        return DriverError::new(Reason::BackendCredentials, message);
    }
    let message = if UNTRUSTED.iter().any(|word| text.contains(word)) {
        format!("{what}: {UNTRUSTED_HINT} ({text})")
    } else {
        format!("{what}: the S3 server can't be reached: {text}")
    };
    DriverError::new(Reason::BackendUnavailable, message)
}

const NO_CREDENTIALS: &str = "there are no credentials; mend or renew the credentials";
const UNTRUSTED_HINT: &str =
    "the S3 server's certificate is signed by nobody who is trusted; name its CA with `ca_file`";
/// In the words of rustls; the second where a CA of the same name is trusted.
const UNTRUSTED: [&str; 2] = ["UnknownIssuer", "BadSignature"];

fn causes<E: std::error::Error>(error: &E) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| cause.source())
}

/// The causes, without those that say nothing.
fn chain<E: std::error::Error>(error: &E) -> String {
    let mut causes: Vec<String> = causes(error).map(ToString::to_string).collect();
    causes.dedup();
    let telling = causes.iter().filter(|cause| !matches!(cause.as_str(), "dispatch failure" | "io error"));
    let text = telling.map(String::as_str).collect::<Vec<_>>().join(": ");
    text.chars().take(400).collect()
}

fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(Duration::from_secs(60)))
}

/// From `... the region 'A' is wrong; expecting 'B'`: not every answer has the header.
fn expected_region(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("is wrong; expecting ")?;
    rest.split(['\'', '"']).find(|text| !text.is_empty())
}

/// Refusals that mean one thing, by their codes or, where a server sends none, by their status.
struct Row {
    codes: &'static [&'static str],
    statuses: &'static [u16],
    reason: Reason,
    text: &'static str,
}

const NO_KMS_KEY: &str = "KMS.NotFoundException";

const TABLE: &[Row] = &[
    Row {
        codes: &["NoSuchBucket"],
        statuses: &[],
        reason: Reason::BackendUnavailable,
        text: "the bucket does not exist; make it, or mend `bucket`",
    },
    Row {
        codes: &[
            "SlowDown",
            "SlowDownRead",
            "SlowDownWrite",
            "TooManyRequests",
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "ServiceUnavailable",
            "XMinioServerBusy",
        ],
        statuses: &[429, 503],
        reason: Reason::RateLimited,
        text: "the server asks for fewer requests",
    },
    Row {
        codes: &["RequestTimeTooSkewed"],
        statuses: &[],
        reason: Reason::BackendCredentials,
        text: "this machine's clock and the server's differ too much; mend the clock",
    },
    Row {
        codes: &["ExpiredToken", "TokenRefreshRequired", "InvalidToken", "ExpiredTokenException"],
        statuses: &[],
        reason: Reason::BackendCredentials,
        text: "the session's token is bad or has expired; renew the credentials",
    },
    Row {
        codes: &["InvalidAccessKeyId", "XAdminUserNotFound"],
        statuses: &[],
        reason: Reason::BackendCredentials,
        text: "the server does not know the access key; mend the credentials",
    },
    Row {
        codes: &["SignatureDoesNotMatch"],
        statuses: &[],
        reason: Reason::BackendCredentials,
        text: "the secret key does not fit the access key; mend the credentials",
    },
    Row {
        codes: &["AccessDenied", "AllAccessDisabled", "Forbidden"],
        statuses: &[401, 403],
        reason: Reason::BackendCredentials,
        text: "the server refuses; the policy must allow this",
    },
    Row {
        codes: &[
            "PermanentRedirect",
            "TemporaryRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ],
        statuses: &[301, 307],
        reason: Reason::BackendUnavailable,
        text: "the bucket is in another region; mend `region`",
    },
    Row {
        codes: &[NO_KMS_KEY, "KMS.DisabledException", "KMS.KMSInvalidStateException"],
        statuses: &[],
        reason: Reason::BackendUnavailable,
        text: "the server can't use this key of KMS; mend `sse_kms_key`",
    },
    Row {
        // RGW says no more of a storage class that it has not.
        codes: &["InvalidArgument"],
        statuses: &[],
        reason: Reason::NotSupported,
        text: "the server does not take an argument; mend `storage_class` and `sse`",
    },
    Row {
        codes: &["InvalidStorageClass"],
        statuses: &[],
        reason: Reason::BackendUnavailable,
        text: "the server has no such storage class; mend `storage_class`",
    },
    Row {
        codes: &["QuotaExceeded", "XMinioAdminBucketQuotaExceeded"],
        statuses: &[],
        reason: Reason::QuotaExceeded,
        text: "a quota of the server is used up",
    },
    Row {
        codes: &["InsufficientStorage", "XMinioStorageFull"],
        statuses: &[507],
        reason: Reason::NoSpace,
        text: "the server is full",
    },
    Row {
        codes: &["BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest"],
        statuses: &[],
        reason: Reason::ChecksumMismatch,
        text: "the bytes arrived damaged",
    },
    Row {
        codes: &[
            "ObjectParentIsFile",
            "ExistingObjectIsDirectory",
            "XMinioParentIsObject",
            "XMinioObjectExistsAsDirectory",
        ],
        statuses: &[],
        reason: Reason::KeyConflict,
        text: "this server can't keep an object and a folder of one name",
    },
    Row {
        codes: &["KeyTooLongError", "InvalidObjectName"],
        statuses: &[],
        reason: Reason::InvalidKey,
        text: "the key and the prefix are too long together",
    },
];

/// A refusal, as it came.
struct Answer<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    retry_after: Option<Duration>,
    region: Option<&'a str>,
}

impl Answer<'_> {
    fn classify(&self, what: &str) -> Failure {
        match (self.code, self.status) {
            ("NoSuchKey", _) => Failure::Absent,
            ("NoSuchUpload", _) => Failure::NoUpload,
            ("InvalidPart" | "InvalidPartOrder", _) => Failure::Parts,
            ("InvalidRange", _) | (_, 416) => Failure::Range,
            ("PreconditionFailed", _) | (_, 412) => Failure::Condition,
            ("ConditionalRequestConflict" | "OperationAborted", _) => Failure::Conflict,
            ("NotImplemented" | "MethodNotAllowed", _) | (_, 501) => Failure::Unknown(self.error(
                Reason::NotSupported,
                what,
                "the server does not know this request",
            )),
            _ => Failure::Other(self.other(what)),
        }
    }

    fn other(&self, what: &str) -> DriverError {
        // RGW calls it an unknown access key.
        let code = if self.message.contains("kms-keyid") { NO_KMS_KEY } else { self.code };
        let by_code = TABLE.iter().find(|row| row.codes.contains(&code));
        let by_status = || TABLE.iter().find(|row| row.statuses.contains(&self.status));
        let (reason, text) = match by_code.or_else(by_status) {
            Some(row) => (row.reason, row.text),
            None if self.status >= 500 => (Reason::BackendUnavailable, "the server failed"),
            None => (Reason::DriverBug, "the server does not take this request"),
        };
        let error = match (self.status, self.region) {
            (301 | 307 | 400, Some(region)) => {
                self.error(reason, what, &format!("{text}: set region={region}"))
            }
            _ => self.error(reason, what, text),
        };
        match reason {
            Reason::RateLimited => error.with_retry_after(Some(self.retry_after.unwrap_or(PAUSE))),
            _ => error,
        }
    }

    /// A server that says by a code that it is too busy did nothing; a status alone may come from a proxy that gave up.
    fn error(&self, reason: Reason, what: &str, text: &str) -> DriverError {
        let error = DriverError::new(reason, format!("{what}: {text} ({})", self.quoted()));
        let is_certain = reason == Reason::RateLimited && !self.code.is_empty();
        if self.status >= 500 && !is_certain { error.with_unknown_outcome() } else { error }
    }

    fn quoted(&self) -> String {
        let message: String = self.message.chars().take(200).collect();
        match (self.code, message.as_str()) {
            ("", "") => format!("{}", self.status),
            (code, "") => format!("{} {code}", self.status),
            (code, message) => format!("{} {code}: {message}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, code: &str) -> Reason {
        let answer = Answer { status, code, message: "m", retry_after: None, region: None };
        answer.classify("GET k").into_error("GET k").reason()
    }

    #[test]
    fn each_refusal_gets_its_reason() {
        for (status, code, expected) in [
            (404, "NoSuchKey", Reason::KeyNotFound),
            (404, "NoSuchBucket", Reason::BackendUnavailable),
            (404, "", Reason::DriverBug),
            (403, "AccessDenied", Reason::BackendCredentials),
            (403, "", Reason::BackendCredentials),
            (403, "RequestTimeTooSkewed", Reason::BackendCredentials),
            (400, "ExpiredToken", Reason::BackendCredentials),
            (400, "KMS.NotFoundException", Reason::BackendUnavailable),
            (400, "InvalidStorageClass", Reason::BackendUnavailable),
            (301, "PermanentRedirect", Reason::BackendUnavailable),
            (503, "SlowDown", Reason::RateLimited),
            (503, "", Reason::RateLimited),
            (429, "", Reason::RateLimited),
            (500, "InternalError", Reason::BackendUnavailable),
            (507, "", Reason::NoSpace),
            (412, "PreconditionFailed", Reason::PreconditionFailed),
            (409, "ConditionalRequestConflict", Reason::Conflict),
            (501, "NotImplemented", Reason::NotSupported),
            (400, "BadDigest", Reason::ChecksumMismatch),
        ] {
            assert_eq!(reason(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn the_documentation_has_each_line_that_an_operator_mends() {
        let table = include_str!("../../../docs/drivers/s3.md");
        let mended = TABLE.iter().filter(|row| {
            row.text.contains("mend") || row.text.contains("renew") || row.reason == Reason::RateLimited
        });
        for row in mended {
            let line = format!("| {}: ... {}", row.reason.as_str(), row.text);
            assert!(table.contains(&line), "{line}");
        }
        for text in [NO_CREDENTIALS, UNTRUSTED_HINT] {
            assert!(table.contains(text), "{text}");
        }
    }

    #[test]
    fn a_region_is_found_in_the_words_of_the_server() {
        for quote in ['\'', '"'] {
            let message = format!("the region {quote}a{quote} is wrong; expecting {quote}eu-west-1{quote}");
            assert_eq!(expected_region(&message), Some("eu-west-1"));
        }
        assert_eq!(expected_region("Access Denied"), None);
    }

    #[test]
    fn what_a_busy_server_names_by_a_code_had_no_effect() {
        let busy = |code| {
            let answer = Answer { status: 503, code, message: "", retry_after: None, region: None };
            answer.classify("PUT k").into_error("PUT k").is_outcome_unknown()
        };
        assert!(!busy("SlowDown"));
        assert!(busy(""), "a proxy that gave up knows nothing of what the server did");
    }

    #[test]
    fn a_wrong_region_is_named_with_the_right_one() {
        let answer = Answer {
            status: 301,
            code: "PermanentRedirect",
            message: "",
            retry_after: None,
            region: Some("eu-west-1"),
        };
        let error = answer.classify("GET k").into_error("GET k");
        assert!(error.message().contains("region=eu-west-1"), "{error}");
    }

    #[test]
    fn a_server_that_is_too_busy_says_for_how_long_or_a_second_is_taken() {
        let busy = |retry_after| {
            let answer = Answer { status: 503, code: "SlowDown", message: "", retry_after, region: None };
            answer.classify("GET k").into_error("GET k").retry_after()
        };
        assert_eq!(busy(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(busy(None), Some(PAUSE));
    }
}
