//! State of the loop for the platform and for each tenant.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::last_good::LastGoodRows;
use super::problem_log::ProblemLog;
use crate::compile::{Effect, KeptPart, LastGoodRow, Problem};
use crate::plan::{PlatformPlan, TenantRow};
use crate::resources;
use crate::resources::Kind;
use crate::source::ObjectKey;

/// The platform, as the loop knows it from the store.
#[derive(Default)]
pub struct Platform {
    pub stored: Option<PlatformPlan>,
    /// Whether the rows in force were read since this process leads.
    pub looked_up: bool,
    pub rows: RowProgress,
}

/// A tenant, as the loop knows it from the store.
#[derive(Default)]
pub struct Tenant {
    pub id: Option<Uuid>,
    pub owner_uid: String,
    /// The tenant's own row as stored. The store compares the rows of its resources: held here too, they would
    /// take memory twice.
    pub stored: Option<TenantRow>,
    /// Whether the tenant was compiled: before that, its problems are unknown.
    pub was_compiled: bool,
    /// Problems of the last compile.
    pub problems: ProblemLog,
    pub rows: RowProgress,
    /// Whether the stored rows stay as they are, because an object cannot be read.
    pub held: bool,
    /// Rows in force of resources that have a problem.
    pub last_good: LastGoodRows,
    /// Resources whose last good rows or fields stay in force; `None` while that is unknown and nothing is
    /// written.
    pub stays: Option<HashMap<ObjectKey, KeptPart>>,
}

impl Tenant {
    /// Records a compile. Resources whose problem is gone count as changed: their rows are written again.
    /// `kept` is `None` where nothing is written.
    pub fn record_compile(&mut self, problems: Vec<Problem>, kept: Option<Vec<LastGoodRow>>) {
        (self.was_compiled, self.held) = (true, false);
        self.rows.changed.extend(self.problems.replace(problems));
        self.rows.record_compile();
        let stays = kept.map(|kept| kept.into_iter().map(|kept| (kept.resource, kept.part)));
        let stays: Option<HashMap<_, _>> = stays.map(Iterator::collect);
        let before = self.stays.as_ref();
        // A refused Tenant keeps the rows of all its resources: only the Tenant is logged.
        let is_refused = self.is_refused();
        let logged = stays.iter().flatten().filter(|(key, _)| !is_refused || key.kind == Kind::Tenant);
        for (resource, stays) in logged {
            if before.is_none_or(|before| before.get(resource) != Some(stays)) {
                log_last_good(resource, stays);
            }
        }
        self.stays = stays;
    }

    /// Whether the Tenant itself is refused, so that only its last good rows are in force.
    pub fn is_refused(&self) -> bool {
        is_refused(&self.problems)
    }

    /// Keeps the stored rows as they are, because of a problem.
    pub fn hold(&mut self, why: Problem) {
        self.record_compile(vec![why], None);
        self.held = true;
    }
}

/// Whether one of a tenant's problems refuses the Tenant itself.
pub fn is_refused(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.resource.kind == Kind::Tenant && problem.effect == Effect::Refused)
}

/// Logs that the last good state of a resource stays in force.
pub fn log_last_good(resource: &ObjectKey, stays: &KeptPart) {
    match stays {
        KeptPart::Whole(generation) => {
            warn!(%resource, generation, "it is refused, and what was in force before stays in force");
        }
        KeptPart::Fields(fields) => {
            warn!(%resource, fields = fields.join(", "), "what is not accepted of it stays as it was before");
        }
    }
}

/// Progress of rows from the last compile to the switches.
#[derive(Default)]
pub struct RowProgress {
    /// The stored revision.
    pub revision: i64,
    /// Category of the error that the last write failed with.
    pub failed: Option<&'static str>,
    /// Resources and referenced Secrets that changed since the last compile, and resources whose problem is
    /// gone because another object changed.
    pub changed: HashSet<ObjectKey>,
    /// The same, compiled but not stored yet.
    pub unstored: HashSet<ObjectKey>,
    /// Revision that a switch must hold to serve a resource whose rows changed. An entry is removed when every
    /// switch holds it.
    pub required_revisions: HashMap<ObjectKey, i64>,
    /// When the first of these rows changed.
    pub applying_since: Option<Instant>,
}

impl RowProgress {
    /// Records a compile: all changes are compiled.
    pub fn record_compile(&mut self) {
        self.unstored.extend(std::mem::take(&mut self.changed));
    }

    /// Records a successful write: its revision, and the resources whose rows changed.
    pub fn record_write(&mut self, revision: i64, changed: impl Iterator<Item = ObjectKey>) {
        self.revision = revision;
        self.failed = None;
        self.unstored.clear();
        self.required_revisions.extend(changed.map(|key| (key, revision)));
        if !self.required_revisions.is_empty() {
            self.applying_since.get_or_insert_with(Instant::now);
        }
    }
}

/// A Tenant that is being deleted.
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
