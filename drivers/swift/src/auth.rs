//! Who the driver is to the server: a token, and where the account is. Owns when another token is asked for, so that one
//! is there before the last ends, and one that was revoked is replaced; a token that is still good is used meanwhile.

pub(crate) mod keystone;
pub(crate) mod v1;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use longshore_driver_sdk::{DriverError, Reason, Result};
use reqwest::header::HeaderValue;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::config::{AuthVersion, Config};

/// A token is renewed so long before its end, or when a quarter of its life is left, if that is shorter.
const EARLY: Duration = Duration::from_secs(60);
/// After a login that failed, and after one that gave a token that is refused.
const AGAIN: Duration = Duration::from_secs(2);
/// After one that was refused: nobody should be locked out by the driver's attempts.
const AGAIN_REFUSED: Duration = Duration::from_secs(5);
/// What a request waits for a token: less than it may take itself.
const WAIT: Duration = Duration::from_secs(2);
/// A login may take longer; who asks next finds what came of it.
const LOGIN: Duration = Duration::from_secs(10);

/// What a login gave.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    /// The account, without a slash at the end.
    pub(crate) storage_url: String,
    pub(crate) token: HeaderValue,
    /// `None`: nobody said so (RGW with v1).
    pub(crate) lifetime: Option<Duration>,
}

impl Granted {
    pub(crate) fn new(storage_url: &str, token: &str, lifetime: Option<Duration>) -> Result<Self> {
        let is_web = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.query().is_none();
        if !reqwest::Url::parse(storage_url).as_ref().is_ok_and(is_web) {
            let message = format!("the login names the storage URL {storage_url:?}; set storage_url instead");
            return Err(DriverError::new(Reason::BackendUnavailable, message));
        }
        let mut token = HeaderValue::from_str(token).map_err(|_| {
            DriverError::new(Reason::BackendCredentials, "the token has characters that no header takes")
        })?;
        token.set_sensitive(true);
        Ok(Self { storage_url: storage_url.trim_end_matches('/').to_owned(), token, lifetime })
    }
}

/// What requests are made with.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) storage_url: Arc<str>,
    pub(crate) token: HeaderValue,
    since: Instant,
    renew: Option<Instant>,
    ends: Option<Instant>,
}

impl Access {
    /// Counted from when it came, by this machine's own clock: no clock has to agree with another.
    fn new(granted: Granted, now: Instant) -> Self {
        let lifetime = granted.lifetime;
        Self {
            storage_url: granted.storage_url.into(),
            token: granted.token,
            since: now,
            renew: lifetime.map(|lifetime| now + lifetime - EARLY.min(lifetime / 4)),
            ends: lifetime.map(|lifetime| now + lifetime),
        }
    }
}

type LogIn = Box<dyn Fn() -> BoxFuture<'static, Result<Granted>> + Send + Sync>;

/// The token as it is now. Clones share it.
#[derive(Clone)]
pub(crate) struct Current(Arc<Inner>);

struct Inner {
    log_in: LogIn,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    /// The server did not take it.
    refused: bool,
    logging_in: bool,
    /// Of the last login, and when it ended.
    failure: Option<(DriverError, Instant)>,
}

enum Step {
    Use(Access),
    Wait,
    Fail(DriverError),
}

impl State {
    fn usable(&self, now: Instant) -> Option<&Access> {
        self.access.as_ref().filter(|access| {
            let is_over = access.ends.is_some_and(|ends| ends <= now);
            !is_over && !self.must_be_replaced(access, now)
        })
    }

    /// One that is refused as soon as it came would be refused again.
    fn must_be_replaced(&self, access: &Access, now: Instant) -> bool {
        self.refused && now.duration_since(access.since) >= AGAIN
    }

    fn is_due(&self, now: Instant) -> bool {
        self.usable(now).is_none_or(|access| access.renew.is_some_and(|renew| renew <= now))
    }

    fn may_log_in(&self, now: Instant) -> bool {
        let pause = |error: &DriverError| match error.reason() {
            Reason::BackendCredentials | Reason::RequestNotUnderstood => AGAIN_REFUSED,
            _ => AGAIN,
        };
        let waits =
            self.failure.as_ref().is_some_and(|(error, ended)| now.duration_since(*ended) < pause(error));
        !self.logging_in && !waits
    }

