//! Jobs: starts those that are due, a few at a time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::last_good::LastGoodRows;
use super::tenant::is_refused;
use super::writing::{WholeRows, write};
use super::{CONCURRENT_JOBS, Reconciler, ResourceSink, SinkError};
use crate::compile::claims::tenant_id;
use crate::compile::{Compiled, Problem, Reason};
use crate::media::directory;
use crate::media::directory::MediaError;
use crate::plan::{InForce, Origin, PlatformPlan, TenantPlan, TenantRow, has_rows};
use crate::resources;
use crate::resources::Kind;
use crate::resources::tenant::DeletionPolicy;
use crate::source::{Object, ObjectKey, TenantKey};
use crate::store::{Names, Removed, Store, StoreError, Written};

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
    /// Starts the jobs that are due, then publishes one status or waits for one job. Returns after each, so
    /// that the caller can apply changes in between; pends for ever when there is nothing to do. Cancel-safe.
    pub async fn work(&mut self) {
        self.start_due();
        if self.report_next() {
            return tokio::task::yield_now().await;
        }
        let wake = self.next_wake();
        tokio::select! {
            Some(done) = self.running.join_next(), if !self.running.is_empty() => match done {
                Ok(done) => self.finish(done),
                Err(cause) => self.reschedule_aborted(&cause),
            },
            () = async { match wake { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }

    /// When the next job or status is due.
    fn next_wake(&self) -> Option<Instant> {
        let gate = self.gate();
        let job = match self.running.len() < CONCURRENT_JOBS && self.leading {
            true => self.schedule.next_due(|job| gate.allows(job) && !self.busy.contains(job)),
            false => None,
        };
        job.into_iter().chain(self.reports.next_due(|_| true)).min()
    }

    /// Which jobs may run now: the sweep first, then the platform, then tenants.
    fn gate(&self) -> JobGate {
        // On a cluster, nothing is written before every kind is listed: an incomplete tenant must not be stored.
        let seen = self.source_synced && (self.source_complete || self.sink.is_none());
        // The sweep frees names that a tenant may need. A tenant written during it would be unknown to it.
        let free = self.sweep_done || !self.source_complete || self.store.is_none();
        let sweep = self.source_complete && self.store.is_some() && self.busy.is_empty();
        let write = seen && free && !self.busy.contains(&Job::Sweep);
        // Tenants refer to trunks, which may be in force by their previous rows.
        let tenants = write && (self.platform.looked_up || self.store.is_none());
        JobGate { sweep: seen && sweep, write, tenants }
    }

    /// Starts the jobs that are due and allowed.
    fn start_due(&mut self) {
        for _ in 0..MAX_STARTS_PER_TURN {
            if self.running.len() >= CONCURRENT_JOBS {
                break;
            }
            if !self.leading {
                break;
            }
            let (gate, busy) = (self.gate(), &self.busy);
            let due = self.schedule.pop_due(|job| gate.allows(job) && !busy.contains(job));
            let Some((job, failures)) = due else { break };
            if self.hold_for_unreadable(&job) {
                continue;
            }
            let Some(store) = self.store.clone() else {
                self.compile_without_store(&job);
                continue;
            };
            match &job {
                Job::Sweep => self.start_sweep(store, failures),
                Job::Platform => self.reconcile_platform(store, failures),
                Job::Tenant(key) if self.deleting.contains_key(key) => {
                    self.start_deletion(store, key, failures)
                }
                Job::Tenant(key) => self.reconcile_tenant(store, key, failures),
            }
        }
        self.publish_progress();
    }

    /// Keeps the stored rows of a job that depends on an unreadable object, and reports that: compiled without
    /// the object, its rows would be deleted. Returns whether the job is held.
    fn hold_for_unreadable(&mut self, job: &Job) -> bool {
        let state = self.read();
        let why = match job {
            Job::Sweep => None,
            // The rows in force are read first: tenants wait for them.
            Job::Platform if !self.platform.looked_up && self.store.is_some() => None,
            Job::Platform => state.world.unreadable_for_platform(),
            Job::Tenant(key) => state.world.unreadable_for_tenant(key),
        };
        let Some(why) = why.map(|unreadable| unreadable.key.clone()) else { return false };
        drop(state);
        if let Job::Tenant(key) = job {
            let message = format!(
                "{why} cannot be read by this release; until it can be, or is deleted, what is stored of \
                 the tenant stays as it is"
            );
            let problem = Problem::degraded(key.object(), "spec", Reason::InvalidValue, message);
            self.tenants.entry(key.clone()).or_default().hold(problem);
            self.reports.now(Some(key.clone()));
        } else {
            warn!(unreadable = %why, "the platform's rows stay as they are stored");
            self.platform.rows.record_compile();
            self.platform.rows.failed = Some("unreadable");
            self.reports.now(None);
        }
        true
    }

    /// Compiles without a store, so that problems are published. Every job is scheduled again once the store
    /// is connected.
    fn compile_without_store(&mut self, job: &Job) {
        let store_error = Some(self.store_error);
        match job {
            Job::Sweep => {}
            Job::Platform => {
                self.platform.rows.record_compile();
                self.platform.rows.failed = store_error;
                self.reports.now(None);
            }
            Job::Tenant(key) => {
                let Some(compiled) = block_in_place(|| self.read().compile(key)) else { return };
                self.make_credentials(&compiled.problems);
                let tenant = self.tenants.entry(key.clone()).or_default();
                tenant.record_compile(compiled.problems, None);
                tenant.rows.failed = store_error;
                self.reports.now(Some(key.clone()));
            }
        }
    }

    fn spawn(&mut self, job: Job, failures: u32, work: impl Future<Output = Outcome> + Send + 'static) {
        self.busy.insert(job.clone());
        self.running.spawn(async move { FinishedJob { job, failures, outcome: work.await } });
    }

    /// Starts to remove stored tenants without a resource.
    fn start_sweep(&mut self, store: Store, failures: u32) {
        let media = self.media.clone();
        let state = self.read();
        let alive = state.world.tenants().filter_map(|tenant| tenant_id(tenant));
        let leaving = self.deleting.values().filter_map(|deleting| tenant_id(&deleting.tenant));
        let ids = alive.chain(leaving).collect();
        let live = LiveTenants { ids, unreadable: state.world.unreadable_tenants().collect() };
        drop(state);
        self.spawn(Job::Sweep, failures, async move { Outcome::Swept(sweep(&store, media, &live).await) });
    }

    /// Starts to read the platform's rows in force; once they are known, to write its rows if they differ.
    fn reconcile_platform(&mut self, store: Store, failures: u32) {
        if !self.platform.looked_up {
            return self.spawn(Job::Platform, failures, async move {
                Outcome::PlatformLookedUp(store.reader().load_platform_in_force().await)
            });
        }
        let state = self.read();
        let (plan, snapshot) = (state.platform.clone(), state.snapshot.clone());
        let whole = WholeRows::of(&state.kept);
        drop(state);
        self.platform.rows.record_compile();
        if self.platform.stored.as_ref() == Some(&plan) {
            self.platform.rows.unstored.clear();
            self.reports.now(None);
            return;
        }
        self.spawn(Job::Platform, failures, async move {
            let origin = |table: &str, name: &str| whole.origin(table, name, snapshot.origin(table, name));
            let written = store.write_platform_of(&plan, &origin).await;
            let rows = written.iter().flat_map(|written| &written.rows);
            let origins = rows.filter_map(|(table, name)| Some((*table, name.clone(), origin(table, name)?)));
            let origins = origins.collect();
            Outcome::Platform(Box::new(PlatformWritten { plan, origins, written }))
        });
    }

    /// Compiles a tenant and starts the work that follows (the documentation of `reconcile` lists all steps). The
    /// first of these that applies:
    ///
    /// 1. the removal, if the Tenant no longer exists;
    /// 2. a read of the rows in force that a problem needs and that are not known yet: its outcome schedules the
    ///    tenant again;
    /// 3. nothing, if no plan results: only statuses are published;
    /// 4. the removal of the previous tenant of this name, if the Tenant was created again;
    /// 5. the write of the plan.
    fn reconcile_tenant(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let compiled = block_in_place(|| {
            let state = self.read();
            let tenant = state.world.objects_of(key).find_map(|(_, object)| match object {
                Object::Tenant(tenant) => Some(tenant.clone()),
                _ => None,
            })?;
            let snapshot = state.world.tenant(key)?;
            let before = self.tenants.get(key).and_then(|tenant| tenant.last_good.in_force());
            let compiled = state.compile_after(&snapshot, before);
            Some((tenant, snapshot, compiled))
        });
        let Some((resource, snapshot, Compiled { plan, problems, kept })) = compiled else {
            return self.start_removal(store, key, failures);
        };
        self.make_credentials(&problems);
        let tenant = self.tenants.entry(key.clone()).or_default();
        let is_refused = is_refused(&problems);
        if let Some(names) = tenant.last_good.missing_names(&problems, is_refused)
            && let Some(id) = tenant_id(&resource)
        {
            return self.spawn(Job::Tenant(key.clone()), failures, async move {
                let in_force = store.reader().load_some(id, &names).await;
                Outcome::LookedUp(Box::new(LookedUp { names, in_force }))
            });
        }
        if is_refused {
            tenant.last_good = LastGoodRows::default(); // the whole tenant: too large to be held in memory
        }
        let Some(plan) = plan else {
            tenant.record_compile(problems, Some(Vec::new()));
            return self.reports.now(Some(key.clone()));
        };
        let whole = WholeRows::of(&kept);
        tenant.record_compile(problems, Some(kept));
        if tenant.id.is_some_and(|id| id != plan.tenant.id) {
            // The Tenant was deleted and created again, and so has another id.
            self.schedule.now(Job::Tenant(key.clone()));
            return self.start_removal(store, key, failures);
        }
        let (sink, media) = (self.sink.clone(), self.media.clone());
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            let written = write(&store, media, sink, resource, &plan, (&snapshot, &whole)).await;
            Outcome::Written(Box::new(plan.tenant), written)
        });
    }

    /// Requests a generated password for each extension without credentials.
    fn make_credentials(&self, problems: &[Problem]) {
        let Some(sink) = &self.sink else { return };
        let state = self.read();
        for problem in problems.iter().filter(|problem| problem.reason == Reason::CredentialsPending) {
            if let Some(Object::Extension(extension)) = state.world.object(&problem.resource)
                && extension.spec.credentials.is_none()
            {
                sink.make_credentials(extension.clone());
            }
        }
    }

    /// Starts to remove a tenant whose resource no longer exists.
    fn start_removal(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(tenant) = self.tenants.get_mut(key) else { return }; // its resources never had a Tenant
        tenant.problems.replace(Vec::new());
        let Some(id) = tenant.id else {
            self.tenants.remove(key);
            self.has_strays = true; // not stored here, but switches may hold it
            return;
        };
        let (owner, media) = (tenant.owner_uid.clone(), self.media.clone());
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            Outcome::Removed(Some(id), remove(&store, media, id, &owner, None).await)
        });
    }

    /// Starts to retain or drop the data of a Tenant that is being deleted, and to remove its finalizer.
    fn start_deletion(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(deleting) = self.deleting.get(key) else { return };
        let (tenant, sink, media) = (deleting.tenant.clone(), self.sink.clone(), self.media.clone());
        let id = tenant_id(&tenant);
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            Outcome::Removed(id, delete(&store, media, sink, tenant).await)
        });
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

