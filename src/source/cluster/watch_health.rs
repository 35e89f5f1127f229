//! Health of the watches: when something was last received on each, and what is wrong with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::info;

use crate::resources::Kind;

/// Status of one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchStatus {
    /// Kind it watches.
    pub kind: Kind,
    /// Namespace it watches; all of them when `None`.
    pub namespace: Option<String>,
    /// Time since its last activity: an event, a bookmark, a finished list, a watch that began.
    pub since: Duration,
    /// Why it is failing, if it is.
    pub error: Option<String>,
    /// Whether it has listed once.
    pub listed: bool,
}

/// Health of all watches of a source. Clones share one state.
#[derive(Clone, Debug)]
pub struct Watches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watches: Vec<Arc<WatchHealth>>,
    fetches: Mutex<FetchProgress>,
}

/// Secrets and ConfigMaps that are being fetched.
#[derive(Clone, Debug, Default)]
pub(super) struct FetchProgress {
    /// How many were neither fetched nor found missing yet.
    pub unsettled: usize,
    /// Why some cannot be fetched.
    pub error: Option<String>,
}

impl Watches {
    pub(super) fn new(watches: Vec<Arc<WatchHealth>>) -> Self {
        Self(Arc::new(Inner { watches, fetches: Mutex::default() }))
    }

    pub(super) fn set_fetches(&self, progress: FetchProgress) {
        *lock(&self.0.fetches) = progress;
    }

    /// Status of each watch, in no particular order.
    pub fn statuses(&self) -> Vec<WatchStatus> {
        self.0.watches.iter().map(|watch| watch.status()).collect()
    }

    /// One line for each watch that received nothing for longer than `limit`. For /livez.
    ///
    /// Any answer of the API server counts, a refusal too: restarting this program would not change it. A
    /// watch that waits for a slow reader is not stale either. `limit` must be longer than the minute
    /// between two bookmarks.
    pub fn stale(&self, limit: Duration) -> Vec<String> {
        self.0.watches.iter().filter_map(|watch| watch.stale(limit)).collect()
    }

    /// Why the API server cannot be reached, if a watch fails for that reason.
    pub fn away(&self) -> Option<String> {
        self.0.watches.iter().find_map(|watch| {
            let state = lock(&watch.state);
            state.error.clone().filter(|_| state.away)
        })
    }

    /// One line for each list and a line for the fetches that the source still waits for. For /readyz.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self.0.watches.iter().filter_map(|watch| watch.missing()).collect();
        let FetchProgress { unsettled, error } = lock(&self.0.fetches).clone();
        if unsettled > 0 {
            let why = error.map(|error| format!(": {error}")).unwrap_or_default();
            missing.push(format!("{unsettled} Secrets and ConfigMaps are not fetched yet{why}"));
        }
        missing
    }
}

/// Health of one watch, as its stream records it.
#[derive(Debug)]
pub(super) struct WatchHealth {
    kind: Kind,
    namespace: Option<String>,
    state: Mutex<State>,
    /// Wakes all watches that pause because the API server could not be reached.
    server_is_back: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    active: Instant,
    /// Like `active`, but refusals count too.
    answered: Instant,
    error: Option<String>,
    /// The API server cannot be reached: that is what `error` says.
    away: bool,
    /// The API server could not be reached and has not answered since.
    cut_off: bool,
    /// A watch worked since the last failure.
    worked: bool,
    listed: bool,
    /// The stream waits for its reader, not for the API server.
    backpressured: bool,
}

impl WatchHealth {
    pub fn new(kind: Kind, namespace: Option<String>, server_is_back: Arc<Notify>) -> Self {
        let now = Instant::now();
        let state = State {
            active: now,
            answered: now,
            error: None,
            away: false,
            cut_off: false,
            worked: false,
            listed: false,
            backpressured: false,
        };
        Self { kind, namespace, state: Mutex::new(state), server_is_back }
    }

    /// Records that the watch received something.
    pub fn record_activity(&self) {
        let mut state = lock(&self.state);
        state.active = Instant::now();
        state.answered = state.active;
    }

    /// Records that a list was read to its end.
    pub fn listed(&self) {
        self.record_activity();
        lock(&self.state).listed = true;
    }

    /// Records a failure. `answered`: the API server answered; `away`: the API server is unreachable.
    /// Returns whether the message differs from the last one.
    pub fn fails(&self, error: String, answered: bool, away: bool) -> bool {
        let mut state = lock(&self.state);
        (state.away, state.cut_off) = (away, away);
        if answered {
            state.answered = Instant::now();
        }
        let changed = state.error.as_ref() != Some(&error);
        state.error = Some(error);
        changed
    }

    /// Records that the API server gave what was asked for. After an outage, all that wait retry now.
    pub fn reached(&self) {
        if std::mem::take(&mut lock(&self.state).cut_off) {
            self.server_is_back.notify_waiters();
        }
    }

    /// Waits until a watch reaches the API server again after an outage.
    pub async fn server_is_back(&self) {
        self.server_is_back.notified().await;
    }

    /// Records that the watch works: there is no error any more.
    pub fn works(&self) {
        let mut state = lock(&self.state);
        state.worked = true;
        // The end of an outage is logged once for all watches.
        if state.error.take().is_some() && !std::mem::take(&mut state.away) {
            info!(kind = self.kind.as_str(), namespace = self.namespace, "watched again");
        }
    }

    /// Whether the watch worked since the last call of this function.
    pub fn worked_since_last_call(&self) -> bool {
        std::mem::take(&mut lock(&self.state).worked)
    }

    /// Records whether the stream waits for its reader from now on.
    pub fn backpressured(&self, backpressured: bool) {
        let mut state = lock(&self.state);
        state.backpressured = backpressured;
        // Nothing was asked of the API server meanwhile.
        state.answered = Instant::now();
    }

    fn status(&self) -> WatchStatus {
        let state = lock(&self.state);
        WatchStatus {
            kind: self.kind,
            namespace: self.namespace.clone(),
            since: state.active.elapsed(),
            error: state.error.clone(),
            listed: state.listed,
        }
    }

    fn stale(&self, limit: Duration) -> Option<String> {
        let state = lock(&self.state);
        let silence = state.answered.elapsed();
        let seconds = silence.as_secs();
        let text = || format!("{self}: nothing was received for {seconds} s{}", because(&state.error));
        (silence > limit && !state.backpressured).then(text)
    }

    fn missing(&self) -> Option<String> {
        let state = lock(&self.state);
        (!state.listed).then(|| format!("{self}: not listed yet{}", because(&state.error)))
    }
}

impl std::fmt::Display for WatchHealth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in namespace {namespace}", self.kind),
            None => f.write_str(self.kind.as_str()),
        }
    }
}

fn because(error: &Option<String>) -> String {
    error.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
}

/// Ignores poisoning: the next event overwrites what a panicking thread left unfinished.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
