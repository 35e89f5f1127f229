//! The problems that the last compile found, with a log of those that come and go.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use crate::compile::{Effect, Problem, Reason};
use crate::source::ObjectKey;

/// Most problems of one reason that are logged one by one within [`LOG_WINDOW`], of those that come in bulk.
const MAX_LOGGED: usize = 3;
/// Period after which the log of one reason starts over.
const LOG_WINDOW: Duration = Duration::from_secs(10);

/// Problems, with a count: it is published after every job.
#[derive(Debug, Default)]
pub struct ProblemLog {
    all: Vec<Problem>,
    failing: usize,
    log_counts: BTreeMap<LogKind, LogCount>,
}

impl ProblemLog {
    /// A set of problems, without logging them.
    pub fn of(problems: Vec<Problem>) -> Self {
        let mut set = Self::default();
        set.store(problems);
        set
    }

    /// Replaces the problems, and logs those that are new or gone. Returns the resources of those that are gone:
    /// their rows change with the next write.
    pub fn replace(&mut self, problems: Vec<Problem>) -> HashSet<ObjectKey> {
        let solved = self.log(&problems);
        self.store(problems);
        solved
    }

    fn store(&mut self, problems: Vec<Problem>) {
        let failing = problems.iter().filter(|problem| problem.effect.is_mistake());
        self.failing = failing.map(|problem| &problem.resource).collect::<BTreeSet<_>>().len();
        self.all = problems;
    }

    /// Number of resources that are refused or degraded.
    pub fn failing_resources(&self) -> usize {
        self.failing
    }
}

impl std::ops::Deref for ProblemLog {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.all
    }
}

/// Logged problems of one reason in the present window.
#[derive(Debug)]
struct LogCount {
    since: Instant,
    count: usize,
}

/// Whether a problem is one of many that come and go together: of resources that wait, or whose Tenant is
/// missing.
fn comes_in_bulk(problem: &Problem) -> bool {
    problem.effect == Effect::Waiting || problem.field == "spec.tenantRef.name"
}

/// Whether problems came (true) or went, and their reason.
type LogKind = (bool, Reason);

impl ProblemLog {
    /// Logs problems that are new and those that are gone; returns the resources of the latter.
    fn log(&mut self, after: &[Problem]) -> HashSet<ObjectKey> {
        let before = std::mem::take(&mut self.all);
        let (old, new) = (before.iter().collect::<BTreeSet<_>>(), after.iter().collect::<BTreeSet<_>>());
        for problem in new.difference(&old) {
            let (resource, field, reason) = (&problem.resource, &problem.field, problem.reason);
            // The status names no holder in another namespace; the log is for the platform's operators.
            let holder = problem.unnamed_holder().map(tracing::field::display);
            let is_logged = !comes_in_bulk(problem) || self.should_log((true, reason));
            match problem.effect {
                effect if !is_logged => {
                    tracing::debug!(%resource, %field, %reason, ?effect, "{}", problem.message);
                }
                Effect::Waiting => {
                    tracing::info!(%resource, %field, %reason, "waiting: {}", problem.message);
                }
                Effect::Noted => tracing::info!(%resource, %field, %reason, "note: {}", problem.message),
                effect => tracing::warn!(%resource, %field, %reason, ?effect, holder, "{}", problem.message),
            }
        }
        let mut solved = HashSet::new();
        for problem in old.difference(&new) {
            let (resource, field, reason) = (&problem.resource, &problem.field, problem.reason);
            if !comes_in_bulk(problem) || self.should_log((false, reason)) {
                tracing::info!(%resource, %field, %reason, "no longer a problem");
            } else {
                tracing::debug!(%resource, %field, %reason, "no longer a problem");
            }
            solved.insert(problem.resource.clone());
        }
        solved
    }

    /// Whether one more problem of a kind is logged. Of thousands in one window, the first are logged, and later
    /// the number of the others.
    fn should_log(&mut self, kind: LogKind) -> bool {
        let now = Instant::now();
        let counted = self.log_counts.entry(kind).or_insert(LogCount { since: now, count: 0 });
        if counted.since.elapsed() >= LOG_WINDOW {
            if let Some(more) = counted.count.checked_sub(MAX_LOGGED).filter(|more| *more > 0) {
                let (come, reason) = kind;
                let what = if come { "more came" } else { "more went" };
                tracing::info!(%reason, more, "{what} than were told one by one");
            }
            *counted = LogCount { since: now, count: 0 };
        }
        counted.count += 1;
        counted.count <= MAX_LOGGED
    }
}