/// Tenants whose resource exists.
struct LiveTenants {
    ids: BTreeSet<Uuid>,
    /// Unreadable tenants: their ids are unknown.
    unreadable: BTreeSet<TenantKey>,
}

/// Removes stored tenants without a resource. Returns the removed ones, and the number of failures.
async fn sweep(
    store: &Store,
    media: Option<PathBuf>,
    live: &LiveTenants,
) -> Result<(Vec<Uuid>, usize), StoreError> {
    let mut orphans = Vec::new();
    for stored in store.tenants().await? {
        let tenant = TenantKey { namespace: stored.namespace, name: stored.name };
        if stored.retained || live.ids.contains(&stored.id) || live.unreadable.contains(&tenant) {
            continue;
        }
        warn!(%tenant, id = %stored.id, owner = stored.owner_uid, "a stored tenant's resource is gone: it is removed");
        orphans.push((tenant, stored.id, stored.owner_uid));
    }
    let (mut removed, mut failed) = (Vec::new(), 0);
    for (tenant, id, owner) in orphans {
        match remove(store, media.clone(), id, &owner, None).await {
            Ok(done) => {
                info!(%tenant, %id, removed = ?done, "tenant removed: its resource is gone");
                removed.push(id);
            }
            Err(cause) => {
                error!(category = cause.category(), %tenant, %cause, "a tenant could not be removed");
                failed += 1;
            }
        }
    }
    Ok((removed, failed))
}

