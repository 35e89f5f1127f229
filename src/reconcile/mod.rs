//! The writing loop of the operator and of standalone: applies changes of resources, writes plans to the
//! store, and publishes statuses.
//!
//! 1. [`Reconciler::apply_changes`] puts the changes into the [`CompileState`], compiles the platform if it
//!    changed, and schedules a job for each affected tenant.
//! 2. [`Reconciler::work`] (`steps`) starts the jobs that are due and that `Reconciler::gate` (`jobs`) allows: the
//!    sweep, then the platform, then tenants. `Reconciler::reconcile_tenant` shows the steps for one tenant.
//! 3. `Reconciler::finish` (`outcomes`) records how a job ended: the revision and the changed rows, or a retry with
//!    a growing pause.
//! 4. `Reconciler::report_next` (`statuses`) computes the conditions of a tenant's resources, and publishes (`publish`)
//!    those that differ. [`Reconciler::acknowledge`] schedules the same step when a switch reports other revisions.
//!
//! A failed job is retried without limit, with a pause per tenant. A process that does not lead applies
//! changes too, and writes nothing.

mod admission;
mod admission_recheck;
mod compile_state;
mod jobs;
mod last_good;
mod metrics;
mod outcomes;
mod problem_log;
mod progress;
mod publish;
mod recordings;
mod removal;
mod resource_sink;
mod restored;
mod role;
mod rows;
mod schedule;
mod statuses;
mod steps;
mod tenant;
mod writing;

pub use admission::AdmissionVerdict;
pub use compile_state::CompileState;
pub use metrics::Metrics;
pub use progress::Progress;
pub use resource_sink::{NewStatus, Note, ResourceSink, SinkError};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::compile::Reason;
use crate::plan::report::Ack;
use crate::resources::Kind;
use crate::source::index::key_of;
use crate::source::{Change, Object, TenantKey};
use crate::status::AckTable;
use crate::status::acks::Concerned;
use crate::store::Store;
use crate::store::cdrs;
use jobs::{FinishedJob, Job};
use role::{Role, Writer};
use schedule::Schedule;
use tenant::{Deleting, Platform, Tenant};

/// Category of the store's error until the first attempt to connect has failed.
const STORE_UNREACHABLE: &str = "unreachable";
/// Most jobs that run at the same time.
const CONCURRENT_JOBS: usize = 8;

/// The writing loop.
pub struct Reconciler {
    state: Arc<RwLock<CompileState>>,
    sink: Option<Arc<dyn ResourceSink>>,
    role: Role,
    /// Root directory of tenants' media, if this process can reach it.
    media: Option<PathBuf>,
    platform: Platform,
    tenants: BTreeMap<TenantKey, Tenant>,
    by_id: HashMap<Uuid, TenantKey>,
    /// Tenants that are being deleted: their objects have a finalizer until their data is retained or dropped.
    deleting: BTreeMap<TenantKey, Deleting>,
    schedule: Schedule<Job>,
    /// Statuses to compute: a tenant's, or the platform's (`None`).
    reports: Schedule<Option<TenantKey>>,
    busy: BTreeSet<Job>,
    running: JoinSet<FinishedJob>,
    acks: AckTable,
    source: SourceState,
    progress: watch::Sender<Progress>,
    metrics: Metrics,
}

/// What the source has delivered. A stored tenant without a resource is removed only when it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceState {
    /// Nothing yet.
    Waiting,
    /// Changes, but some objects could not be read.
    Incomplete,
    /// Every object.
    Complete,
}

impl Reconciler {
    /// A loop that does not lead yet.
    pub fn new(
        progress: watch::Sender<Progress>,
        sink: Option<Arc<dyn ResourceSink>>,
        media: Option<PathBuf>,
    ) -> Self {
        Self {
            state: Arc::default(),
            sink,
            role: Role::Following,
            media,
            platform: Platform::default(),
            tenants: BTreeMap::new(),
            by_id: HashMap::new(),
            deleting: BTreeMap::new(),
            schedule: Schedule::default(),
            reports: Schedule::default(),
            busy: BTreeSet::new(),
            running: JoinSet::new(),
            acks: AckTable::default(),
            source: SourceState::Waiting,
            progress,
            metrics: Metrics::default(),
        }
    }

