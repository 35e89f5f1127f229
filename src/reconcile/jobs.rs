//! What is done: jobs started when they are due, a few at a time.

use crate::resources::Kind;
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
use crate::resources::tenant::DeletionPolicy;
use crate::source::{Object, ObjectKey, TenantKey};
use crate::store::{Names, Removed, Store, StoreError, Written};

/// Jobs looked at before the loop listens again: most need no writing at a restart.
const STARTED_AT_ONCE: usize = 32;

/// A piece of work, done one at a time by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Remove what earlier runs stored and the world does not know.
    Sweep,
    /// Write the platform's rows.
    Platform,
    /// Compile and write a tenant, or deal with its end.
    Tenant(TenantKey),
}

/// How a job ended, with how often it had failed before.
pub struct Done {
    pub job: Job,
    pub failures: u32,
    pub outcome: Outcome,
}

/// What came of it.
pub enum Outcome {
    /// How many tenants were swept away, and how many could not be.
    Swept(Result<(Vec<Uuid>, usize), StoreError>),
    /// What is in force of the platform was looked up.
    PlatformLookedUp(Result<InForce<PlatformPlan>, StoreError>),
    Platform(Box<PlatformWritten>),
    LookedUp(Box<LookedUp>),
    Written(Box<TenantRow>, Result<Written, WorkError>),
    /// A tenant's data was dealt with; its Tenant resource is gone, or was let go.
    Removed(Option<Uuid>, Result<Removed, WorkError>),
}

