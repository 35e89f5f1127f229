//! Writing plans: one transaction each, and none for a plan that is stored already.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::error::{PgContext, StoreError};
use super::fingerprints::RowFingerprints;
use super::migrate::enter;
use super::records::{PLATFORM, PlanRecords, Prepared};
use super::rows::{self, Home, Origins, PLATFORM_TABLE, TENANT_TABLE};
use super::tenant::{create, create_schema, current, update};
use super::{CHANNEL, Store, claims, revision_log};
use crate::plan::{PlatformPlan, TenantPlan};

/// Attempts to write a plan while other transactions change the same rows.
const MAX_ATTEMPTS: usize = 5;

/// Result of writing a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Revision of the stored plan.
    pub revision: i64,
    /// False when the plan was stored already.
    pub changed: bool,
    /// Number of rows that were inserted or updated.
    pub rows_written: u64,
    /// Number of rows that were deleted.
    pub rows_deleted: u64,
    /// Kinds and names of the rows that were inserted or updated.
    pub rows: Vec<(&'static str, String)>,
}

impl Store {
    /// Writes the platform's plan.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when this process may no longer write; else when Postgres fails. Nothing is written
    /// then.
    pub async fn write_platform(&self, plan: &PlatformPlan) -> Result<Written, StoreError> {
        self.write_platform_of(plan, &rows::no_origins).await
    }

    /// Writes the platform's plan, with the objects that its rows were compiled from.
    ///
    /// # Errors
    /// As [`Store::write_platform`].
    pub async fn write_platform_of(
        &self,
        plan: &PlatformPlan,
        origins: &Origins<'_>,
    ) -> Result<Written, StoreError> {
        let fingerprints = plan.fingerprints(self.keyring(), PLATFORM)?;
        let fingerprint = fingerprints.of_plan(self.keyring(), PLATFORM);
        let current = "SELECT revision, fingerprint FROM public.platform";
        let mut connection = self.pool().acquire().await.context("connecting")?;
        let (revision, stored): (i64, Option<Vec<u8>>) = sqlx::query_as(current)
            .fetch_one(&mut *connection)
            .await
            .context("reading the platform's revision")?;
        let highest = self.memory.highest(None);
        if stored.as_deref() == Some(&fingerprint) && revision >= highest {
            self.memory.put_platform(revision, &fingerprint);
            return Ok(Written { revision, ..Written::default() });
        }
        let mut transaction = connection.begin().await.context("writing the platform")?;
        self.fence(&mut transaction).await?;
        let revision: i64 = sqlx::query_scalar(
            "UPDATE public.platform SET revision = greatest(revision, $2) + 1, fingerprint = $1 RETURNING revision",
        )
        .bind(fingerprint.as_slice())
        .bind(highest)
        .fetch_one(&mut *transaction)
        .await
        .context("writing the platform's revision")?;
        let home = Home { scope: PLATFORM, table: PLATFORM_TABLE };
        let stored = rows::fingerprints(&mut transaction, home, PlatformPlan::KINDS).await?;
        let differences = fingerprints.since(&stored);
        let counts =
            rows::write(&mut transaction, self.keyring(), home, (plan, origins), &differences).await?;
        notify(&mut transaction, serde_json::json!({ "platform": true, "revision": revision })).await?;
        transaction.commit().await.context("writing the platform")?;
        self.memory.put_platform(revision, &fingerprint);
        Ok(Written {
            revision,
            changed: true,
            rows_written: counts.written,
            rows_deleted: counts.deleted,
            rows: counts.rows,
        })
    }

    /// Writes a tenant's plan: makes its schema and role when they are new, adopts them when they
    /// were retained. The revision goes up by one; past the highest known revision, when the database
    /// was set back to before that.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`] when the schema belongs to another Tenant resource,
    /// [`StoreError::NameTaken`] when another tenant is stored under its name,
    /// [`StoreError::Fenced`] when it is no longer ours to write; else when Postgres fails. Nothing
    /// is written then.
    pub async fn write_tenant(&self, plan: &TenantPlan) -> Result<Written, StoreError> {
        self.write_tenant_of(plan, &rows::no_origins).await
    }

