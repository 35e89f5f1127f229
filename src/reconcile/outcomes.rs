//! Records how jobs ended.

use std::sync::PoisonError;

use tokio::task::{JoinError, block_in_place};
use tracing::error;
use uuid::Uuid;

use super::Reconciler;
use super::jobs::{FinishedJob, Job, LookedUp, Outcome, PlatformWritten, WorkError};
use super::last_good::LastGoodRows;
use super::rows::resource_of;
use crate::plan::{InForce, PlatformPlan, TenantRow};
use crate::source::TenantKey;
use crate::store::{StoreError, Written};

impl Reconciler {
    /// Records the outcome of a job, and schedules a retry if it failed.
    pub(super) fn finish(&mut self, done: FinishedJob) {
        let FinishedJob { job, failures, outcome } = done;
        self.busy.remove(&job);
        let retry = match (&job, outcome) {
            (_, Outcome::Swept(swept)) => self.after_sweep(swept),
            (_, Outcome::PlatformLookedUp(in_force)) => self.after_platform_look_up(in_force),
            (_, Outcome::Platform(written)) => self.after_platform(*written),
            (Job::Tenant(key), Outcome::LookedUp(looked_up)) => self.after_look_up(key, *looked_up),
            (Job::Tenant(key), Outcome::Written(row, written)) => self.after_write(key, *row, written),
            (Job::Tenant(key), Outcome::Removed(id, removed)) => self.after_removal(key, id, removed),
            _ => false,
        };
        if retry {
            self.schedule.retry(job, failures.saturating_add(1));
        }
        self.publish_progress();
    }

    /// Handles a job that panicked. Which one is unknown, so every running job is scheduled again.
    pub(super) fn reschedule_aborted(&mut self, cause: &JoinError) {
        error!(%cause, "a job was broken off");
        for job in std::mem::take(&mut self.busy) {
            self.schedule.retry(job, 1);
        }
    }

    fn after_sweep(&mut self, swept: Result<(Vec<Uuid>, usize), StoreError>) -> bool {
        match swept {
            Ok((removed, failed)) => {
                if let Some(writer) = self.role.writer_mut() {
                    writer.sweep_done = true;
                }
                self.progress.send_modify(|progress| progress.removed.extend(removed));
                failed > 0
            }
            Err(cause) => {
                self.metrics.failed(cause.category());
                error!(category = cause.category(), %cause, "stored tenants could not be compared");
                true
            }
        }
    }

    /// Records the platform's rows in force. Rows that no retry can read are treated as missing.
    fn after_platform_look_up(&mut self, in_force: Result<InForce<PlatformPlan>, StoreError>) -> bool {
        let in_force = match in_force {
            Ok(in_force) => in_force,
            Err(cause) => {
                self.metrics.failed(cause.category());
                error!(category = cause.category(), %cause, "the platform's rows could not be read");
                if cause.is_passing() {
                    self.platform.rows.failed = Some(cause.category());
                    self.reports.now(None);
                    return true;
                }
                InForce::default() // no retry helps: tenants must not wait
            }
        };
        self.platform.looked_up = true;
        let consequences = block_in_place(|| self.write().set_in_force(in_force));
        for key in consequences.tenants {
            self.schedule.now(Job::Tenant(key));
        }
        self.schedule.now(Job::Platform);
        false
    }

    /// Records a tenant's rows in force, and schedules the tenant to be compiled with them.
    fn after_look_up(&mut self, key: &TenantKey, looked_up: LookedUp) -> bool {
        let LookedUp { names, in_force } = looked_up;
        let tenant = self.tenants.entry(key.clone()).or_default();
        match in_force {
            Ok(in_force) => tenant.last_good.set(names, in_force),
            Err(cause) => {
                self.metrics.failed(cause.category());
                error!(category = cause.category(), tenant = %key, %cause, "a tenant's rows could not be read");
                if !matches!(cause, StoreError::Unreadable { .. }) {
                    tenant.rows.failed = Some(cause.category());
                    self.reports.now(Some(key.clone()));
                    return true;
                }
                tenant.last_good.set(names, None);
            }
        }
        self.schedule.now(Job::Tenant(key.clone()));
        false
    }

    fn after_platform(&mut self, PlatformWritten { plan, origins, written }: PlatformWritten) -> bool {
        self.reports.now(None);
        match written {
            Ok(written) => {
                let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                let in_force = state.in_force.get_or_insert_default();
                in_force.plan.clone_from(&plan);
                for (table, name, origin) in origins {
                    in_force.note(table, &name, origin);
                }
                drop(state);
                self.platform.stored = Some(plan);
                let changed = written.rows.iter().filter_map(|(table, name)| resource_of(table, name, None));
                self.platform.rows.record_write(written.revision, changed);
                self.progress.send_modify(|progress| progress.platform = written.revision);
                self.catch_up_platform();
                false
            }
            Err(cause) => {
                self.metrics.failed(cause.category());
                error!(category = cause.category(), %cause, "the platform's rows could not be written");
                self.platform.rows.failed = Some(cause.category());
                true
            }
        }
    }

    fn after_write(&mut self, key: &TenantKey, row: TenantRow, written: Result<Written, WorkError>) -> bool {
        self.reports.now(Some(key.clone()));
        let tenant = self.tenants.entry(key.clone()).or_default();
        match written {
            Ok(written) => {
                tenant.last_good.record_write(&written);
                let id = row.id;
                tenant.id = Some(id);
                tenant.owner_uid.clone_from(&row.owner_uid);
                let header = tenant.stored.as_ref() != Some(&row);
                let rows = written.rows.iter().filter_map(|(t, name)| resource_of(t, name, Some(key)));
                let own = (header && written.changed).then(|| key.object());
                tenant.rows.record_write(written.revision, rows.chain(own));
                tenant.stored = Some(row);
                self.by_id.insert(id, key.clone());
                self.progress.send_modify(|progress| {
                    progress.tenants.insert(id, written.revision);
                    progress.removed.remove(&id);
                });
                self.catch_up(key);
                false
            }
            Err(cause) => self.after_write_failed(key, &cause),
        }
    }

    fn after_write_failed(&mut self, key: &TenantKey, cause: &WorkError) -> bool {
        self.metrics.failed(cause.category());
        error!(category = cause.category(), tenant = %key, %cause, "a tenant could not be written");
        let tenant = self.tenants.entry(key.clone()).or_default();
        tenant.last_good = LastGoodRows::default(); // the write may have been committed
        tenant.rows.failed = Some(cause.category());
        self.reports.now(Some(key.clone()));
        true
    }
}