/// What came of writing the platform.
pub struct PlatformWritten {
    pub plan: PlatformPlan,
    /// What the written rows were compiled from.
    pub origins: Vec<(&'static str, String, Origin)>,
    pub written: Result<Written, StoreError>,
}

/// What is in force of a tenant's resources that have a problem.
pub struct LookedUp {
    pub asked: Names,
    pub in_force: Result<Option<InForce<TenantPlan>>, StoreError>,
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The store did.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API server did.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The media directory did.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The work was broken off.
    #[error("broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl WorkError {
    /// The kind of error, stable, for metrics and conditions.
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
    /// Does what is due, and waits for what runs; returns after each piece, so that changes can be
    /// taken in between. Waits for ever when there is nothing to do. Can be broken off anywhere.
    pub async fn work(&mut self) {
        self.start();
        if self.report_next() {
            return tokio::task::yield_now().await;
        }
        let wake = self.wake();
        tokio::select! {
            Some(done) = self.running.join_next(), if !self.running.is_empty() => match done {
                Ok(done) => self.finish(done),
                Err(cause) => self.broken_off(&cause),
            },
            () = async { match wake { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }

    fn wake(&self) -> Option<Instant> {
        let gate = self.gate();
        let job = match self.running.len() < CONCURRENT_JOBS && self.leading {
            true => self.schedule.next(|job| gate.open(job) && !self.busy.contains(job)),
            false => None,
        };
        job.into_iter().chain(self.reports.next(|_| true)).min()
    }

    fn gate(&self) -> JobGate {
        // On a cluster nothing is written before everything was listed: half a tenant is none.
        let seen = self.told && (self.complete || self.outside.is_none());
        // A name may have to be freed first. What is written during a sweep would be unknown to it.
        let free = self.swept || !self.complete || self.store.is_none();
        let sweep = self.complete && self.store.is_some() && self.busy.is_empty();
        let write = seen && free && !self.busy.contains(&Job::Sweep);
        // What a trunk's row from before says, tenants stand on.
        let tenants = write && (self.platform.looked_up || self.store.is_none());
        JobGate { sweep: seen && sweep, write, tenants }
    }

    fn start(&mut self) {
        for _ in 0..STARTED_AT_ONCE {
            if self.running.len() >= CONCURRENT_JOBS {
                break;
            }
            if !self.leading {
                break;
            }
            let (gate, busy) = (self.gate(), &self.busy);
            let due = self.schedule.take(|job| gate.open(job) && !busy.contains(job));
            let Some((job, failures)) = due else { break };
            if self.keep(&job) {
                continue;
            }
            let Some(store) = self.store.clone() else {
                self.judge_only(&job);
                continue;
            };
            match &job {
                Job::Sweep => self.sweep(store, failures),
                Job::Platform => self.write_platform(store, failures),
                Job::Tenant(key) if self.deleting.contains_key(key) => self.delete(store, key, failures),
                Job::Tenant(key) => self.compile(store, key, failures),
            }
        }
        self.tell();
    }

    /// Leaves what is stored as it is, and says so, where something that it was made of cannot be read:
    /// it would look as if that were gone.
    fn keep(&mut self, job: &Job) -> bool {
        let known = self.read();
        let why = match job {
            Job::Sweep => None,
            // What is in force is looked up first, for tenants wait for that.
            Job::Platform if !self.platform.looked_up && self.store.is_some() => None,
            Job::Platform => known.world.unreadable_for_platform(),
            Job::Tenant(key) => known.world.unreadable_for_tenant(key),
        };
        let Some(why) = why.map(|unreadable| unreadable.key.clone()) else { return false };
        drop(known);
        if let Job::Tenant(key) = job {
            let message = format!(
                "{why} cannot be read by this release; until it can be, or is deleted, what is stored of \
                 the tenant stays as it is"
            );
            let problem = Problem::degraded(key.object(), "spec", Reason::InvalidValue, message);
            self.tenants.entry(key.clone()).or_default().keep(problem);
            self.reports.now(Some(key.clone()));
        } else {
            warn!(unreadable = %why, "the platform's rows stay as they are stored");
            self.platform.rows.compiled();
            self.platform.rows.failed = Some("unreadable");
            self.reports.now(None);
        }
        true
    }

    /// Says what is wrong while Postgres is away; everything is done again when it is there.
    fn judge_only(&mut self, job: &Job) {
        let away = Some(self.away);
        match job {
            Job::Sweep => {}
            Job::Platform => {
                self.platform.rows.compiled();
                self.platform.rows.failed = away;
                self.reports.now(None);
            }
            Job::Tenant(key) => {
                let Some(compiled) = block_in_place(|| self.read().compile(key)) else { return };
                self.make_credentials(&compiled.problems);
                let tenant = self.tenants.entry(key.clone()).or_default();
                tenant.compiled(compiled.problems, None);
                tenant.rows.failed = away;
                self.reports.now(Some(key.clone()));
            }
        }
    }

    fn spawn(&mut self, job: Job, failures: u32, work: impl Future<Output = Outcome> + Send + 'static) {
        self.busy.insert(job.clone());
        self.running.spawn(async move { Done { job, failures, outcome: work.await } });
    }

    fn sweep(&mut self, store: Store, failures: u32) {
        let media = self.media.clone();
        let known = self.read();
        let alive = known.world.tenants().filter_map(|tenant| tenant_id(tenant));
        let leaving = self.deleting.values().filter_map(|deleting| tenant_id(&deleting.tenant));
        let ids = alive.chain(leaving).collect();
        let there = LiveTenants { ids, unreadable: known.world.unreadable_tenants().collect() };
        drop(known);
        self.spawn(Job::Sweep, failures, async move { Outcome::Swept(sweep(&store, media, &there).await) });
    }

    fn write_platform(&mut self, store: Store, failures: u32) {
        if !self.platform.looked_up {
            return self.spawn(Job::Platform, failures, async move {
                Outcome::PlatformLookedUp(store.reader().load_platform_in_force().await)
            });
        }
        let known = self.read();
        let (plan, snapshot) = (known.platform.clone(), known.snapshot.clone());
        let whole = WholeRows::of(&known.kept);
        drop(known);
        self.platform.rows.compiled();
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

    /// Compiles a tenant, and writes it if its plan differs from what is stored.
    fn compile(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let compiled = block_in_place(|| {
            let known = self.read();
            let tenant = known.world.objects_of(key).find_map(|(_, object)| match object {
                Object::Tenant(tenant) => Some(tenant.clone()),
                _ => None,
            })?;
            let snapshot = known.world.tenant(key)?;
            let before = self.tenants.get(key).and_then(|tenant| tenant.before.in_force());
            let compiled = known.compile_after(&snapshot, before);
            Some((tenant, snapshot, compiled))
        });
        let Some((resource, snapshot, Compiled { plan, problems, kept })) = compiled else {
            return self.remove(store, key, failures);
        };
        self.make_credentials(&problems);
        let tenant = self.tenants.entry(key.clone()).or_default();
        let is_refused = is_refused(&problems);
        if let Some(asked) = tenant.before.to_ask(&problems, is_refused)
            && let Some(id) = tenant_id(&resource)
        {
            return self.spawn(Job::Tenant(key.clone()), failures, async move {
                let in_force = store.reader().load_some(id, &asked).await;
                Outcome::LookedUp(Box::new(LookedUp { asked, in_force }))
            });
        }
        if is_refused {
            tenant.before = LastGoodRows::default(); // all that it has: too much to be held
        }
        let Some(plan) = plan else {
            tenant.compiled(problems, Some(Vec::new()));
            return self.reports.now(Some(key.clone()));
        };
        let whole = WholeRows::of(&kept);
        tenant.compiled(problems, Some(kept));
        if tenant.id.is_some_and(|id| id != plan.tenant.id) {
            // Deleted and made anew while nobody looked: the old one goes first.
            self.schedule.now(Job::Tenant(key.clone()));
            return self.remove(store, key, failures);
        }
        let (outside, media) = (self.outside.clone(), self.media.clone());
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            let written = write(&store, media, outside, resource, &plan, (&snapshot, &whole)).await;
            Outcome::Written(Box::new(plan.tenant), written)
        });
    }

    /// Asks for passwords that are missing because nobody named one.
    fn make_credentials(&self, problems: &[Problem]) {
        let Some(outside) = &self.outside else { return };
        let known = self.read();
        for problem in problems.iter().filter(|problem| problem.reason == Reason::CredentialsPending) {
            if let Some(Object::Extension(extension)) = known.world.object(&problem.resource)
                && extension.spec.credentials.is_none()
            {
                outside.make_credentials(extension.clone());
            }
        }
    }

    /// Removes a tenant whose resource is gone.
    fn remove(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(tenant) = self.tenants.get_mut(key) else { return }; // children whose tenant never was
        tenant.problems.replace(Vec::new());
        let Some(id) = tenant.id else {
            self.tenants.remove(key);
            self.strays = true; // it was not stored, and switches may hold it
            return;
        };
        let (owner, media) = (tenant.owner_uid.clone(), self.media.clone());
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            Outcome::Removed(Some(id), remove(&store, media, id, &owner, None).await)
        });
    }

