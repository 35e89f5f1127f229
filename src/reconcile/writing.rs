//! A tenant's plan on its way into the store, with the resources that its rows were compiled from.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::work::{WorkError, row_of};
use super::{Known, Outside};
use crate::compile::{LastGoodRow, Stays};
use crate::plan::{Origin, TenantPlan, TenantRow};
use crate::resources;
use crate::source::{TenantKey, TenantSnapshot};
use crate::store::media;
use crate::store::{Store, StoreError, Written};

/// Takes from a stored tenant, which is refused as a whole and stays as it is, what it must not have any
/// more: calls where it is suspended, and domains and numbers that another tenant has by now. None when
/// there is nothing to take, or no such tenant of this owner.
pub(super) async fn withdraw(
    store: &Store,
    known: &RwLock<Known>,
    key: &TenantKey,
    (id, owner, suspended): (Uuid, &str, bool),
) -> Result<Option<(TenantRow, Written)>, StoreError> {
    let loaded = store.reader().load_tenant(id).await?;
    let Some((_, mut plan)) = loaded.filter(|(_, plan)| plan.tenant.owner_uid == owner) else {
        return Ok(None);
    };
    plan.tenant.suspended |= suspended;
    {
        let claims = &known.read().unwrap_or_else(PoisonError::into_inner).claims;
        let is_free = |holder: Option<&TenantKey>| holder.is_none_or(|holder| holder == key);
        plan.tenant.domains.retain(|domain| is_free(claims.domain(domain)));
        plan.numbers.retain(|_, row| is_free(claims.number(&row.number).map(|(holder, _)| holder)));
    }
    let written = store.write_tenant(&plan).await?;
    Ok(written.changed.then_some((plan.tenant, written)))
}

/// Rows that stay as a whole, by table and name: they were compiled from what their resource was before.
pub(super) struct WholeRows(HashSet<(String, String)>);

impl WholeRows {
    pub fn of(kept: &[LastGoodRow]) -> Self {
        let whole = kept.iter().filter(|kept| matches!(kept.stays, Stays::Whole(_)));
        let rows = whole.filter_map(|kept| row_of(&kept.resource));
        Self(rows.map(|(table, name)| (table.to_owned(), name)).collect())
    }

    /// What a row was compiled from, which is its resource as it is now; none for one that stays.
    pub fn origin(&self, table: &str, name: &str, now: Option<Origin>) -> Option<Origin> {
        let stays = !self.0.is_empty() && self.0.contains(&(table.to_owned(), name.to_owned()));
        now.filter(|_| !stays)
    }
}

pub(super) async fn write(
    store: &Store,
    media: Option<PathBuf>,
    outside: Option<Arc<dyn Outside>>,
    tenant: Arc<resources::Tenant>,
    plan: &TenantPlan,
    (snapshot, whole): (&TenantSnapshot, &WholeRows),
) -> Result<Written, WorkError> {
    if let Some(outside) = outside {
        outside.hold(tenant).await?;
    }
    let origin = |table: &str, name: &str| whole.origin(table, name, snapshot.origin(table, name));
    let written = store.write_tenant_of(plan, &origin).await?;
    if let Some(root) = media {
        let (id, owner) = (plan.tenant.id, plan.tenant.owner_uid.clone());
        spawn_blocking(move || media::claim(&root, id, &owner)).await.map_err(WorkError::from)??;
    }
    Ok(written)
}
