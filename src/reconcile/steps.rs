//! The steps of the loop, in their order: [`Reconciler::work`] for the loop, `reconcile_platform` for the platform,
//! `reconcile_tenant` for one tenant.

use std::sync::Arc;

use tokio::task::block_in_place;
use tokio::time::sleep_until;
use tracing::warn;
use uuid::Uuid;

use super::Reconciler;
use super::jobs::{Job, LookedUp, Outcome, PlatformWritten};
use super::last_good::LastGoodRows;
use super::tenant::is_refused;
use super::writing::{WholeRows, write};
use crate::compile::claims::tenant_id;
use crate::compile::{Compiled, Problem, Reason};
use crate::plan::TenantPlan;
use crate::resources;
use crate::source::references::generated_secret;
use crate::source::{Object, TenantKey, TenantSnapshot};
use crate::store::{Names, Store};

/// A tenant's Tenant and snapshot, and what they compile to.
struct CompiledTenant {
    resource: Arc<resources::Tenant>,
    snapshot: TenantSnapshot,
    compiled: Compiled<Option<TenantPlan>>,
}

impl Reconciler {
    /// Starts the jobs that are due, then publishes one status or waits for one job. Returns after each, so
    /// that the caller can apply changes in between; pends for ever when there is nothing to do. Cancel-safe.
    pub async fn work(&mut self) {
        self.start_due_jobs();
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

    /// Starts one job: its first step that takes time.
    pub(super) fn start(&mut self, job: Job, failures: u32) {
        if self.hold_for_unreadable(&job) {
            return;
        }
        let Some(store) = self.role.store().cloned() else {
            return self.compile_without_store(&job);
        };
        match &job {
            Job::Sweep => self.start_sweep(store, failures),
            Job::Platform => self.reconcile_platform(store, failures),
            Job::Tenant(key) if self.deleting.contains_key(key) => self.start_deletion(store, key, failures),
            Job::Tenant(key) => self.reconcile_tenant(store, key, failures),
        }
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

    /// The steps for one tenant, in order. Each that takes time runs as a job, whose outcome schedules the tenant
    /// again for the step that follows.
    ///
    /// 1. Compile the tenant. If the Tenant no longer exists, remove the data instead.
    /// 2. Request generated passwords.
    /// 3. Read the rows in force that a problem needs and that are not known yet, then compile again.
    /// 4. Publish the problems. If no plan results, the stored rows stay as they are.
    /// 5. If the Tenant was created again, and so has another id, remove the previous data first.
    /// 6. Write the plan: finalizer, rows, media directory (`writing::write`).
    fn reconcile_tenant(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(CompiledTenant { resource, snapshot, compiled }) = self.compile_tenant(key) else {
            return self.start_removal(store, key, failures);
        };
        self.make_credentials(&compiled.problems);
        if let Some((id, names)) = self.missing_rows(key, &resource, &compiled.problems) {
            return self.start_read(store, key, id, names, failures);
        }
        let Some((plan, whole)) = self.record_compile(key, compiled) else {
            return self.reports.now(Some(key.clone()));
        };
        if self.has_other_id(key, plan.tenant.id) {
            self.schedule.now(Job::Tenant(key.clone()));
            return self.start_removal(store, key, failures);
        }
        let (sink, media) = (self.sink.clone(), self.media.clone());
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            let written = write(&store, media, sink, resource, &plan, (&snapshot, &whole)).await;
            Outcome::Written(Box::new(plan.tenant), written)
        });
    }

    /// Compiles a tenant with the rows in force that are known; `None` if the Tenant does not exist.
    fn compile_tenant(&self, key: &TenantKey) -> Option<CompiledTenant> {
        block_in_place(|| {
            let state = self.read();
            let resource = state.world.objects_of(key).find_map(|(_, object)| match object {
                Object::Tenant(tenant) => Some(tenant.clone()),
                _ => None,
            })?;
            let snapshot = state.world.tenant(key)?;
            let before = self.tenants.get(key).and_then(|tenant| tenant.last_good.in_force());
            let compiled = state.compile_after(&snapshot, before);
            Some(CompiledTenant { resource, snapshot, compiled })
        })
    }

    /// The id of a tenant and the names of rows in force that its problems need and that are not known.
    fn missing_rows(
        &mut self,
        key: &TenantKey,
        resource: &resources::Tenant,
        problems: &[Problem],
    ) -> Option<(Uuid, Names)> {
        let tenant = self.tenants.entry(key.clone()).or_default();
        let names = tenant.last_good.missing_names(problems, is_refused(problems))?;
        Some((tenant_id(resource)?, names))
    }

    fn start_read(&mut self, store: Store, key: &TenantKey, id: Uuid, names: Names, failures: u32) {
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            let in_force = store.reader().load_some(id, &names).await;
            Outcome::LookedUp(Box::new(LookedUp { names, in_force }))
        });
    }

    /// Records a tenant's problems. Returns the plan, if one results, and the rows that keep their last good version.
    fn record_compile(
        &mut self,
        key: &TenantKey,
        Compiled { plan, problems, kept }: Compiled<Option<TenantPlan>>,
    ) -> Option<(TenantPlan, WholeRows)> {
        let tenant = self.tenants.entry(key.clone()).or_default();
        if is_refused(&problems) {
            tenant.last_good = LastGoodRows::default(); // the whole tenant: too large to be held in memory
        }
        let Some(plan) = plan else {
            tenant.record_compile(problems, Some(Vec::new()));
            return None;
        };
        let whole = WholeRows::of(&kept);
        tenant.record_compile(problems, Some(kept));
        Some((plan, whole))
    }

    /// Whether a tenant is stored under another id than this one.
    fn has_other_id(&self, key: &TenantKey, id: Uuid) -> bool {
        self.tenants.get(key).and_then(|tenant| tenant.id).is_some_and(|stored| stored != id)
    }

    /// Requests a generated Secret for each extension and device without credentials.
    fn make_credentials(&self, problems: &[Problem]) {
        let Some(sink) = &self.sink else { return };
        let state = self.read();
        for problem in problems.iter().filter(|problem| problem.reason == Reason::CredentialsPending) {
            let Some(object) = state.world.object(&problem.resource) else { continue };
            // A Secret that exists and has no such key is not written over.
            if generated_secret(object).is_some_and(|secret| state.world.object(&secret).is_none()) {
                sink.make_credentials(object.clone());
            }
        }
    }

    /// Keeps the stored rows of a job that depends on an unreadable object, and reports that: compiled without
    /// the object, its rows would be deleted. Returns whether the job is held.
    fn hold_for_unreadable(&mut self, job: &Job) -> bool {
        let state = self.read();
        let why = match job {
            Job::Sweep => None,
            // The rows in force are read first: tenants wait for them.
            Job::Platform if !self.platform.looked_up && self.role.writer().is_some() => None,
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
        let store_error = self.role.store_error();
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
}
