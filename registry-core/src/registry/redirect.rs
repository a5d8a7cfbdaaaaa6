//! Blobs that the store serves itself, past the core: which, to whom, and how their URL is had of the driver (contract
//! clause O12). Owns that a failure here costs a client no more than [`PATIENCE`]: it is served by the core instead.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use longshore_driver_sdk::{DriverError, Object, Reason, SignRequest, SignedUrl};

use super::Repository;
use crate::storage::advice::next_step;

/// A URL is computed, as a rule; waiting longer for it than this is worse than to serve the bytes.
const PATIENCE: Duration = Duration::from_secs(1);
/// After a URL that came too late none is asked for: not every pull shall begin with a wait.
const REST: Duration = Duration::from_secs(10);
/// Between two warnings; what fails meanwhile is told to those who debug.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Which blobs, for whom, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Smaller blobs are served by the core.
    pub min_size: u64,
    /// The clients that reach the store; none named: all do.
    pub networks: Vec<IpNet>,
    /// How long a URL is good for.
    pub ttl: Duration,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            // A redirect costs a call of the driver and the client a request more, often on a connection that has yet to
            // be made: a configuration or a small layer is there before.
            min_size: 1024 * 1024,
            networks: Vec::new(),
            // A URL is needed until its request begins; it outlives the client's right to the blob.
            ttl: Duration::from_secs(600),
        }
    }
}

impl Redirect {
    /// Whether this client may be sent away by a driver that `signs`. Who comes over a unix socket has no address.
    fn admits(&self, client: Option<IpAddr>, signs: bool) -> bool {
        let within = |ip: IpAddr| self.networks.iter().any(|network| network.contains(&ip.to_canonical()));
        signs && (self.networks.is_empty() || client.is_some_and(within))
    }

    fn is_worth_it(&self, size: u64) -> bool {
        size >= self.min_size
    }
}

/// What came of asking for a URL.
#[derive(Clone, PartialEq, Eq)]
pub enum Signing {
    /// Good for a request without credentials: never to be logged.
    Url(String),
    /// The driver has none for this blob.
    NoUrl,
    Failed,
    /// There was none in time, or none in time a moment ago.
    Late,
}

impl Signing {
    /// As metrics have it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Url(_) => "redirected",
            Self::NoUrl => "no_url",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

/// The redirects of one store.
#[derive(Debug)]
pub(super) struct Redirects {
    rule: Redirect,
    trouble: Mutex<Trouble>,
}

/// What went wrong, and when.
#[derive(Debug, Default)]
struct Trouble {
    late: Option<Instant>,
    warned: Option<Instant>,
}

impl Trouble {
    fn rests(&self, now: Instant) -> bool {
        self.late.is_some_and(|late| now < late + REST)
    }

