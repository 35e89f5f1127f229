//! What the loop remembers of the platform and of each tenant.

use crate::resources::Kind;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::last_good::LastGoodRows;
use super::problem_set::ProblemSet;
use crate::compile::{Effect, KeptPart, LastGoodRow, Problem};
use crate::plan::{PlatformPlan, TenantRow};
use crate::resources;
use crate::source::ObjectKey;

/// The platform's rows in the store.
#[derive(Default)]
pub struct Platform {
    pub stored: Option<PlatformPlan>,
    /// Whether it was looked up what was in force before this process led.
    pub looked_up: bool,
    pub rows: RowProgress,
}

/// A tenant in the store.
#[derive(Default)]
pub struct Tenant {
    pub id: Option<Uuid>,
    pub owner_uid: String,
    /// Its own row as stored. The rows of its children are the store's to compare: they would be held
    /// twice.
    pub stored: Option<TenantRow>,
    /// Whether it was compiled yet: before that nothing is known of it.
    pub judged: bool,
    /// Found by the last compile.
    pub problems: ProblemSet,
    pub rows: RowProgress,
    /// Whether what is stored of it has to stay as it is.
    pub kept: bool,
    /// What is in force of resources that have a problem.
    pub before: LastGoodRows,
    /// Of which resources something stays as it was before; none where that was not found out, and nothing
    /// is written.
    pub stays: Option<HashMap<ObjectKey, KeptPart>>,
}

impl Tenant {
    /// Takes in what a compile found: what had a problem that is gone is to be stored, too. What stays as
    /// it was before is none where nothing is written.
    pub fn compiled(&mut self, problems: Vec<Problem>, kept: Option<Vec<LastGoodRow>>) {
        (self.judged, self.kept) = (true, false);
        self.rows.changed.extend(self.problems.replace(problems));
        self.rows.compiled();
        let stays = kept.map(|kept| kept.into_iter().map(|kept| (kept.resource, kept.part)));
        let stays: Option<HashMap<_, _>> = stays.map(Iterator::collect);
        let before = self.stays.as_ref();
        // Of one that is refused as a whole that is said once.
        let is_refused = self.is_refused();
        let told = stays.iter().flatten().filter(|(key, _)| !is_refused || key.kind == Kind::Tenant);
        for (resource, stays) in told {
            if before.is_none_or(|before| before.get(resource) != Some(stays)) {
                tell(resource, stays);
            }
        }
        self.stays = stays;
    }

    /// Whether it was refused as a whole, so that of it only what was in force before is.
    pub fn is_refused(&self) -> bool {
        is_refused(&self.problems)
    }

    /// Takes in why what is stored of it has to stay as it is.
    pub fn keep(&mut self, why: Problem) {
        self.compiled(vec![why], None);
        self.kept = true;
    }
}

/// Whether a tenant with these problems is refused as a whole.
pub fn is_refused(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.resource.kind == Kind::Tenant && problem.effect == Effect::Refused)
}

/// Logs that something stays in force as it was before.
pub fn tell(resource: &ObjectKey, stays: &KeptPart) {
    match stays {
        KeptPart::Whole(generation) => {
            warn!(%resource, generation, "it is refused, and what was in force before stays in force");
        }
        KeptPart::Fields(fields) => {
            warn!(%resource, fields = fields.join(", "), "what is not accepted of it stays as it was before");
        }
    }
}

/// How far rows are.
#[derive(Default)]
pub struct RowProgress {
    /// The revision that is stored.
    pub revision: i64,
    /// What the last write failed with.
    pub failed: Option<&'static str>,
    /// What differs from what the last compile saw, resources and Secrets that they name; and what had
    /// a problem that is gone because something else changed.
    pub changed: HashSet<ObjectKey>,
    /// The same, of what was compiled since and is not stored yet.
    pub unstored: HashSet<ObjectKey>,
    /// Resources whose rows changed: the revision switches must have to serve them. What every
    /// switch has is not in here.
    pub since: HashMap<ObjectKey, i64>,
    /// When the first of them changed.
    pub applying: Option<Instant>,
}

impl RowProgress {
    /// Takes in that everything was compiled as it is now.
    pub fn compiled(&mut self) {
        self.unstored.extend(std::mem::take(&mut self.changed));
    }

    /// Takes in that a write succeeded: which rows it changed.
    pub fn written(&mut self, revision: i64, changed: impl Iterator<Item = ObjectKey>) {
        self.revision = revision;
        self.failed = None;
        self.unstored.clear();
        self.since.extend(changed.map(|key| (key, revision)));
        if !self.since.is_empty() {
            self.applying.get_or_insert_with(Instant::now);
        }
    }
}

/// A Tenant on its way out.
pub struct Deleting {
    pub tenant: Arc<resources::Tenant>,
    /// When its deletion was first seen.
    pub since: Instant,
}

impl Deleting {
    pub fn new(tenant: Arc<resources::Tenant>) -> Self {
        Self { tenant, since: Instant::now() }
    }
}
