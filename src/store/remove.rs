//! Removal of tenants, by their deletion policy and only for their owner.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use super::write::notify;
use super::{Store, claims, tenant_schema};
use crate::plan::TenantRow;
use crate::resources::tenant::DeletionPolicy;

/// Result of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The tenant was not stored.
    Absent,
    /// Schema and role stay and can be adopted; domains and numbers are released.
    Retained,
    /// Schema and role were dropped.
    Dropped,
}

impl Store {
    /// Removes a tenant. `policy` is the resource's current one, which may differ from the stored one; `None`, when
    /// the resource no longer exists, means the stored policy. A retained tenant stays retained until `policy`
    /// is `Delete`.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`] when the tenant belongs to another Tenant resource, [`StoreError::Fenced`]
    /// when this process may no longer write; else when Postgres fails.
    pub async fn remove_tenant(
        &self,
        id: Uuid,
        owner_uid: &str,
        policy: Option<DeletionPolicy>,
    ) -> Result<Removed, StoreError> {
        let mut connection = self.pool().acquire().await.context("connecting")?;
        let mut transaction = connection.begin().await.context("removing a tenant")?;
        self.fence(&mut transaction).await?;
        let stored: Option<(String, String, bool)> = sqlx::query_as(
            "SELECT owner_uid, body::text, retained_at IS NOT NULL FROM public.tenants WHERE id = $1 FOR UPDATE",
        )
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await
        .context("reading a tenant")?;
        let Some((owner, body, retained)) = stored else { return Ok(Removed::Absent) };
        if owner != owner_uid {
            return Err(StoreError::NotOwner { id, owner });
        }
        let policy = match policy {
            Some(policy) => policy,
            None => stored_policy(id, &body)?,
        };
        let removed = match policy {
            DeletionPolicy::Retain if retained => return Ok(Removed::Retained),
            DeletionPolicy::Retain => retain(&mut transaction, id, self.memory.highest(Some(id))).await?,
            DeletionPolicy::Delete => drop_all(&mut transaction, id, self.memory.highest(Some(id))).await?,
        };
        notify(&mut transaction, serde_json::json!({ "tenant": id, "removed": true })).await?;
        // Before the commit: the watch for older states must not miss the tenant.
        self.memory.remove(id);
        transaction.commit().await.context("removing a tenant")?;
        Ok(removed)
    }

    /// Records tenants as removed that switches hold and the database does not have: they were created after the
    /// state that the database was set back to, and deleted since. Tenants that are stored are left alone.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when this process may no longer write; else when Postgres fails.
    pub async fn remove_unknown(&self, held: &[(Uuid, i64)]) -> Result<(), StoreError> {
        const REMOVING: &str = "removing tenants that are not stored";
        let mut connection = self.pool().acquire().await.context("connecting")?;
        let mut transaction = connection.begin().await.context(REMOVING)?;
        self.fence(&mut transaction).await?;
        for (id, revision) in held {
            let removed = sqlx::query(
                "INSERT INTO public.removed_tenants AS r (id, revision) SELECT $1, $2 + 1
                 WHERE NOT EXISTS (SELECT FROM public.tenants WHERE id = $1 AND retained_at IS NULL)
                 ON CONFLICT (id) DO UPDATE SET revision = greatest(r.revision, excluded.revision)",
            )
            .bind(id)
            .bind(revision)
            .execute(&mut *transaction)
            .await
            .context(REMOVING)?;
            if removed.rows_affected() > 0 {
                notify(&mut transaction, serde_json::json!({ "tenant": id, "removed": true })).await?;
            }
        }
        transaction.commit().await.context(REMOVING)
    }
}

fn stored_policy(id: Uuid, body: &str) -> Result<DeletionPolicy, StoreError> {
    let tenant: TenantRow = serde_json::from_str(body)
        .map_err(|error| StoreError::unreadable("Tenant", &id.to_string(), error))?;
    Ok(tenant.deletion_policy)
}

/// Marks the tenant as retained. Without a fingerprint every plan differs from the stored one. The stored policy
/// becomes `Retain`: a later removal without the resource must not drop the schema.
async fn retain(connection: &mut PgConnection, id: Uuid, highest: i64) -> Result<Removed, StoreError> {
    claims::release(connection, id).await?;
    sqlx::query(
        "UPDATE public.tenants
         SET retained_at = now(), updated_at = now(), revision = greatest(revision, $3) + 1, fingerprint = NULL,
             body = jsonb_set(body, '{deletionPolicy}', $2::jsonb)
         WHERE id = $1",
    )
    .bind(id)
    .bind(serde_json::json!(DeletionPolicy::Retain))
    .bind(highest)
    .execute(connection)
    .await
    .context("retaining a tenant")?;
    Ok(Removed::Retained)
}

/// Drops schema and role where they exist: an administrator may have dropped them before. Roles belong to the server:
/// one that owns a schema in another database, such as a restored copy, stays.
async fn drop_all(connection: &mut PgConnection, id: Uuid, highest: i64) -> Result<Removed, StoreError> {
    let schema = tenant_schema(id);
    let batch = format!(
        "DO $$ BEGIN
             IF to_regrole('{schema}') IS NULL THEN RETURN; END IF;
             SET LOCAL ROLE {schema};
             DROP SCHEMA IF EXISTS {schema} CASCADE;
             RESET ROLE;
             BEGIN
                 DROP ROLE {schema};
             EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
             END;
         END $$;"
    );
    sqlx::raw_sql(AssertSqlSafe(batch))
        .execute(&mut *connection)
        .await
        .context("dropping a tenant's schema and role")?;
    // Domains, numbers and migrations are deleted with the row. `removed_tenants` remembers the tenant for 90 days.
    sqlx::query(
        "WITH old AS (DELETE FROM public.removed_tenants WHERE removed_at < now() - interval '90 days'),
              gone AS (DELETE FROM public.tenants WHERE id = $1 RETURNING id, revision)
         INSERT INTO public.removed_tenants AS r (id, revision)
         SELECT id, greatest(revision, $2) + 1 FROM gone
         ON CONFLICT (id) DO UPDATE SET revision = greatest(r.revision, excluded.revision), removed_at = now()",
    )
    .bind(id)
    .bind(highest)
    .execute(connection)
    .await
    .context("dropping a tenant")?;
    Ok(Removed::Dropped)
}
