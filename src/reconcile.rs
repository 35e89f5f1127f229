//! The loop that every writing mode runs: changes of the world in, plans into the store.
//!
//! A change costs work for the tenants it concerns. What could not be written because Postgres was
//! away is tried again, with growing pauses; nothing is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet, block_in_place};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::compile::{self, Claims, Compiled, Effect, Problem};
use crate::plan::{PlatformPlan, TenantPlan};
use crate::source::world::{Touched, key_of};
use crate::source::{Change, PlatformSnapshot, TenantKey, World};
use crate::store::{Store, StoreError, Written};

/// Tenants written at one time.
const CONCURRENT_WRITES: usize = 8;
/// First and longest pause before what failed is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How far the store is: what a replica must hold to serve every resource seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Everything seen so far is stored.
    pub stored: bool,
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: BTreeMap<Uuid, i64>,
    /// Tenants that were removed and are not to be served any more.
    pub removed: BTreeSet<Uuid>,
    /// How many resources have a problem, refused or degraded.
    pub problems: usize,
}

/// The loop's state.
pub struct Reconciler {
    store: Store,
    world: World,
    claims: Claims,
    snapshot: PlatformSnapshot,
    platform: PlatformPlan,
    stored_platform: Option<PlatformPlan>,
    platform_problems: Vec<Problem>,
    orphans: Vec<Problem>,
    tenants: BTreeMap<TenantKey, Tenant>,
    /// Tenants to compile and write.
    pending: BTreeSet<TenantKey>,
    platform_pending: bool,
    /// Whether the world was told yet. Before that nothing may be written: what a large folder
    /// holds would be taken for gone while it is still being read.
    told: bool,
    /// Whether tenants in the store that the world does not know were removed.
    swept: bool,
    retry: Duration,
    progress: watch::Sender<Progress>,
}

/// A write that ended: of which tenant, which plan, and how.
type Write = (TenantKey, TenantPlan, Result<Written, StoreError>);

#[derive(Default)]
struct Tenant {
    id: Option<Uuid>,
    owner_uid: String,
    stored: Option<Arc<TenantPlan>>,
    problems: Vec<Problem>,
}

impl Reconciler {
    /// A loop that writes to a store and tells its progress.
    pub fn new(store: Store, progress: watch::Sender<Progress>) -> Self {
        Self {
            store,
            world: World::default(),
            claims: Claims::default(),
            snapshot: PlatformSnapshot::default(),
            platform: PlatformPlan::default(),
            stored_platform: None,
            platform_problems: Vec::new(),
            orphans: Vec::new(),
            tenants: BTreeMap::new(),
            pending: BTreeSet::new(),
            platform_pending: true,
            told: false,
            swept: false,
            retry: FIRST_RETRY,
            progress,
        }
    }

    /// Goes on with another store, after the first one lost the right to write: whatever is stored
    /// there may be somebody else's by now, so everything is compared again.
    pub fn replace_store(&mut self, store: Store) {
        self.store = store;
        self.stored_platform = None;
        self.platform_pending = true;
        self.pending.extend(self.tenants.keys().cloned());
        for tenant in self.tenants.values_mut() {
            tenant.stored = None;
        }
        self.swept = false;
        self.retry = FIRST_RETRY;
        self.progress.send_modify(|progress| progress.stored = false);
    }

    /// Takes changes in and writes what follows from them. `complete` says that the source could
    /// read everything: only then may what it does not show be taken for gone.
    pub async fn update(&mut self, changes: Vec<Change>, complete: bool) {
        // Compiling is work for the processor: answers on the same threads must not wait for it.
        block_in_place(|| self.take_in(changes));
        self.write(complete).await;
    }

    fn take_in(&mut self, changes: Vec<Change>) {
        self.told = true;
        let mut touched = Touched::default();
        for change in changes {
            touched.merge(self.world.apply(change));
        }
        self.compile_platform(&touched);
        self.pending.extend(touched.tenants);
        let orphans = compile::orphans(&self.world);
        report(&self.orphans, &orphans);
        self.orphans = orphans;
    }

    /// Tries again what could not be written.
    pub async fn retry(&mut self, complete: bool) {
        self.write(complete).await;
    }

    /// How long to wait before the next try; none when nothing waits for one.
    pub fn retry_after(&self) -> Option<Duration> {
        let waiting = !self.pending.is_empty() || self.platform_pending || !self.swept;
        (self.told && waiting).then_some(self.retry)
    }

    fn compile_platform(&mut self, touched: &Touched) {
        let first = self.stored_platform.is_none();
        let mut again = touched.platform || first;
        if touched.claims || first {
            let claims = Claims::new(&self.world);
            again |= claims.emergency_numbers() != self.claims.emergency_numbers();
            self.pending.extend(self.claims.moved(&claims));
            self.claims = claims;
        }
        if !again {
            return;
        }
        self.snapshot = self.world.platform();
        let Compiled { plan, problems } = compile::platform(&self.snapshot, &self.claims);
        self.platform = plan;
        report(&self.platform_problems, &problems);
        self.platform_problems = problems;
        self.platform_pending |= self.stored_platform.as_ref() != Some(&self.platform);
        // Limits, policies and trunks of every tenant may have changed with it.
        self.pending.extend(self.world.tenants().filter_map(|tenant| key_of(tenant)));
    }

