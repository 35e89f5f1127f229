//! What is wrong, as the last compile found it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use crate::compile::{Effect, Problem, Reason};
use crate::source::ObjectKey;

/// How many that follow for one reason are told one by one, of those that come or go in a short time.
const MOST_TOLD: usize = 3;
const SHORT: Duration = Duration::from_secs(10);

/// Problems, counted once: the count is told after every piece of work.
#[derive(Debug, Default)]
pub struct ProblemSet {
    all: Vec<Problem>,
    wrong: usize,
    told: BTreeMap<Kind, LogCount>,
}

impl ProblemSet {
    /// Problems of which nothing is logged.
    pub fn of(problems: Vec<Problem>) -> Self {
        let mut found = Self::default();
        found.put(problems);
        found
    }

    /// Replaces what was found before, and logs what is new or gone. Returns what had a problem that is
    /// gone: more of it is in force than before, once it is stored.
    pub fn replace(&mut self, problems: Vec<Problem>) -> HashSet<ObjectKey> {
        let mended = self.log(&problems);
        self.put(problems);
        mended
    }

    fn put(&mut self, problems: Vec<Problem>) {
        let wrong = problems.iter().filter(|problem| problem.effect != Effect::Waiting);
        self.wrong = wrong.map(|problem| &problem.resource).collect::<BTreeSet<_>>().len();
        self.all = problems;
    }

    /// How many resources are refused or degraded.
    pub fn wrong(&self) -> usize {
        self.wrong
    }
}

impl std::ops::Deref for ProblemSet {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.all
    }
}

/// What was told lately of one reason.
#[derive(Debug)]
struct LogCount {
    since: Instant,
    count: usize,
}

/// Whether a problem is one of many that come and go together: of what waits, and of what a Tenant has that is
/// not there.
fn follows(problem: &Problem) -> bool {
    problem.effect == Effect::Waiting || problem.field == "spec.tenantRef.name"
}

/// What came, or what went: with its reason.
type Kind = (bool, Reason);

impl ProblemSet {
    /// Logs problems that are new, and those that are gone, of which it returns the resources.
    fn log(&mut self, after: &[Problem]) -> HashSet<ObjectKey> {
        let before = std::mem::take(&mut self.all);
        let (old, new) = (before.iter().collect::<BTreeSet<_>>(), after.iter().collect::<BTreeSet<_>>());
        for problem in new.difference(&old) {
            let (resource, field, reason) = (&problem.resource, &problem.field, problem.reason);
            // The status does not name what is in another namespace; the log is the platform's.
            let holder = problem.unnamed_holder().map(tracing::field::display);
            let is_told = !follows(problem) || self.tells((true, reason));
            match problem.effect {
                effect if !is_told => {
                    tracing::debug!(%resource, %field, ?reason, ?effect, "{}", problem.message);
                }
                Effect::Waiting => {
                    tracing::info!(%resource, %field, ?reason, "waiting: {}", problem.message);
                }
                effect => tracing::warn!(%resource, %field, ?reason, ?effect, holder, "{}", problem.message),
            }
        }
        let mut mended = HashSet::new();
        for problem in old.difference(&new) {
            let (resource, field, reason) = (&problem.resource, &problem.field, problem.reason);
            if !follows(problem) || self.tells((false, reason)) {
                tracing::info!(%resource, %field, ?reason, "no longer a problem");
            } else {
                tracing::debug!(%resource, %field, ?reason, "no longer a problem");
            }
            mended.insert(problem.resource.clone());
        }
        mended
    }

    /// Whether one more of those that follow is told: of thousands that come or go in a short time the first are, and
    /// later how many there were.
    fn tells(&mut self, kind: Kind) -> bool {
        let now = Instant::now();
        let told = self.told.entry(kind).or_insert(LogCount { since: now, count: 0 });
        if told.since.elapsed() >= SHORT {
            if let Some(more) = told.count.checked_sub(MOST_TOLD).filter(|more| *more > 0) {
                let (come, reason) = kind;
                let what = if come { "more came" } else { "more went" };
                tracing::info!(?reason, more, "{what} than were told one by one");
            }
            *told = LogCount { since: now, count: 0 };
        }
        told.count += 1;
        told.count <= MOST_TOLD
    }
}
