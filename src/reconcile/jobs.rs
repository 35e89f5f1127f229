//! Jobs: what they are, how they end, and which of those that are due may run.

use tokio::time::Instant;
use uuid::Uuid;

use super::{CONCURRENT_JOBS, Reconciler, SinkError, SourceState};
use crate::media::directory::MediaError;
use crate::plan::{InForce, Origin, PlatformPlan, TenantPlan, TenantRow};
use crate::source::TenantKey;
use crate::store::{Names, Removed, StoreError, Written};

/// Most jobs that one call of [`Reconciler::work`] starts, before changes are applied again. Jobs that end
/// without a write count too: after a restart most do.
const MAX_STARTS_PER_TURN: usize = 32;

/// A unit of work. The same job never runs twice at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Remove stored tenants without a resource.
    Sweep,
    /// Write the platform's rows.
    Platform,
    /// Compile and write a tenant, or remove it.
    Tenant(TenantKey),
}

/// A job that ended, with the number of its previous failures.
pub struct FinishedJob {
    pub job: Job,
    pub failures: u32,
    pub outcome: Outcome,
}

/// How a job ended.
pub enum Outcome {
    /// Removed tenants, and the number of those that could not be removed.
    Swept(Result<(Vec<Uuid>, usize), StoreError>),
    /// The platform's rows in force were read.
    PlatformLookedUp(Result<InForce<PlatformPlan>, StoreError>),
    Platform(Box<PlatformWritten>),
    LookedUp(Box<LookedUp>),
    Written(Box<TenantRow>, Result<Written, WorkError>),
    /// A tenant's data was retained or dropped. Its Tenant no longer exists, or lost its finalizer.
    Removed(Option<Uuid>, Result<Removed, WorkError>),
}

/// Outcome of writing the platform's rows.
pub struct PlatformWritten {
    pub plan: PlatformPlan,
    /// Kind, name and origin of each written row.
    pub origins: Vec<(&'static str, String, Origin)>,
    pub written: Result<Written, StoreError>,
}

/// Rows in force of a tenant's resources that have a problem.
pub struct LookedUp {
    pub names: Names,
    pub in_force: Result<Option<InForce<TenantPlan>>, StoreError>,
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Postgres refused or is unreachable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API server refused or is unreachable.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The media directory could not be claimed or removed.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A blocking task panicked or was aborted.
    #[error("broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl WorkError {
    /// Category of the error, stable, for metrics and conditions.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Store(cause) => cause.category(),
            Self::Sink(_) => "api_server",
            Self::Media(cause) => cause.category(),
            Self::BrokenOff(_) => "broken_off",
        }
    }
}

impl Reconciler {
    /// Starts the jobs that are due, at most [`MAX_STARTS_PER_TURN`].
    pub(super) fn start_due_jobs(&mut self) {
        for _ in 0..MAX_STARTS_PER_TURN {
            let Some((job, failures)) = self.next_due_job() else { break };
            self.start(job, failures);
        }
        self.publish_progress();
    }

    /// The next job that is due and may run, with the number of its previous failures.
    fn next_due_job(&mut self) -> Option<(Job, u32)> {
        if !self.may_start() {
            return None;
        }
        let (gate, busy) = (self.gate(), &self.busy);
        self.schedule.pop_due(|job| gate.allows(job) && !busy.contains(job))
    }

    /// Whether this process leads and has room for another job.
    fn may_start(&self) -> bool {
        self.running.len() < CONCURRENT_JOBS && self.role.leads()
    }

    /// When the next job or status is due.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let gate = self.gate();
        let job = match self.may_start() {
            true => self.schedule.next_due(|job| gate.allows(job) && !self.busy.contains(job)),
            false => None,
        };
        job.into_iter().chain(self.reports.next_due(|_| true)).min()
    }

    /// Which jobs may run now: the sweep first, then the platform, then tenants.
    fn gate(&self) -> JobGate {
        let complete = self.source == SourceState::Complete;
        // On a cluster, nothing is written before every kind is listed: an incomplete tenant must not be stored.
        let listed = complete || (self.source == SourceState::Incomplete && self.sink.is_none());
        let writer = self.role.writer();
        // The sweep frees names that a tenant may need. A tenant written during it would be unknown to it.
        let swept = writer.is_none_or(|writer| writer.sweep_done) || !complete;
        let sweep = complete && writer.is_some() && self.busy.is_empty();
        let write = listed && swept && !self.busy.contains(&Job::Sweep);
        // Tenants refer to trunks, which may be in force by their previous rows.
        let tenants = write && (self.platform.looked_up || writer.is_none());
        JobGate { sweep, write, tenants }
    }

    /// Runs the work of a job that has started.
    pub(super) fn spawn(
        &mut self,
        job: Job,
        failures: u32,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.busy.insert(job.clone());
        self.running.spawn(async move { FinishedJob { job, failures, outcome: work.await } });
    }
}

/// Which kinds of jobs may run.
#[derive(Clone, Copy)]
struct JobGate {
    sweep: bool,
    write: bool,
    tenants: bool,
}

impl JobGate {
    fn allows(self, job: &Job) -> bool {
        match job {
            Job::Sweep => self.sweep,
            Job::Platform => self.write,
            Job::Tenant(_) => self.tenants,
        }
    }
}