/// Removes a tenant from the store and, where that dropped its data, its media.
async fn remove(
    store: &Store,
    media: Option<PathBuf>,
    id: Uuid,
    owner: &str,
    policy: Option<DeletionPolicy>,
) -> Result<Removed, WorkError> {
    let removed = store.remove_tenant(id, owner, policy).await?;
    // Absent: a previous attempt may have dropped the schema and failed to remove the media.
    if let (Some(root), Removed::Dropped | Removed::Absent) = (media, removed) {
        let owner = owner.to_owned();
        match spawn_blocking(move || directory::remove(&root, id, &owner)).await.map_err(WorkError::from)? {
            Err(MediaError::NotOwner { .. } | MediaError::NoOwner { .. }) if removed == Removed::Absent => {}
            done => drop(done?),
        }
    }
    Ok(removed)
}

/// Retains or drops a tenant's data by its deletion policy, then removes the finalizer.
async fn delete(
    store: &Store,
    media: Option<PathBuf>,
    sink: Option<Arc<dyn ResourceSink>>,
    tenant: Arc<resources::Tenant>,
) -> Result<Removed, WorkError> {
    let (id, owner) = (tenant_id(&tenant), tenant.metadata.uid.clone().unwrap_or_default());
    let policy = tenant.spec.deletion_policy.unwrap_or_default();
    let removed = match id {
        Some(id) => match remove(store, media, id, &owner, Some(policy)).await {
            // It lost the conflict about this id: the stored rows belong to the winner.
            Err(WorkError::Store(StoreError::NotOwner { .. })) => Removed::Absent,
            removed => removed?,
        },
        None => Removed::Absent,
    };
    if let Some(sink) = sink {
        sink.remove_finalizer(tenant, removed).await?;
    }
    Ok(removed)
}

/// Table and name of the row that a resource compiles to; `None` for a kind without rows.
pub fn row_of(ObjectKey { kind, namespace, name }: &ObjectKey) -> Option<(&'static str, String)> {
    let name = match (*kind, namespace) {
        (Kind::Trunk, Some(namespace)) => format!("{namespace}/{name}"),
        _ => name.clone(),
    };
    has_rows(*kind).then(|| (kind.as_str(), name))
}

/// The resource that a row was compiled from; `None` for an unknown table.
pub fn resource_of(kind: &str, name: &str, tenant: Option<&TenantKey>) -> Option<ObjectKey> {
    let kind = Kind::by_name(kind)?;
    if kind == Kind::Trunk {
        let (namespace, name) = name.split_once('/')?;
        return Some(ObjectKey { kind, namespace: Some(namespace.to_owned()), name: name.to_owned() });
    }
    Some(ObjectKey { kind, namespace: tenant.map(|key| key.namespace.clone()), name: name.to_owned() })
}