    /// Sets the metrics that the loop counts in.
    pub fn set_metrics(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// The compile state, shared with the admission webhook.
    pub fn compile_state(&self) -> Arc<RwLock<CompileState>> {
        self.state.clone()
    }

    /// Starts to write to a store. Schedules every tenant, to be compared with its rows.
    pub fn lead(&mut self, store: Store) {
        self.step_down();
        let cdrs = AbortOnDropHandle::new(tokio::spawn(cdrs::prune(store.clone())));
        let retain = |media| recordings::retain(media, self.state.clone(), self.metrics.recordings.clone());
        let recordings = self.media.clone().map(retain);
        self.role = Role::Writing(Box::new(Writer {
            set_back: store.was_set_back(),
            store,
            sweep_done: false,
            has_strays: false,
            stray_removal: None,
            _pruners: recordings.into_iter().chain([cdrs]).collect(),
        }));
        self.schedule_all();
    }

    /// Starts to lead without a store: nothing is written, but problems are published.
    pub fn lead_without_store(&mut self) {
        self.step_down();
        self.role = Role::Connecting { store_error: STORE_UNREACHABLE };
        self.schedule_all();
    }

    /// Records why the store cannot be reached, and publishes that.
    pub fn store_failed(&mut self, category: &'static str) {
        let Role::Connecting { store_error } = &mut self.role else { return };
        if std::mem::replace(store_error, category) == category {
            return;
        }
        let tenants = self.tenants.iter_mut().map(|(key, tenant)| (Some(key), &mut tenant.rows));
        for (key, rows) in tenants.chain([(None, &mut self.platform.rows)]) {
            rows.failed = rows.failed.and(Some(category));
            self.reports.now(key.cloned());
        }
    }

    fn schedule_all(&mut self) {
        self.schedule.now(Job::Sweep);
        self.schedule.now(Job::Platform);
        let keys: Vec<_> = self.read().world.tenants().filter_map(|tenant| key_of(tenant)).collect();
        for key in keys.into_iter().chain(self.deleting.keys().cloned()) {
            self.schedule.now(Job::Tenant(key));
        }
        if self.role.is_set_back() {
            self.report_set_back();
        }
        self.report_orphans();
        self.publish_progress();
    }

    /// Stops all writing at once, and forgets what the store has.
    pub fn step_down(&mut self) {
        self.running = JoinSet::new(); // aborts running jobs; their transactions are rolled back
        self.role = Role::Following;
        self.busy.clear();
        self.schedule.clear();
        self.reports.clear();
        self.tenants.clear();
        self.by_id.clear();
        self.platform = Platform::default();
        self.acks = AckTable::default();
        // A status that was published may not have been written. Without conditions here, the next leader,
        // which may be this process, publishes it again.
        let unconfirmed = self.sink.as_ref().map(|sink| sink.reset()).unwrap_or_default();
        let mut state = self.write();
        for key in &unconfirmed {
            if let Some(object) = state.world.object_mut(key) {
                object.set_conditions(Vec::new());
            }
        }
    }

    /// Applies changes, compiles the platform if it changed, and schedules the affected tenants.
    /// `source_complete` says that the source could read every object: only then does a missing object mean
    /// that it was deleted.
    pub fn apply_changes(&mut self, changes: Vec<Change>, source_complete: bool) {
        self.source = if source_complete { SourceState::Complete } else { SourceState::Incomplete };
        let mut changes = changes;
        for change in &mut changes {
            if let Some(sink) = &self.sink {
                sink.overlay_pending(change);
            }
            self.extract_deletions(change);
            // The sweep has skipped the stored tenant of this name so far.
            if let Change::Remove(key) = change
                && self.role.leads()
                && self.read().world.is_unreadable(key)
                && key.kind == Kind::Tenant
            {
                if let Some(writer) = self.role.writer_mut() {
                    writer.sweep_done = false;
                }
                self.schedule.now(Job::Sweep);
            }
        }
        // Compiling takes processor time: lookups on the same threads must not wait for it.
        let consequences = block_in_place(|| self.write().apply_changes(changes));
        if self.role.leads() {
            if consequences.platform {
                self.schedule.now(Job::Platform);
            }
            let mut rotated = BTreeSet::new();
            for (owner, object) in consequences.objects {
                if object.kind == Kind::Secret {
                    rotated.insert(owner.clone());
                }
                let rows = match owner {
                    Some(key) => &mut self.tenants.entry(key).or_default().rows,
                    None => &mut self.platform.rows,
                };
                rows.changed.insert(object);
            }
            for key in consequences.tenants {
                self.schedule.now(Job::Tenant(key));
            }
            if consequences.claims {
                // A refused tenant keeps a claim that its spec gave up until another tenant claims it.
                let refused = self.tenants.iter().filter(|(_, tenant)| tenant.is_refused());
                refused.for_each(|(key, _)| self.schedule.now(Job::Tenant(key.clone())));
            }
            self.report_rotated(rotated);
            self.report_orphans();
        }
        self.publish_progress();
    }

    /// Turns the update of a Tenant that is being deleted into its removal, and keeps the Tenant in
    /// `deleting`: the object exists until its data is retained or dropped.
    fn extract_deletions(&mut self, change: &mut Change) {
        let (key, deleted) = match change {
            Change::Upsert(Object::Tenant(tenant)) => {
                let Some(key) = key_of(tenant) else { return };
                let deleted = tenant.metadata.deletion_timestamp.is_some().then(|| tenant.clone());
                (key, deleted)
            }
            Change::Remove(key) if key.kind == Kind::Tenant => {
                let Some(namespace) = key.namespace.clone() else { return };
                (TenantKey { namespace, name: key.name.clone() }, None)
            }
            _ => return,
        };
        match deleted {
            Some(tenant) => {
                let object = Object::Tenant(tenant.clone());
                // The deletion policy may still be edited.
                match self.deleting.get_mut(&key) {
                    Some(deleting) if deleting.tenant.metadata.uid == tenant.metadata.uid => {
                        deleting.tenant = tenant;
                    }
                    _ => drop(self.deleting.insert(key.clone(), Deleting::new(tenant))),
                }
                if self.role.leads() {
                    self.schedule.now(Job::Tenant(key));
                }
                *change = Change::Remove(object.key());
            }
            None => {
                self.deleting.remove(&key);
            }
        }
    }

    /// Records a switch's report, and schedules the statuses that it changes.
    pub fn acknowledge(&mut self, ack: Ack) {
        let (platform, keys) = match self.acks.record(ack) {
            Concerned::All => {
                self.role.suspect_strays();
                (true, self.tenants.keys().cloned().collect::<Vec<_>>())
            }
            Concerned::Some { platform, tenants } => {
                let mut keys: Vec<_> = tenants.iter().filter_map(|id| self.by_id.get(id)).cloned().collect();
                if keys.len() < tenants.len() {
                    self.role.suspect_strays();
                }
                if platform && self.sink.is_some() {
                    keys.extend(self.stale_emergencies());
                }
                (platform, keys)
            }
        };
        if platform {
            self.reports.now(None);
            self.catch_up_platform();
        }
        for key in keys {
            self.catch_up(&key);
            self.reports.now(Some(key));
        }
        self.remove_strays();
    }

    /// True when every change is stored and its status published.
    pub fn is_idle(&self) -> bool {
        // Without a sink no status is published.
        self.is_stored() && (self.sink.is_none() || self.reports.is_empty())
    }

    /// True when every change is stored. A sweep that the source does not allow yet is not waited for.
    fn is_stored(&self) -> bool {
        let complete = self.source == SourceState::Complete;
        let waits = self.schedule.next_due(|job| *job != Job::Sweep || complete).is_some();
        let writes = self.role.writer().is_some() && self.source != SourceState::Waiting;
        writes && self.busy.is_empty() && !waits
    }

    /// Number of jobs that wait or run.
    pub fn pending(&self) -> usize {
        self.schedule.len() + self.busy.len()
    }

    /// Number of problems by reason. Iterates over all problems.
    pub fn reasons(&self) -> BTreeMap<Reason, i64> {
        let state = self.read();
        let tenants = self.tenants.values().flat_map(|tenant| tenant.problems.iter());
        let mut reasons = BTreeMap::new();
        for problem in state.problems.iter().chain(state.orphans.iter()).chain(tenants) {
            *reasons.entry(problem.reason).or_default() += 1;
        }
        reasons
    }

    fn read(&self) -> RwLockReadGuard<'_, CompileState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, CompileState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the progress if it changed, after each step that may change it.
    fn publish_progress(&mut self) {
        let state = self.read();
        let tenants = self.tenants.values().map(|tenant| tenant.problems.failing_resources());
        let problems =
            state.problems.failing_resources() + state.orphans.failing_resources() + tenants.sum::<usize>();
        let stored = self.is_stored();
        drop(state);
        let set_back = self.role.writer_mut().filter(|_| stored).map(|writer| &mut writer.set_back);
        if set_back.is_some_and(std::mem::take) {
            self.tenants.keys().for_each(|key| self.reports.now(Some(key.clone())));
        }
        self.remove_strays();
        self.progress.send_if_modified(|progress| {
            let differs = progress.stored != stored || progress.problems != problems;
            progress.stored = stored;
            progress.problems = problems;
            differs
        });
    }
}
