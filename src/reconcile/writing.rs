//! Writes a tenant's plan to the store, with the origin of each row.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::ResourceSink;
use super::jobs::WorkError;
use super::rows::row_of;
use crate::compile::{KeptPart, LastGoodRow};
use crate::media::directory;
use crate::plan::{Origin, TenantPlan};
use crate::resources;
use crate::source::TenantSnapshot;
use crate::store::{Store, Written};

/// Rows whose last good version stays in force as a whole, by table and name. Their origin is an earlier
/// generation of their resource.
pub(super) struct WholeRows(HashSet<(String, String)>);

impl WholeRows {
    pub fn of(kept: &[LastGoodRow]) -> Self {
        let whole = kept.iter().filter(|kept| matches!(kept.part, KeptPart::Whole(_)));
        let rows = whole.filter_map(|kept| row_of(&kept.resource));
        Self(rows.map(|(table, name)| (table.to_owned(), name)).collect())
    }

    /// The origin of a row, `now`; `None` for a row that keeps its stored origin.
    pub fn origin(&self, table: &str, name: &str, now: Option<Origin>) -> Option<Origin> {
        let stays = !self.0.is_empty() && self.0.contains(&(table.to_owned(), name.to_owned()));
        now.filter(|_| !stays)
    }
}

/// Adds the finalizer, writes the plan, and claims the media directory, in this order.
///
/// # Errors
/// The first of these steps that fails. The later ones are not tried.
pub(super) async fn write(
    store: &Store,
    media: Option<PathBuf>,
    sink: Option<Arc<dyn ResourceSink>>,
    tenant: Arc<resources::Tenant>,
    plan: &TenantPlan,
    (snapshot, whole): (&TenantSnapshot, &WholeRows),
) -> Result<Written, WorkError> {
    if let Some(sink) = sink {
        sink.add_finalizer(tenant).await?;
    }
    let origin = |table: &str, name: &str| whole.origin(table, name, snapshot.origin(table, name));
    let written = store.write_tenant_of(plan, &origin).await?;
    if let Some(root) = media {
        let (id, owner) = (plan.tenant.id, plan.tenant.owner_uid.clone());
        spawn_blocking(move || directory::claim(&root, id, &owner)).await.map_err(WorkError::from)??;
    }
    Ok(written)
}
