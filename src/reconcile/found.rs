//! What is wrong, as the last compile found it.

use std::collections::BTreeSet;

use crate::compile::{Effect, Problem};

/// Problems, counted once: the count is told after every piece of work.
#[derive(Debug, Default)]
pub struct Found {
    all: Vec<Problem>,
    wrong: usize,
}

impl Found {
    /// Replaces what was found before, and logs what is new or gone.
    pub fn replace(&mut self, problems: Vec<Problem>) {
        log(&self.all, &problems);
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

/// Logs problems that are new, and says which are gone.
fn log(before: &[Problem], after: &[Problem]) {
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
    for problem in old.difference(&new) {
        tracing::info!(resource = %problem.resource, field = %problem.field, reason = ?problem.reason, "no longer a problem");
    }
}
