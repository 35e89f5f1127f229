//! Removes tenants whose resource no longer exists or is being deleted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::jobs::{Job, Outcome, WorkError};
use super::{Reconciler, ResourceSink};
use crate::compile::claims::tenant_id;
use crate::media::directory;
use crate::media::directory::MediaError;
use crate::resources;
use crate::resources::tenant::DeletionPolicy;
use crate::source::TenantKey;
use crate::store::{Removed, Store, StoreError};

/// Failing time of a deletion after which it is reported as blocked.
const BLOCKED_AFTER: Duration = Duration::from_secs(30);

impl Reconciler {
    /// Starts to remove stored tenants without a resource.
    pub(super) fn start_sweep(&mut self, store: Store, failures: u32) {
        let media = self.media.clone();
        let state = self.read();
        let ids = state.world.tenants().filter_map(|tenant| tenant_id(tenant)).collect();
        let deleting = self.deleting.values().filter_map(|deleting| tenant_id(&deleting.tenant)).collect();
        let live = LiveTenants { ids, deleting, unreadable: state.world.unreadable_tenants().collect() };
        drop(state);
        self.spawn(Job::Sweep, failures, async move { Outcome::Swept(sweep(&store, media, &live).await) });
    }

    /// Starts to remove a tenant whose resource no longer exists.
    pub(super) fn start_removal(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(tenant) = self.tenants.get_mut(key) else { return }; // its resources never had a Tenant
        tenant.problems.replace(Vec::new());
        let Some(id) = tenant.id else {
            self.tenants.remove(key);
            self.role.suspect_strays(); // not stored here, but switches may hold it
            return;
        };
        let (owner, media) = (tenant.owner_uid.clone(), self.media.clone());
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            Outcome::Removed(Some(id), remove(&store, media, id, &owner, None).await)
        });
    }

    /// Starts to retain or drop the data of a Tenant that is being deleted, and to remove its finalizer.
    pub(super) fn start_deletion(&mut self, store: Store, key: &TenantKey, failures: u32) {
        let Some(deleting) = self.deleting.get(key) else { return };
        let (tenant, sink, media) = (deleting.tenant.clone(), self.sink.clone(), self.media.clone());
        let id = tenant_id(&tenant);
        self.spawn(Job::Tenant(key.clone()), failures, async move {
            Outcome::Removed(id, delete(&store, media, sink, tenant).await)
        });
    }

    /// Records a removal. Returns whether it must be retried.
    pub(super) fn after_removal(
        &mut self,
        key: &TenantKey,
        id: Option<Uuid>,
        removed: Result<Removed, WorkError>,
    ) -> bool {
        match removed {
            Ok(removed) => {
                info!(tenant = %key, id = id.map(tracing::field::display), ?removed, "tenant removed");
                // A deleted Tenant stays in `deleting` until the watch shows its removal.
                self.tenants.remove(key);
                if removed == Removed::Absent {
                    self.role.suspect_strays(); // switches may hold it nevertheless
                }
                // After a conflict about an id, the id stays with the winner.
                let own = |id: &Uuid| self.by_id.get(id).is_none_or(|holder| holder == key);
                if let Some(id) = id.filter(own) {
                    self.by_id.remove(&id);
                    self.progress.send_modify(|progress| {
                        progress.tenants.remove(&id);
                        progress.removed.insert(id);
                    });
                }
                false
            }
            Err(cause) => {
                self.metrics.failed(cause.category());
                error!(category = cause.category(), tenant = %key, %cause, "a tenant could not be removed");
                if self.deleting.get(key).is_some_and(|deleting| deleting.since.elapsed() >= BLOCKED_AFTER) {
                    self.report_blocked(key, &cause);
                }
                true
            }
        }
    }
}

/// Tenants whose resource exists.
struct LiveTenants {
    ids: BTreeSet<Uuid>,
    /// Tenants that are being deleted.
    deleting: BTreeSet<Uuid>,
    /// Unreadable tenants: their ids are unknown.
    unreadable: BTreeSet<TenantKey>,
}

/// Removes stored tenants without a resource, and creates the roles of tenants that are not stored yet. Returns the
/// removed ones, and the number of failures.
async fn sweep(
    store: &Store,
    media: Option<PathBuf>,
    live: &LiveTenants,
) -> Result<(Vec<Uuid>, usize), StoreError> {
    let mut orphans = Vec::new();
    let mut new = live.ids.clone();
    for stored in store.tenants().await? {
        new.remove(&stored.id);
        let tenant = TenantKey { namespace: stored.namespace, name: stored.name };
        let is_live = live.ids.contains(&stored.id) || live.deleting.contains(&stored.id);
        if stored.retained || is_live || live.unreadable.contains(&tenant) {
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
    if !new.is_empty() {
        store.create_roles(&new.into_iter().collect::<Vec<_>>()).await?;
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