    /// Deals with the data of a Tenant that is being deleted, and lets it go.
    fn delete(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(deleting) = self.deleting.get(key) else { return };
        let (tenant, outside, media) = (deleting.tenant.clone(), self.outside.clone(), self.media.clone());
        let id = tenant_id(&tenant);
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            Outcome::Removed(id, delete(&store, media, outside, tenant).await)
        });
    }
}

/// Which jobs may run by now.
#[derive(Clone, Copy)]
struct JobGate {
    sweep: bool,
    write: bool,
    tenants: bool,
}

impl JobGate {
    fn open(self, job: &Job) -> bool {
        match job {
            Job::Sweep => self.sweep,
            Job::Platform => self.write,
            Job::Tenant(_) => self.tenants,
        }
    }
}

/// Tenants whose resource is there.
struct LiveTenants {
    ids: BTreeSet<Uuid>,
    /// Of these only the name is known.
    unreadable: BTreeSet<TenantKey>,
}

/// Removes tenants that are stored and not there: those removed, and how many could not be.
async fn sweep(
    store: &Store,
    media: Option<PathBuf>,
    there: &LiveTenants,
) -> Result<(Vec<Uuid>, usize), StoreError> {
    let mut orphans = Vec::new();
    for stored in store.tenants().await? {
        let tenant = TenantKey { namespace: stored.namespace, name: stored.name };
        if stored.retained || there.ids.contains(&stored.id) || there.unreadable.contains(&tenant) {
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
    // Absent: an earlier try may have dropped the schema and failed at the media.
    if let (Some(root), Removed::Dropped | Removed::Absent) = (media, removed) {
        let owner = owner.to_owned();
        match spawn_blocking(move || directory::remove(&root, id, &owner)).await.map_err(WorkError::from)? {
            Err(MediaError::NotOwner { .. } | MediaError::NoOwner { .. }) if removed == Removed::Absent => {}
            done => drop(done?),
        }
    }
    Ok(removed)
}

async fn delete(
    store: &Store,
    media: Option<PathBuf>,
    outside: Option<Arc<dyn ResourceSink>>,
    tenant: Arc<resources::Tenant>,
) -> Result<Removed, WorkError> {
    let (id, owner) = (tenant_id(&tenant), tenant.metadata.uid.clone().unwrap_or_default());
    let policy = tenant.spec.deletion_policy.unwrap_or_default();
    let removed = match id {
        Some(id) => match remove(store, media, id, &owner, Some(policy)).await {
            // It lost the conflict about this identity: what is stored is the winner's.
            Err(WorkError::Store(StoreError::NotOwner { .. })) => Removed::Absent,
            removed => removed?,
        },
        None => Removed::Absent,
    };
    if let Some(outside) = outside {
        outside.remove_finalizer(tenant, removed).await?;
    }
    Ok(removed)
}

/// The row that a resource is compiled to, by its kind and name; none of a kind that has no rows.
pub fn row_of(ObjectKey { kind, namespace, name }: &ObjectKey) -> Option<(&'static str, String)> {
    let name = match (*kind, namespace) {
        (Kind::Trunk, Some(namespace)) => format!("{namespace}/{name}"),
        _ => name.clone(),
    };
    has_rows(*kind).then(|| (kind.as_str(), name))
}

/// The resource that a row was compiled from.
pub fn resource_of(kind: &str, name: &str, tenant: Option<&TenantKey>) -> Option<ObjectKey> {
    let kind = Kind::by_name(kind)?;
    if kind == Kind::Trunk {
        let (namespace, name) = name.split_once('/')?;
        return Some(ObjectKey { kind, namespace: Some(namespace.to_owned()), name: name.to_owned() });
    }
    Some(ObjectKey { kind, namespace: tenant.map(|key| key.namespace.clone()), name: name.to_owned() })
}
