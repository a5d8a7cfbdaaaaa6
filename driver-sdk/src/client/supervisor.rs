//! The one task that dials a driver. It keeps a link up, dials anew with back-off when it breaks, and probes half-open
//! while the breaker is open. Calls only read its state, so no lock is held while anybody dials.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::breaker::Breaker;
use super::link::Link;
use super::{Remote, retry};
use crate::driver::{Capabilities, Description, Limits};
use crate::error::{DriverError, Reason, Result};

const FIRST_BACKOFF: Duration = Duration::from_millis(20);
/// Also the pace of half-open probes.
const LAST_BACKOFF: Duration = Duration::from_millis(500);
/// A driver that is started together with its core is not missed before this.
const STARTING: Duration = Duration::from_secs(2);
/// What a client is told to wait when the driver is down.
const RETRY_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
enum State {
    Down(Arc<DriverError>),
    Up(Arc<Link>),
}

/// How a driver is, seen from the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub connected: bool,
    pub breaker_open: bool,
    /// Why not, when not.
    pub problem: Option<String>,
}

#[derive(Debug)]
pub(super) struct Supervised {
    state: watch::Receiver<State>,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    breaker: Breaker,
    /// Set when a call saw its link break, or the breaker opened.
    trouble: Notify,
    learned: RwLock<Learned>,
}

/// What outlives a connection: the last description, and the store that must be found again.
#[derive(Debug)]
struct Learned {
    description: Description,
    store_id: Option<String>,
}

impl Supervised {
    pub(super) fn start(remote: Remote) -> Arc<Self> {
        let down = DriverError::new(
            Reason::BackendUnavailable,
            format!("the driver at {} was not reached yet", remote.endpoint),
        );
        let (states, state) = watch::channel(State::Down(Arc::new(down)));
        let learned = Learned { description: unknown(), store_id: remote.store_id.clone() };
        let shared = Arc::new(Shared {
            breaker: Breaker::default(),
            trouble: Notify::new(),
            learned: RwLock::new(learned),
        });
        let stop = CancellationToken::new();
        let supervisor =
            Supervisor { remote, states, shared: shared.clone(), started: tokio::time::Instant::now() };
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = supervisor.run() => {}
                () = stopped.cancelled() => {}
            }
        });
        Arc::new(Self { state, shared, _stop: stop.drop_guard() })
    }

    /// One link for ever, with nobody who dials.
    #[cfg(feature = "fuzzing")]
    pub(super) fn of(link: Link) -> Arc<Self> {
        let learned = Learned { description: link.description.clone(), store_id: None };
        let (_, state) = watch::channel(State::Up(Arc::new(link)));
        let shared =
            Shared { breaker: Breaker::default(), trouble: Notify::new(), learned: RwLock::new(learned) };
        Arc::new(Self { state, shared: Arc::new(shared), _stop: CancellationToken::new().drop_guard() })
    }

    /// The link, as soon as there is one.
    pub(super) async fn link(&self, patience: Duration) -> Result<Arc<Link>> {
        if self.shared.breaker.is_open() {
            return Err(self.unavailable());
        }
        let mut state = self.state.clone();
        let up = state.wait_for(|state| matches!(state, State::Up(_)) || self.shared.breaker.is_open());
        match tokio::time::timeout(patience, up).await {
            Ok(Ok(state)) => match &*state {
                State::Up(link) if !self.shared.breaker.is_open() => Ok(link.clone()),
                _ => Err(self.unavailable()),
            },
            _ => Err(self.unavailable()),
        }
    }

    fn unavailable(&self) -> DriverError {
        let (reason, message) = match &*self.state.borrow() {
            State::Down(error) if !error.is_transient() => (error.reason(), error.message().to_owned()),
            State::Down(error) => (Reason::BackendUnavailable, error.message().to_owned()),
            State::Up(_) => (Reason::BackendUnavailable, "the driver does not answer".to_owned()),
        };
        DriverError::new(reason, message).with_retry_after(Some(RETRY_AFTER))
    }

    /// Notes how a call over `link` ended.
    pub(super) fn note<T>(&self, link: &Link, outcome: &Result<T>) {
        let Err(error) = outcome else { return self.shared.breaker.succeeded() };
        let opened = self.shared.breaker.failed(error);
        if !opened && error.reason() != Reason::BackendUnavailable {
            if !matches!(error.reason(), Reason::Timeout | Reason::Starting) {
                self.shared.breaker.succeeded();
            }
            return;
        }
        if opened {
            tracing::warn!(driver = link.description.name, %error, "the driver keeps failing: calls are refused until a probe succeeds");
        }
        self.shared.trouble.notify_one();
    }

    pub(super) fn description(&self) -> Description {
        self.shared.learned.read().map(|learned| learned.description.clone()).unwrap_or_else(|_| unknown())
    }

    /// Dials anew, to learn the id of a store that was just initialised.
    pub(super) fn forget_store(&self) {
        self.shared.trouble.notify_one();
    }

    pub(super) fn status(&self) -> Status {
        let breaker_open = self.shared.breaker.is_open();
        match &*self.state.borrow() {
            State::Up(_) if !breaker_open => Status { connected: true, breaker_open, problem: None },
            State::Up(_) => Status {
                connected: true,
                breaker_open,
                problem: Some("the driver does not answer".to_owned()),
            },
            State::Down(error) => Status { connected: false, breaker_open, problem: Some(error.to_string()) },
        }
    }
}

