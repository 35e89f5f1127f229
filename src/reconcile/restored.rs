//! After Postgres was set back to an older state, by a restored backup or a failover: switches hold what is
//! later than that, and keep it until what is stored was compared and written past it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::Reconciler;
use super::jobs::Job;
use crate::compile::claims::tenant_id;
use crate::source::TenantKey;
use crate::source::index::key_of;
use crate::status::acks::MOST_AHEAD;

/// Pause before it is tried again to say that tenants are gone.
const RETRY: Duration = Duration::from_secs(1);

impl Reconciler {
    /// Has it said of everything that it is not known to be stored.
    pub(super) fn report_set_back(&mut self) {
        let keys: Vec<_> = self.read().world.tenants().filter_map(|tenant| key_of(tenant)).collect();
        for key in keys {
            self.tenants.entry(key.clone()).or_default();
            self.reports.now(Some(key));
        }
        self.reports.now(None);
    }

    /// Has a tenant written anew when a switch holds a later revision than is stored: the number tells that
    /// it is another one, and not what it has.
    pub(super) fn catch_up(&mut self, key: &TenantKey) {
        let Some((tenant, store)) = self.tenants.get(key).zip(self.store.as_ref()) else { return };
        let Some(id) = tenant.id.filter(|_| tenant.stored.is_some()) else { return };
        // What was just written may be reported before it is known here.
        if self.busy.contains(&Job::Tenant(key.clone())) {
            return;
        }
        if let Some(held) = self.acks.ahead(Some(id), tenant.rows.revision) {
            warn!(tenant = %key, held, stored = tenant.rows.revision, "a switch holds a later revision than Postgres, which was set back: it is written past that");
            store.memory().raise(Some(id), held);
            self.schedule.now(Job::Tenant(key.clone()));
        }
    }

    /// The same for the platform.
    pub(super) fn catch_up_platform(&mut self) {
        let Some(store) = self.store.as_ref().filter(|_| self.platform.stored.is_some()) else { return };
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

    /// Tells switches that tenants are gone which they hold and nobody knows: once everything is stored,
    /// so that none is on its way.
    pub(super) fn remove_strays(&mut self) {
        let Some(store) = self.store.clone().filter(|_| self.strays && self.swept && self.is_stored()) else {
            return;
        };
        let known = self.read();
        // One that cannot be read has an identity that nobody knows.
        if known.world.unreadable_tenants().next().is_some() {
            return;
        }
        // One that is refused is there, and stays as it is.
        let there: BTreeSet<_> = known.world.tenants().filter_map(|tenant| tenant_id(tenant)).collect();
        drop(known);
        self.strays = false;
        let mut strays = self.acks.tenants();
        strays.retain(|id, held| {
            !self.by_id.contains_key(id) && !there.contains(id) && (0..=MOST_AHEAD).contains(held)
        });
        if strays.is_empty() {
            return;
        }
        let strays: Vec<_> = strays.into_iter().collect();
        self.removing_strays = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            while let Err(cause) = store.remove_unknown(&strays).await {
                warn!(category = cause.category(), %cause, "switches could not be told which tenants are gone");
                tokio::time::sleep(RETRY).await;
            }
            info!(tenants = strays.len(), "switches were told which tenants are gone");
        })));
    }
}
