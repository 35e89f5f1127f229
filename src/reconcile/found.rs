//! What is wrong, as the last compile found it.

use std::collections::{BTreeSet, HashSet};

use crate::compile::{Effect, Problem};
use crate::source::ObjectKey;

/// Problems, counted once: the count is told after every piece of work.
#[derive(Debug, Default)]
pub struct Found {
    all: Vec<Problem>,
    wrong: usize,
}

impl Found {
    /// Problems of which nothing is logged.
    pub fn of(problems: Vec<Problem>) -> Self {
        let mut found = Self::default();
        found.put(problems);
        found
    }

    /// Replaces what was found before, and logs what is new or gone. Returns what had a problem that is
    /// gone: more of it is in force than before, once it is stored.
    pub fn replace(&mut self, problems: Vec<Problem>) -> HashSet<ObjectKey> {
        let mended = log(&self.all, &problems);
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

impl std::ops::Deref for Found {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.all
    }
}

/// Logs problems that are new, and those that are gone, of which it returns the resources.
fn log(before: &[Problem], after: &[Problem]) -> HashSet<ObjectKey> {
    let (old, new) = (before.iter().collect::<BTreeSet<_>>(), after.iter().collect::<BTreeSet<_>>());
    for problem in new.difference(&old) {
        let (resource, field, reason) = (&problem.resource, &problem.field, problem.reason);
        match problem.effect {
            Effect::Waiting => {
                tracing::info!(%resource, %field, ?reason, "waiting: {}", problem.message);
            }
            effect => tracing::warn!(%resource, %field, ?reason, ?effect, "{}", problem.message),
        }
    }
    let mut mended = HashSet::new();
    for problem in old.difference(&new) {
        tracing::info!(resource = %problem.resource, field = %problem.field, reason = ?problem.reason, "no longer a problem");
        mended.insert(problem.resource.clone());
    }
    mended
}