fn unknown() -> Description {
    Description {
        name: String::new(),
        version: String::new(),
        capabilities: Capabilities::default(),
        limits: Limits::default(),
    }
}

struct Supervisor {
    remote: Remote,
    states: watch::Sender<State>,
    shared: Arc<Shared>,
    started: tokio::time::Instant,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.dial().await {
                Ok(link) => {
                    backoff = FIRST_BACKOFF;
                    self.shared.breaker.succeeded();
                    self.watch(&link).await;
                    self.down(DriverError::new(
                        Reason::BackendUnavailable,
                        "the connection to the driver ended",
                    ));
                }
                Err(error) => {
                    self.shared.breaker.failed(&error);
                    self.down(error);
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(LAST_BACKOFF);
                }
            }
        }
    }

    fn down(&self, error: DriverError) {
        let news = match &*self.states.borrow() {
            State::Down(before) => before.message() != error.message(),
            State::Up(_) => true,
        };
        let starting = self.started.elapsed() < STARTING;
        if news && starting {
            tracing::debug!(endpoint = %self.remote.endpoint, %error, "driver not available yet");
        } else if news {
            tracing::warn!(endpoint = %self.remote.endpoint, %error, "driver not available");
        }
        self.states.send_replace(State::Down(Arc::new(error)));
    }

    async fn dial(&self) -> Result<Arc<Link>> {
        let expected = self.shared.learned.read().ok().and_then(|learned| learned.store_id.clone());
        let dialling = Link::dial(&self.remote, expected.as_deref());
        let link = Arc::new(retry::within(self.remote.deadlines.call * 2, dialling).await?);
        if let Ok(mut learned) = self.shared.learned.write() {
            learned.description = link.description.clone();
            if !link.store_id.is_empty() {
                learned.store_id = Some(link.store_id.clone());
            }
        }
        tracing::info!(
            endpoint = %self.remote.endpoint,
            driver = link.description.name,
            version = link.description.version,
            store = link.store_id,
            instance = link.driver_instance,
            "driver connected"
        );
        self.states.send_replace(State::Up(link.clone()));
        Ok(link)
    }

    /// Returns when the link is of no more use.
    async fn watch(&self, link: &Link) {
        loop {
            self.shared.trouble.notified().await;
            loop {
                match retry::within(self.remote.deadlines.probe, link.is_well()).await {
                    Ok(true) if link.store_id.is_empty() => return,
                    Ok(true) => {
                        self.shared.breaker.succeeded();
                        break;
                    }
                    Ok(false) => {}
                    // The process is there and does not answer: the connection may yet be good.
                    Err(error) if error.reason() == Reason::Timeout => {}
                    Err(_) => return,
                }
                tokio::time::sleep(LAST_BACKOFF).await;
            }
        }
    }
}