    /// Whether a warning is due, which the caller then gives.
    fn take_warning(&mut self, now: Instant) -> bool {
        let due = self.warned.is_none_or(|warned| now >= warned + WARN_EVERY);
        if due {
            self.warned = Some(now);
        }
        due
    }
}

impl Redirects {
    pub(super) fn new(rule: Redirect) -> Self {
        Self { rule, trouble: Mutex::default() }
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repository {
    /// The storage that it lives in.
    pub fn storage(&self) -> &str {
        self.store.name()
    }

    /// Whether this client's downloads may be left to the store; what is asked for is not looked at yet.
    pub fn redirects(&self, client: Option<IpAddr>) -> bool {
        let signs = || self.store.driver().description().capabilities.sign_get;
        self.store.redirects().is_some_and(|redirects| redirects.rule.admits(client, signs()))
    }

    /// The URL under which the store serves a blob that was found here. `None`: the core had better do so.
    pub async fn sign_blob(&self, blob: &Object) -> Option<Signing> {
        let redirects = self.store.redirects()?;
        if !redirects.rule.is_worth_it(blob.size) {
            return None;
        }
        if redirects.trouble().rests(Instant::now()) {
            return Some(Signing::Late);
        }
        let wish = SignRequest {
            head: false,
            ttl: redirects.rule.ttl,
            content_type: "application/octet-stream".to_owned(),
        };
        let Ok(signed) = tokio::time::timeout(PATIENCE, self.store.driver().sign(&blob.key, &wish)).await
        else {
            redirects.trouble().late = Some(Instant::now());
            self.report(&DriverError::new(
                Reason::Timeout,
                format!("no URL within {} s", PATIENCE.as_secs()),
            ));
            return Some(Signing::Late);
        };
        Some(self.judge(signed))
    }

    fn judge(&self, signed: longshore_driver_sdk::Result<Option<SignedUrl>>) -> Signing {
        match signed {
            Ok(Some(signed)) if is_for_clients(&signed.url) => Signing::Url(signed.url),
            Ok(Some(_)) => {
                self.report(&DriverError::new(Reason::DriverBug, "a URL that no client may be given"));
                Signing::Failed
            }
            Ok(None) => Signing::NoUrl,
            // Of an absent key the read has more to say: it was deleted a moment ago.
            Err(error) if matches!(error.reason(), Reason::NotSupported | Reason::KeyNotFound) => {
                Signing::NoUrl
            }
            Err(error) => {
                self.report(&error);
                Signing::Failed
            }
        }
    }

    fn report(&self, error: &DriverError) {
        let due =
            self.store.redirects().is_some_and(|redirects| redirects.trouble().take_warning(Instant::now()));
        let (storage, next) = (self.store.name(), next_step(error.reason()));
        if due {
            tracing::warn!(storage, %error, next, "no redirect to the store: blobs are served by the core");
        } else {
            tracing::debug!(storage, %error, "no redirect to the store");
        }
    }
}

/// An absolute URL of HTTP that a header can hold, and without a name or password in it: O12 speaks of a URL that needs no
/// credentials, and those of the store are no client's business.
fn is_for_clients(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(networks: &[&str]) -> Redirect {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Redirect { networks, ..Redirect::default() }
    }

    #[test]
    fn a_client_is_sent_away_from_the_networks_that_are_named_or_from_everywhere() {
        let named = rule(&["10.0.0.0/8", "2001:db8::/32"]);
        let inside = ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"];
        let outside = ["11.0.0.1", "::1", "127.0.0.1"];
        for (client, admitted) in inside.map(|ip| (ip, true)).into_iter().chain(outside.map(|ip| (ip, false)))
        {
            let client = Some(client.parse().unwrap());
            assert_eq!(named.admits(client, true), admitted, "{client:?}");
            assert!(rule(&[]).admits(client, true), "{client:?}");
            assert!(!rule(&[]).admits(client, false), "a driver that does not sign");
        }
        assert!(rule(&[]).admits(None, true), "a unix socket is in no network, and everywhere");
        assert!(!named.admits(None, true));
    }

    #[test]
    fn a_small_blob_is_not_worth_a_redirect() {
        let rule = Redirect::default();
        assert!(!rule.is_worth_it(0) && !rule.is_worth_it(1024 * 1024 - 1));
        assert!(rule.is_worth_it(1024 * 1024) && rule.is_worth_it(u64::MAX));
        assert!(Redirect { min_size: 0, ..rule }.is_worth_it(0));
    }

    #[test]
    fn only_a_plain_url_is_given_to_clients() {
        for url in ["https://store/a?X-Amz-Signature=1", "http://127.0.0.1:9000/b%20c", "https://store"] {
            assert!(is_for_clients(url), "{url}");
        }
        for url in [
            "",
            "/a",
            "ftp://store/a",
            "https://",
            "https:///a",
            "https://user:secret@store/a",
            "https://store/a b",
            "https://store/a\r\nSet-Cookie: x",
            "https://store/\u{e9}",
        ] {
            assert!(!is_for_clients(url), "{url}");
        }
        assert!(is_for_clients("https://store/a@b"), "an @ behind the host is a character like others");
    }

    #[test]
    fn after_a_late_url_there_is_a_rest_and_one_warning_a_minute() {
        let (mut trouble, begin) = (Trouble::default(), Instant::now());
        assert!(!trouble.rests(begin));
        trouble.late = Some(begin);
        assert!(trouble.rests(begin) && trouble.rests(begin + REST - Duration::from_millis(1)));
        assert!(!trouble.rests(begin + REST));
        assert!(trouble.take_warning(begin));
        assert!(!trouble.take_warning(begin + WARN_EVERY - Duration::from_millis(1)));
        assert!(trouble.take_warning(begin + WARN_EVERY));
    }
}
