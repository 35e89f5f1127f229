//! Recovery after Postgres was set back to an older state, by a restored backup or a failover. Switches hold
//! later revisions, and keep them until every tenant is written with a revision past those.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::Reconciler;
use super::jobs::Job;
use super::role::Writer;
use crate::compile::claims::tenant_id;
use crate::source::TenantKey;
use crate::source::index::key_of;
use crate::status::acks::MAX_AHEAD;

/// Pause before tenants are reported as removed again, after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Reconciler {
    /// Schedules every status: no resource is known to be stored.
    pub(super) fn report_set_back(&mut self) {
        let keys: Vec<_> = self.read().world.tenants().filter_map(|tenant| key_of(tenant)).collect();
        for key in keys {
            self.tenants.entry(key.clone()).or_default();
            self.reports.now(Some(key));
        }
        self.reports.now(None);
    }

    /// Schedules a write of a tenant if a switch holds a later revision than is stored: its rows are of the time
    /// before the set-back. The write gets a revision past that.
    pub(super) fn catch_up(&mut self, key: &TenantKey) {
        let Some((tenant, store)) = self.tenants.get(key).zip(self.role.store()) else { return };
        let Some(id) = tenant.id.filter(|_| tenant.stored.is_some()) else { return };
        // A switch may report a write before its job has ended here.
        if self.busy.contains(&Job::Tenant(key.clone())) {
            return;
        }
        if let Some(held) = self.acks.ahead(Some(id), tenant.rows.revision) {
            warn!(tenant = %key, held, stored = tenant.rows.revision, "a switch holds a later revision than Postgres, which was set back: it is written past that");
            store.memory().raise(Some(id), held);
            self.schedule.now(Job::Tenant(key.clone()));
        }
    }

    /// The same as [`Self::catch_up`], for the platform.
    pub(super) fn catch_up_platform(&mut self) {
        let Some(store) = self.role.store().filter(|_| self.platform.stored.is_some()) else { return };
        let stored = self.platform.rows.revision;
        if self.busy.contains(&Job::Platform) {
            return;
        }
        if let Some(held) = self.acks.ahead(None, stored) {
            warn!(
                held,
                stored,
                "a switch holds later rows of the platform than Postgres, which was set back: they are written past that"
            );
            store.memory().raise(None, held);
            self.platform.stored = None;
            self.schedule.now(Job::Platform);
        }
    }

    /// Tells switches to drop tenants that they hold and that do not exist. Waits until everything is stored, so
    /// that no such tenant is about to be written.
    pub(super) fn remove_strays(&mut self) {
        let due = |writer: &&Writer| writer.has_strays && writer.sweep_done;
        let Some(store) = self.role.writer().filter(due).map(|writer| writer.store.clone()) else { return };
        if !self.is_stored() {
            return;
        }
        let state = self.read();
        // The id of an unreadable tenant is unknown, and may be one of these.
        if state.world.unreadable_tenants().next().is_some() {
            return;
        }
        // A refused tenant exists, and keeps its rows.
        let live: BTreeSet<_> = state.world.tenants().filter_map(|tenant| tenant_id(tenant)).collect();
        drop(state);
        let mut strays = self.acks.tenants();
        strays.retain(|id, held| {
            !self.by_id.contains_key(id) && !live.contains(id) && (0..=MAX_AHEAD).contains(held)
        });
        let Some(writer) = self.role.writer_mut() else { return };
        writer.has_strays = false;
        if strays.is_empty() {
            return;
        }
        let strays: Vec<_> = strays.into_iter().collect();
        writer.stray_removal = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            while let Err(cause) = store.remove_unknown(&strays).await {
                warn!(category = cause.category(), %cause, "switches could not be told which tenants are gone");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            info!(tenants = strays.len(), "switches were told which tenants are gone");
        })));
    }
}
