//! How the watches are: when each was last heard of, and what is wrong with it.

use crate::resources::Kind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How one watch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchStatus {
    /// Kind it watches.
    pub kind: Kind,
    /// Namespace it watches; none: all of them.
    pub namespace: Option<String>,
    /// Time since its last sign of life: an event, a bookmark, a list that ended, a watch that began.
    pub since: Duration,
    /// What is wrong with it, when it is failing.
    pub error: Option<String>,
    /// Whether it has listed once.
    pub listed: bool,
}

/// All watches, to be asked how they are.
#[derive(Clone, Debug)]
pub struct Watches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pulses: Vec<Arc<WatchHealth>>,
    fetching: Mutex<Fetching>,
}

/// Secrets and ConfigMaps on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetching {
    /// How many were neither fetched nor found absent yet.
    pub unsettled: usize,
    /// What is wrong, when some cannot be fetched.
    pub error: Option<String>,
}

impl Watches {
    pub(super) fn new(pulses: Vec<Arc<WatchHealth>>) -> Self {
        Self(Arc::new(Inner { pulses, fetching: Mutex::default() }))
    }

    pub(super) fn fetching(&self, now: Fetching) {
        *lock(&self.0.fetching) = now;
    }

    /// How each watch is, in no particular order.
    pub fn signs(&self) -> Vec<WatchStatus> {
        self.0.pulses.iter().map(|pulse| pulse.sign()).collect()
    }

    /// The watches that were not heard of for longer than the limit, in words. For /livez.
    ///
    /// Whatever the API server answers counts, a refusal too: starting this program again would not
    /// change it. A watch whose reader is slow is not stale either. The limit must be above the five
    /// minutes that a watch without events may last.
    pub fn stale(&self, limit: Duration) -> Vec<String> {
        self.0.pulses.iter().filter_map(|pulse| pulse.stale(limit)).collect()
    }

    /// Why the API server cannot be reached, where that is what is wrong.
    pub fn away(&self) -> Option<String> {
        self.0.pulses.iter().find_map(|pulse| {
            let state = lock(&pulse.state);
            state.error.clone().filter(|_| state.away)
        })
    }

    /// What is still to be seen before everything is known, in words. For /readyz.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self.0.pulses.iter().filter_map(|pulse| pulse.missing()).collect();
        let Fetching { unsettled, error } = lock(&self.0.fetching).clone();
        if unsettled > 0 {
            let why = error.map(|error| format!(": {error}")).unwrap_or_default();
            missing.push(format!("{unsettled} Secrets and ConfigMaps are not fetched yet{why}"));
        }
        missing
    }
}

/// How one stream is, as it tells it itself.
#[derive(Debug)]
pub(super) struct WatchHealth {
    kind: Kind,
    namespace: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lived: Instant,
    heard: Instant,
    error: Option<String>,
    /// Because the API server cannot be reached.
    away: bool,
    listed: bool,
    /// It waits for its reader, not for the API server.
    held_up: bool,
}

impl WatchHealth {
    pub fn new(kind: Kind, namespace: Option<String>) -> Self {
        let now = Instant::now();
        let state = State { lived: now, heard: now, error: None, away: false, listed: false, held_up: false };
        Self { kind, namespace, state: Mutex::new(state) }
    }

    /// A sign of life.
    pub fn lives(&self) {
        let mut state = lock(&self.state);
        state.lived = Instant::now();
        state.heard = state.lived;
    }

    /// A list was read to its end.
    pub fn listed(&self) {
        self.lives();
        lock(&self.state).listed = true;
    }

    /// Something is wrong; whether it is something else than before. `away` where that is the API server,
    /// which cannot be reached.
    pub fn fails(&self, error: String, answered: bool, away: bool) -> bool {
        let mut state = lock(&self.state);
        state.away = away;
        if answered {
            state.heard = Instant::now();
        }
        let changed = state.error.as_ref() != Some(&error);
        state.error = Some(error);
        changed
    }

    /// All is well; whether it was not, for another reason than an outage.
    pub fn works(&self) -> bool {
        let mut state = lock(&self.state);
        state.error.take().is_some() && !std::mem::take(&mut state.away)
    }

    /// Whether it waits for its reader from now on.
    pub fn held_up(&self, held_up: bool) {
        let mut state = lock(&self.state);
        state.held_up = held_up;
        // Nothing was asked of the API server meanwhile.
        state.heard = Instant::now();
    }

    fn sign(&self) -> WatchStatus {
        let state = lock(&self.state);
        WatchStatus {
            kind: self.kind,
            namespace: self.namespace.clone(),
            since: state.lived.elapsed(),
            error: state.error.clone(),
            listed: state.listed,
        }
    }

    fn stale(&self, limit: Duration) -> Option<String> {
        let state = lock(&self.state);
        let silent = state.heard.elapsed();
        let text =
            || format!("{self}: nothing was heard for {} s{}", silent.as_secs(), because(&state.error));
        (silent > limit && !state.held_up).then(text)
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

/// What a thread that panicked was about to note is noted with the next sign.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