    /// Writes a tenant's plan, with the objects that its rows were compiled from.
    ///
    /// # Errors
    /// As [`Store::write_tenant`].
    pub async fn write_tenant_of(
        &self,
        plan: &TenantPlan,
        origins: &Origins<'_>,
    ) -> Result<Written, StoreError> {
        let prepared = Prepared::of(self.keyring(), plan)?;
        let mut denied = None;
        for _ in 0..MAX_ATTEMPTS {
            let mut connection = self.pool().acquire().await.context("connecting")?;
            let written = self.try_write(&mut connection, plan, origins, &prepared).await;
            if written.as_ref().is_err_and(StoreError::is_denied) {
                // The connection may have cached its memberships before the role was granted.
                connection.close_on_drop();
            }
            match written {
                Ok(Some(written)) => {
                    self.memory.put(plan.tenant.id, written.revision, prepared);
                    return Ok(written);
                }
                Ok(None) => {}
                Err(StoreError::Database { source, .. }) if is_deadlock(&source) => {}
                Err(error) if error.is_denied() => denied = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(denied.unwrap_or(StoreError::Contended(plan.tenant.id)))
    }

    /// `None` when another writer created or removed the tenant meanwhile.
    async fn try_write(
        &self,
        connection: &mut PgConnection,
        plan: &TenantPlan,
        origins: &Origins<'_>,
        prepared: &Prepared,
    ) -> Result<Option<Written>, StoreError> {
        let tenant = &plan.tenant;
        let highest = self.memory.highest(Some(tenant.id));
        let known = current(connection, tenant.id, "").await?;
        if let Some(written) = known.as_ref().and_then(|known| known.unchanged(prepared, highest)) {
            return Ok(Some(written));
        }
        let mut transaction = connection.begin().await.context("writing a tenant")?;
        self.fence(&mut transaction).await?;
        let is_new = known.is_none();
        let (revision, before, fresh) = match known {
            None => match create(&mut transaction, tenant, prepared, highest).await? {
                Some((revision, fresh)) => (revision, None, fresh),
                None => return Ok(None),
            },
            Some(_) => {
                // Read again under a lock.
                let Some(known) = current(&mut transaction, tenant.id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                if let Some(written) = known.unchanged(prepared, highest) {
                    return Ok(Some(written));
                }
                if !known.retained && known.owner_uid != tenant.owner_uid {
                    return Err(StoreError::NotOwner { id: tenant.id, owner: known.owner_uid });
                }
                (update(&mut transaction, tenant, prepared, highest).await?, known.fingerprint, false)
            }
        };
        notify(&mut transaction, serde_json::json!({ "tenant": tenant.id, "revision": revision })).await?;
        claims::write(&mut transaction, plan).await?;
        if is_new {
            create_schema(&mut transaction, tenant.id).await?;
        } else {
            sqlx::raw_sql(AssertSqlSafe(enter(tenant.id)))
                .execute(&mut *transaction)
                .await
                .context("setting a tenant's role")?;
        }
        let home = Home { scope: &prepared.scope, table: TENANT_TABLE };
        let stored = match (fresh, self.memory.fingerprints(tenant.id, before.as_deref())) {
            (true, _) => Arc::new(RowFingerprints::default()),
            (false, Some(stored)) => stored,
            (false, None) => Arc::new(rows::fingerprints(&mut transaction, home, TenantPlan::KINDS).await?),
        };
        let differences = prepared.fingerprints.since(&stored);
        let counts =
            rows::write(&mut transaction, self.keyring(), home, (plan, origins), &differences).await?;
        if !fresh {
            revision_log::append(&mut transaction, revision, before.as_deref(), &differences).await?;
        }
        transaction.commit().await.context("writing a tenant")?;
        Ok(Some(Written {
            revision,
            changed: true,
            rows_written: counts.written,
            rows_deleted: counts.deleted,
            rows: counts.rows,
        }))
    }
}

/// Notifies listeners of [`CHANNEL`] when the transaction is committed.
pub(super) async fn notify(
    connection: &mut PgConnection,
    payload: serde_json::Value,
) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(payload.to_string())
        .execute(connection)
        .await
        .context("notifying")?;
    Ok(())
}

/// True when Postgres ended the transaction because of a deadlock (SQLSTATE 40P01).
fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "40P01")
}
