//! A tenant's plan on its way into the store, with the resources that its rows were compiled from.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::work::WorkError;
use super::{Known, Outside};
use crate::compile::{Kept, Stays};
use crate::plan::{Origin, TenantPlan, TenantRow, table_of};
use crate::resources;
use crate::source::{ObjectKey, TenantKey, TenantSnapshot};
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

/// Which resources a tenant's rows are compiled from, but for those that stay as they were.
pub(super) struct Origins {
    pub snapshot: TenantSnapshot,
    pub kept: HashSet<(String, String)>,
}

impl Origins {
    fn of(&self, table: &str, name: &str) -> Option<Origin> {
        let is_kept = !self.kept.is_empty() && self.kept.contains(&(table.to_owned(), name.to_owned()));
        self.snapshot.origin(table, name).filter(|_| !is_kept)
    }
}

/// The rows that stay as a whole, by table and name.
pub(super) fn whole(kept: &[Kept]) -> HashSet<(String, String)> {
    let whole = kept.iter().filter(|kept| matches!(kept.stays, Stays::Whole(_)));
    let row = whole.filter_map(|kept| {
        let ObjectKey { kind, namespace, name } = &kept.resource;
        let name = match (*kind, namespace) {
            ("Trunk", Some(namespace)) => format!("{namespace}/{name}"),
            _ => name.clone(),
        };
        Some((table_of(kind)?.to_owned(), name))
    });
    row.collect()
}

pub(super) async fn write(
    store: &Store,
    media: Option<PathBuf>,
    outside: Option<Arc<dyn Outside>>,
    tenant: Arc<resources::Tenant>,
    plan: &TenantPlan,
    origins: &Origins,
) -> Result<Written, WorkError> {
    if let Some(outside) = outside {
        outside.hold(tenant).await?;
    }
    let origin = |table: &str, name: &str| origins.of(table, name);
    let written = store.write_tenant_of(plan, &origin).await?;
    if let Some(root) = media {
        let (id, owner) = (plan.tenant.id, plan.tenant.owner_uid.clone());
        spawn_blocking(move || media::claim(&root, id, &owner)).await.map_err(WorkError::from)??;
    }
    Ok(written)
}