    async fn write(&mut self, complete: bool) {
        let mut failed = self.write_platform().await.is_err();
        failed |= !self.write_tenants().await;
        if complete && !failed && !self.swept {
            match self.sweep().await {
                Ok(()) => self.swept = true,
                Err(cause) => {
                    error!(category = cause.category(), %cause, "stored tenants could not be compared");
                    failed = true;
                }
            }
        }
        self.retry = if failed { (self.retry * 2).min(LONGEST_RETRY) } else { FIRST_RETRY };
        let problems = self.all_problems().filter(|problem| problem.effect != Effect::Waiting);
        let problems = problems.map(|problem| &problem.resource).collect::<BTreeSet<_>>().len();
        self.progress.send_modify(|progress| {
            progress.stored = !failed;
            progress.problems = problems;
        });
    }

    async fn write_platform(&mut self) -> Result<(), ()> {
        if !self.platform_pending {
            return Ok(());
        }
        match self.store.write_platform(&self.platform).await {
            Ok(written) => {
                self.stored_platform = Some(self.platform.clone());
                self.platform_pending = false;
                self.progress.send_modify(|progress| progress.platform = written.revision);
                Ok(())
            }
            Err(cause) => {
                error!(category = cause.category(), %cause, "the platform's rows could not be written");
                Err(())
            }
        }
    }

    /// Compiles and writes every pending tenant; false when one has to be tried again. A tenant
    /// stays pending until it is written, whatever happens to the write.
    async fn write_tenants(&mut self) -> bool {
        let mut writes = JoinSet::new();
        for key in self.pending.clone() {
            while writes.len() >= CONCURRENT_WRITES {
                self.written(writes.join_next().await);
            }
            let compiled = block_in_place(|| {
                let snapshot = self.world.tenant(&key)?;
                Some(compile::tenant(&snapshot, &self.snapshot, &self.platform, &self.claims))
            });
            let Some(Compiled { plan, problems }) = compiled else {
                self.remove(&key).await;
                continue;
            };
            let tenant = self.tenants.entry(key.clone()).or_default();
            report(&tenant.problems, &problems);
            tenant.problems = problems;
            match plan {
                Some(plan) if tenant.stored.as_deref() != Some(&plan) => {
                    let store = self.store.clone();
                    writes.spawn(async move {
                        let result = store.write_tenant(&plan).await;
                        (key, plan, result)
                    });
                }
                _ => {
                    self.pending.remove(&key);
                }
            }
        }
        while !writes.is_empty() {
            self.written(writes.join_next().await);
        }
        self.pending.is_empty()
    }

    fn written(&mut self, done: Option<Result<Write, JoinError>>) {
        let (key, plan, result) = match done {
            Some(Ok(write)) => write,
            Some(Err(cause)) => return error!(%cause, "a write was broken off"),
            None => return,
        };
        match result {
            Ok(written) => {
                let id = plan.tenant.id;
                self.pending.remove(&key);
                let tenant = self.tenants.entry(key).or_default();
                tenant.id = Some(id);
                tenant.owner_uid.clone_from(&plan.tenant.owner_uid);
                tenant.stored = Some(Arc::new(plan));
                self.progress.send_modify(|progress| {
                    progress.tenants.insert(id, written.revision);
                    progress.removed.remove(&id);
                });
            }
            Err(cause) => {
                error!(category = cause.category(), tenant = %key, %cause, "a tenant could not be written");
            }
        }
    }

    /// Removes a tenant whose resource is gone.
    async fn remove(&mut self, key: &TenantKey) {
        let Some(tenant) = self.tenants.get(key) else {
            self.pending.remove(key); // children whose tenant never was
            return;
        };
        report(&tenant.problems, &[]);
        if let Some(id) = tenant.id {
            if let Err(cause) = self.store.remove_tenant(id, &tenant.owner_uid, None).await {
                error!(category = cause.category(), tenant = %key, %cause, "a tenant could not be removed");
                return;
            }
            info!(tenant = %key, %id, "tenant removed");
            self.progress.send_modify(|progress| {
                progress.tenants.remove(&id);
                progress.removed.insert(id);
            });
        }
        self.tenants.remove(key);
        self.pending.remove(key);
    }

    /// Removes tenants that were stored by an earlier run and are no longer in the world.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        let known: BTreeSet<TenantKey> = self.world.tenants().filter_map(|tenant| key_of(tenant)).collect();
        for stored in self.store.tenants().await? {
            let key = TenantKey { namespace: stored.namespace.clone(), name: stored.name.clone() };
            if stored.retained || known.contains(&key) {
                continue;
            }
            self.store.remove_tenant(stored.id, &stored.owner_uid, None).await?;
            self.progress.send_modify(|progress| progress.removed.extend([stored.id]));
            info!(tenant = %key, id = %stored.id, "tenant removed: its resource is gone");
        }
        Ok(())
    }

    fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        let tenants = self.tenants.values().flat_map(|tenant| &tenant.problems);
        self.platform_problems.iter().chain(&self.orphans).chain(tenants)
    }
}

/// Logs problems that are new, and says which are gone.
fn report(before: &[Problem], after: &[Problem]) {
    for problem in after.iter().filter(|problem| !before.contains(problem)) {
        let (resource, field, reason) = (&problem.resource, &problem.field, problem.reason);
        match problem.effect {
            Effect::Waiting => info!(%resource, %field, ?reason, "waiting: {}", problem.message),
            effect => warn!(%resource, %field, ?reason, ?effect, "{}", problem.message),
        }
    }
    for problem in before.iter().filter(|problem| !after.contains(problem)) {
        info!(resource = %problem.resource, field = %problem.field, reason = ?problem.reason, "no longer a problem");
    }
}