    fn step(&self, now: Instant) -> Step {
        match (self.usable(now), &self.failure) {
            (Some(access), _) => Step::Use(access.clone()),
            (None, Some((error, _))) if !self.logging_in => Step::Fail(error.clone()),
            (None, _) => Step::Wait,
        }
    }
}

impl Current {
    pub(crate) fn new(http: &reqwest::Client, config: &Config) -> Result<Self> {
        let log_in: LogIn = match (config.version(), &config.auth_url) {
            (Some(AuthVersion::V1), Some(url)) => {
                let login = Arc::new(v1::Login::new(http, config, url)?);
                Box::new(move || {
                    let login = Arc::clone(&login);
                    Box::pin(async move { login.run().await })
                })
            }
            (Some(AuthVersion::Keystone), Some(url)) => {
                let login = Arc::new(keystone::Login::new(http, config, url)?);
                Box::new(move || {
                    let login = Arc::clone(&login);
                    Box::pin(async move { login.run().await })
                })
            }
            _ => {
                let url = config.storage_url.clone().unwrap_or_default();
                let token = config.token.as_ref().map(|token| token.reveal().to_owned()).unwrap_or_default();
                let granted = Granted::new(&url, &token, None)?;
                Box::new(move || Box::pin(std::future::ready(Ok(granted.clone()))))
            }
        };
        Ok(Self::of(log_in))
    }

    fn of(log_in: LogIn) -> Self {
        Self(Arc::new(Inner { log_in, state: watch::Sender::new(State::default()) }))
    }

    /// A token that is good as far as is known. Waits only where there is none.
    pub(crate) async fn provide(&self) -> Result<Access> {
        let mut changes = self.0.state.subscribe();
        let provided = async {
            loop {
                match self.step() {
                    Step::Use(access) => return Ok(access),
                    Step::Fail(error) => return Err(error),
                    // The other end lives as long as `self` does.
                    Step::Wait => drop(changes.changed().await),
                }
            }
        };
        timeout(WAIT, provided).await.unwrap_or_else(|_| Err(late()))
    }

    /// The server does not take it: the next request looks for another, unless somebody has it already.
    pub(crate) fn refused(&self, access: &Access) {
        self.0.state.send_modify(|state| {
            state.refused |= state.access.as_ref().is_some_and(|now| now.token == access.token);
        });
    }

    fn step(&self) -> Step {
        let now = Instant::now();
        let (mut step, mut begins) = (Step::Wait, false);
        self.0.state.send_if_modified(|state| {
            begins = state.is_due(now) && state.may_log_in(now);
            state.logging_in |= begins;
            step = state.step(now);
            false
        });
        if begins {
            // A request may give up sooner than a slow login ends.
            tokio::spawn(self.clone().log_in());
        }
        step
    }

    async fn log_in(self) {
        let outcome = timeout(LOGIN, (self.0.log_in)()).await.unwrap_or_else(|_| Err(late()));
        let now = Instant::now();
        self.0.state.send_modify(|state| {
            state.logging_in = false;
            match outcome {
                Ok(granted) => {
                    state.access = Some(Access::new(granted, now));
                    state.refused = false;
                    state.failure = None;
                }
                Err(error) => {
                    if state.usable(now).is_some() {
                        tracing::warn!(%error, "no new token; the old one is used while it lasts");
                    } else {
                        tracing::warn!(%error, "no token, and no request without one");
                    }
                    state.failure = Some((error, now));
                }
            }
        });
    }
}

