//! Tenants removed, as their deletion policy says and only for their owner.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::error::{Doing, StoreError};
use super::write::notify;
use super::{Store, claims, tenant_schema};
use crate::plan::TenantRow;
use crate::resources::tenant::DeletionPolicy;

/// What became of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// There was none.
    Absent,
    /// Schema and role stay, to be adopted again; domains and numbers are free.
    Retained,
    /// Schema and role are gone.
    Dropped,
}

impl Store {
    /// Removes a tenant as a policy says: the one its resource has now, which may be another than
    /// the one it was last written with; `None`, where the resource cannot be asked, means that one.
    /// What is retained stays so until the resource says `Delete`.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`] when it belongs to another Tenant resource, [`StoreError::Fenced`]
    /// when it is no longer ours to write; else when Postgres fails.
    pub async fn remove_tenant(
        &self,
        id: Uuid,
        owner_uid: &str,
        policy: Option<DeletionPolicy>,
    ) -> Result<Removed, StoreError> {
        let mut connection = self.pool().acquire().await.doing("connecting")?;
        let mut transaction = connection.begin().await.doing("removing a tenant")?;
        self.fence(&mut transaction).await?;
        let stored: Option<(String, String, bool)> = sqlx::query_as(
            "SELECT owner_uid, body::text, retained_at IS NOT NULL FROM public.tenants WHERE id = $1 FOR UPDATE",
        )
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await
        .doing("reading a tenant")?;
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
        // Nobody is to miss it from now on.
        self.memory.remove(id);
        transaction.commit().await.doing("removing a tenant")?;
        Ok(removed)
    }

    /// Tells whoever holds revisions of tenants that there are no such tenants: they were made after the
    /// state that the database was set back to, and are gone by now. One that is stored is left alone.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is no longer ours to write; else when Postgres fails.
    pub async fn remove_unknown(&self, held: &[(Uuid, i64)]) -> Result<(), StoreError> {
        const DOING: &str = "removing tenants that are not stored";
        let mut connection = self.pool().acquire().await.doing("connecting")?;
        let mut transaction = connection.begin().await.doing(DOING)?;
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
            .doing(DOING)?;
            if removed.rows_affected() > 0 {
                notify(&mut transaction, serde_json::json!({ "tenant": id, "removed": true })).await?;
            }
        }
        transaction.commit().await.doing(DOING)
    }
}

fn stored_policy(id: Uuid, body: &str) -> Result<DeletionPolicy, StoreError> {
    let tenant: TenantRow = serde_json::from_str(body)
        .map_err(|error| StoreError::unreadable("tenants", &id.to_string(), error))?;
    Ok(tenant.deletion_policy)
}

/// Keeps schema and role, and marks the tenant. Without a fingerprint every plan differs from it.
/// That it was retained is what is stored now: no later look at an older policy may drop it.
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
    .doing("retaining a tenant")?;
    Ok(Removed::Retained)
}

/// Drops schema and role, as far as they are there: what somebody dropped beside us is gone as it should
/// be. Roles are the server's, not the database's: one that a schema in another
/// database needs (a restored copy) stays.
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
        .doing("dropping a tenant's schema and role")?;
    // Its domains, numbers and migrations go with the row. That it was there is known for a while.
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
    .doing("dropping a tenant")?;
    Ok(Removed::Dropped)
}
