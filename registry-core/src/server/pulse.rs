//! What goes on on one connection, and by when something must: hyper bounds neither an idle HTTP/2 connection, nor a
//! response that nobody takes, and does not tell an idle HTTP/1 connection from a slow head.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::limits::Limits;

/// An HTTP/2 peer that was told to go has this long to say that it heard.
const PARTING: Duration = Duration::from_secs(5);

/// Shared by the socket, the requests and the task of one connection.
pub(super) struct Pulse {
    header_read: Duration,
    idle: Duration,
    write_stall: Duration,
    now: fn() -> Instant,
    state: Mutex<State>,
    earlier: Notify,
}

struct State {
    /// Since when no request is under way.
    quiet_since: Instant,
    /// Since when a head is awaited or on its way.
    head_since: Option<Instant>,
    write_blocked_since: Option<Instant>,
    http2: bool,
    /// Told to open no more requests.
    retired: Option<Instant>,
    exchanges: Vec<Open>,
    next: u64,
    /// What the connection's task sleeps for.
    armed: Option<Instant>,
}

struct Open {
    id: u64,
    /// Since when there are bytes of the response that the client does not take.
    untaken_since: Option<Instant>,
    /// It has not begun: others of this connection are before it.
    queued: bool,
}

/// What is due, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The connection ends.
    Cut(&'static str),
    /// An HTTP/2 connection takes no new requests.
    Retire(&'static str),
}

impl Pulse {
    /// Of a peer that may begin to send its first request now.
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Self::with_clock(limits, Instant::now)
    }

    fn with_clock(limits: &Limits, now: fn() -> Instant) -> Arc<Self> {
        let since = now();
        Arc::new(Self {
            header_read: limits.header_read,
            idle: limits.idle,
            write_stall: limits.write_stall,
            now,
            state: Mutex::new(State {
                quiet_since: since,
                head_since: Some(since),
                write_blocked_since: None,
                http2: false,
                retired: None,
                exchanges: Vec::new(),
                next: 0,
                armed: None,
            }),
            earlier: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection's task if something is due before it would wake by itself.
    fn settle(&self, state: &State) {
        if let Some((at, _)) = self.next_due(state)
            && state.armed.is_none_or(|armed| at < armed)
        {
            self.earlier.notify_one();
        }
    }

    fn next_due(&self, state: &State) -> Option<(Instant, Due)> {
        let taken = state
            .write_blocked_since
            .map(|since| (since + self.write_stall, Due::Cut("the client takes nothing")));
        let asked = match (state.exchanges.is_empty(), state.retired, state.head_since) {
            (true, Some(since), _) => Some((state.quiet_since.max(since) + PARTING, Due::Cut("idle"))),
            (true, None, Some(since)) => {
                Some((since + self.header_read, Due::Cut("no whole head of a request came")))
            }
            (true, None, None) if state.http2 => Some((state.quiet_since + self.idle, Due::Retire("idle"))),
            (true, None, None) => Some((state.quiet_since + self.idle, Due::Cut("idle"))),
            (false, ..) => self.untaken(state),
        };
        taken.into_iter().chain(asked).min_by_key(|(at, _)| *at)
    }

    /// One response that nobody takes must not cost the others on its connection their end: the connection is cut when
    /// none of them moves any more.
    fn untaken(&self, state: &State) -> Option<(Instant, Due)> {
        let since = || state.exchanges.iter().filter(|open| !open.queued).map(|open| open.untaken_since);
        let last = if since().all(|since| since.is_some()) { since().flatten().max() } else { None };
        let cut = last.map(|since| (since + self.write_stall, Due::Cut("the client takes nothing")));
        if !state.http2 || state.retired.is_some() {
            return cut;
        }
        let first = since().flatten().min();
        let retire =
            first.map(|since| (since + self.write_stall, Due::Retire("the client leaves a response")));
        cut.into_iter().chain(retire).min_by_key(|(at, _)| *at)
    }

    /// What is due now, or else when to look again.
    pub(super) fn due(&self) -> Result<Due, Option<Instant>> {
        let mut state = self.state();
        match self.next_due(&state) {
            Some((at, due)) if at <= (self.now)() => {
                if matches!(due, Due::Retire(_)) {
                    state.retired = Some((self.now)());
                }
                Ok(due)
            }
            next => {
                state.armed = next.map(|(at, _)| at);
                Err(state.armed)
            }
        }
    }

    /// Resolves when something is due earlier than [`Self::due`] said last.
    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// The handshake had a limit of its own: the first head is awaited from now on.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.quiet_since = (self.now)();
        state.head_since = Some(state.quiet_since);
    }

    /// The registry stops: a peer that has nothing under way need not be waited for.
    pub(super) fn retire(&self) {
        self.state().retired.get_or_insert_with(self.now);
    }

    pub(super) fn bytes_came(&self) {
        let mut state = self.state();
        if state.exchanges.is_empty() && !state.http2 && state.head_since.is_none() {
            state.head_since = Some((self.now)());
            self.settle(&state);
        }
    }

    pub(super) fn write_blocked(&self) {
        let mut state = self.state();
        if state.write_blocked_since.is_none() {
            state.write_blocked_since = Some((self.now)());
            self.settle(&state);
        }
    }

    pub(super) fn write_moved(&self) {
        self.state().write_blocked_since = None;
    }

    /// A request is under way until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> Exchange {
        let mut state = self.state();
        state.http2 = http2;
        state.head_since = None;
        let id = state.next;
        state.next += 1;
        state.exchanges.push(Open { id, untaken_since: None, queued: false });
        Exchange { pulse: self.clone(), id, untaken: false }
    }
}

/// One request and its response.
pub(super) struct Exchange {
    pulse: Arc<Pulse>,
    id: u64,
    untaken: bool,
}

impl Exchange {
    /// A piece of the response was handed over.
    pub(super) fn gave(&mut self) {
        self.untaken = true;
        self.note(Some((self.pulse.now)()));
    }

    /// Everything was taken, and there is no more yet.
    pub(super) fn waits(&mut self) {
        if self.untaken {
            self.untaken = false;
            self.note(None);
        }
    }

    /// Whether it waits for others of its connection to end.
    pub(super) fn queue(&self, queued: bool) {
        let mut state = self.pulse.state();
        if let Some(open) = state.exchanges.iter_mut().find(|open| open.id == self.id) {
            open.queued = queued;
        }
        self.pulse.settle(&state);
    }

    fn note(&self, since: Option<Instant>) {
        let mut state = self.pulse.state();
        if let Some(open) = state.exchanges.iter_mut().find(|open| open.id == self.id) {
            open.untaken_since = since;
        }
        self.pulse.settle(&state);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.pulse.state();
        state.exchanges.retain(|open| open.id != self.id);
        if state.exchanges.is_empty() {
            state.quiet_since = (self.pulse.now)();
        }
        self.pulse.settle(&state);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const CUT: &str = "the client takes nothing";

    thread_local! {
        static CLOCK: Cell<Instant> = Cell::new(Instant::now());
    }

    fn pulse() -> Arc<Pulse> {
        Pulse::with_clock(&Limits::default(), || CLOCK.get())
    }

    fn after(seconds: u64, pulse: &Pulse) -> Option<Due> {
        CLOCK.set(CLOCK.get() + Duration::from_secs(seconds));
        pulse.due().ok()
    }

    #[test]
    fn a_head_has_10_s_and_an_idle_connection_120_s() {
        let pulse = pulse();
        assert_eq!(after(9, &pulse), None);
        drop(pulse.begin(false));
        assert_eq!(after(119, &pulse), None);
        pulse.bytes_came();
        assert_eq!(after(9, &pulse), None);
        pulse.bytes_came();
        assert_eq!(after(1, &pulse), Some(Due::Cut("no whole head of a request came")));
        drop(pulse.begin(false));
        assert_eq!(after(120, &pulse), Some(Due::Cut("idle")));
    }

    #[test]
    fn a_request_under_way_may_take_hours_and_an_idle_http2_peer_is_told_to_go() {
        let pulse = pulse();
        let request = pulse.begin(true);
        assert_eq!(after(7200, &pulse), None);
        drop(request);
        pulse.bytes_came();
        assert_eq!(after(119, &pulse), None);
        assert_eq!(after(1, &pulse), Some(Due::Retire("idle")));
        assert_eq!(after(4, &pulse), None);
        assert_eq!(after(1, &pulse), Some(Due::Cut("idle")));
    }

    #[test]
    fn a_response_that_nobody_takes_ends_the_connection_after_60_s_without_hurting_the_others() {
        let pulse = pulse();
        let (mut stuck, mut alive) = (pulse.begin(true), pulse.begin(true));
        stuck.gave();
        for _ in 0..59 {
            assert_eq!(after(1, &pulse), None);
            alive.gave();
        }
        assert_eq!(after(1, &pulse), Some(Due::Retire("the client leaves a response")));
        for _ in 0..100 {
            alive.gave();
            assert_eq!(after(59, &pulse), None);
        }
        drop(alive);
        assert_eq!(after(0, &pulse), Some(Due::Cut(CUT)));
    }

    #[test]
    fn waiting_for_the_storage_is_not_the_clients_fault_and_a_blocked_socket_is() {
        let pulse = pulse();
        let mut response = pulse.begin(false);
        response.gave();
        response.waits();
        assert_eq!(after(600, &pulse), None);
        pulse.write_blocked();
        assert_eq!(after(59, &pulse), None);
        pulse.write_moved();
        pulse.write_blocked();
        assert_eq!(after(59, &pulse), None);
        assert_eq!(after(1, &pulse), Some(Due::Cut(CUT)));
    }

    #[test]
    fn a_request_that_waits_for_untaken_responses_does_not_save_them() {
        let pulse = pulse();
        let (mut stuck, waiting) = (pulse.begin(true), pulse.begin(true));
        waiting.queue(true);
        stuck.gave();
        assert_eq!(after(60, &pulse), Some(Due::Cut(CUT)));
        waiting.queue(false);
        assert_eq!(after(0, &pulse), Some(Due::Retire("the client leaves a response")));
        assert_eq!(after(600, &pulse), None, "it is the storage's turn");
    }

    #[tokio::test]
    async fn the_task_is_woken_when_something_is_due_earlier_than_it_thought() {
        let pulse = pulse();
        drop(pulse.begin(false));
        assert!(pulse.due().is_err(), "it sleeps until the idle time is over");
        pulse.bytes_came();
        tokio::time::timeout(Duration::from_secs(1), pulse.earlier()).await.expect("a head is due in 10 s");
    }
}