fn late() -> DriverError {
    DriverError::new(Reason::BackendUnavailable, "log in: there is no token yet; the login takes long")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Logins that end as told, each after a while.
    struct Script {
        current: Current,
        logins: Arc<AtomicUsize>,
        next: Arc<Mutex<Result<u64>>>,
    }

    const TAKES: Duration = Duration::from_millis(500);

    impl Script {
        fn new(lifetime: u64) -> Self {
            let (logins, next) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Ok(lifetime))));
            let (count, ends) = (Arc::clone(&logins), Arc::clone(&next));
            let current = Current::of(Box::new(move || {
                let (count, ends) = (Arc::clone(&count), Arc::clone(&ends));
                Box::pin(async move {
                    tokio::time::sleep(TAKES).await;
                    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                    let lifetime = ends.lock().unwrap().clone()?;
                    Granted::new("http://s/v1/a/", &format!("t{number}"), Some(Duration::from_secs(lifetime)))
                })
            }));
            Self { current, logins, next }
        }

        async fn token(&self) -> String {
            self.current.provide().await.unwrap().token.to_str().unwrap().to_owned()
        }

        fn fails(&self, reason: Reason) {
            *self.next.lock().unwrap() = Err(DriverError::new(reason, "told so"));
        }
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_share_one_login() {
        let script = Script::new(3600);
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let current = script.current.clone();
                tokio::spawn(async move { current.provide().await.unwrap().storage_url })
            })
            .collect();
        for request in requests {
            assert_eq!(&*request.await.unwrap(), "http://s/v1/a");
        }
        assert_eq!(script.logins.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_its_end_and_nobody_waits_for_that() {
        let script = Script::new(3600);
        assert_eq!(script.token().await, "t1");
        pass(3600 - 61).await;
        assert_eq!(script.token().await, "t1");
        pass(5).await;
        assert_eq!(script.logins.load(Ordering::SeqCst), 1);
        let asked = Instant::now();
        assert_eq!(script.token().await, "t1", "the old one is good meanwhile");
        assert_eq!(asked.elapsed(), Duration::ZERO);
        pass(1).await;
        assert_eq!(script.token().await, "t2");
    }

    #[tokio::test(start_paused = true)]
    async fn one_with_a_short_life_is_renewed_in_its_last_quarter() {
        let script = Script::new(20);
        assert_eq!(script.token().await, "t1");
        pass(14).await;
        assert_eq!(script.token().await, "t1");
        pass(2).await;
        assert_eq!(script.token().await, "t1");
        pass(1).await;
        assert_eq!(script.token().await, "t2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_fails_leaves_the_old_token_for_as_long_as_it_lives() {
        let script = Script::new(100);
        script.token().await;
        script.fails(Reason::BackendUnavailable);
        pass(80).await;
        assert_eq!(script.token().await, "t1");
        pass(15).await;
        assert_eq!(script.token().await, "t1");
        pass(10).await;
        let error = script.current.provide().await.unwrap_err();
        assert_eq!(error.reason(), Reason::BackendUnavailable);
        *script.next.lock().unwrap() = Ok(100);
        pass(2).await;
        assert_eq!(&script.token().await[..1], "t", "it comes back by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_refused_is_replaced_once() {
        let script = Script::new(3600);
        script.token().await;
        let old = script.current.provide().await.unwrap();
        pass(10).await;
        script.current.refused(&old);
        assert_eq!(script.token().await, "t2");
        script.current.refused(&old);
        assert_eq!(script.token().await, "t2", "the refusal was of the one before");
        let young = script.current.provide().await.unwrap();
        script.current.refused(&young);
        assert_eq!(script.token().await, "t2", "a login just now gave this one");
    }

    #[tokio::test(start_paused = true)]
    async fn bad_credentials_are_tried_seldom_and_said_at_once() {
        let script = Script::new(3600);
        script.fails(Reason::BackendCredentials);
        for _ in 0..40 {
            let error = script.current.provide().await.unwrap_err();
            assert_eq!(error.reason(), Reason::BackendCredentials);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        assert!(script.logins.load(Ordering::SeqCst) <= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_login() {
        let current = Current::of(Box::new(|| Box::pin(std::future::pending())));
        let asked = Instant::now();
        let error = current.provide().await.unwrap_err();
        assert_eq!((error.reason(), asked.elapsed()), (Reason::BackendUnavailable, WAIT));
        pass(10).await;
        assert_eq!(current.provide().await.unwrap_err().reason(), Reason::BackendUnavailable);
    }

    #[test]
    fn a_storage_url_must_be_one() {
        assert!(Granted::new("swift", "t", None).is_err());
        assert!(Granted::new("http://h/v1/AUTH_a", "t\n", None).is_err());
        let shown = format!("{:?}", Granted::new("http://h/v1/AUTH_a", "hush", None).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
