//! Plans written: one transaction each, and nothing at all for a plan that is stored already.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::error::{Doing, StoreError};
use super::keyring::Fingerprint;
use super::migrate::{self, TENANT, enter, tenant_batch};
use super::rows::{self, Home, Stored};
use super::tables::{PLATFORM, TableImage, Tables, plan_fingerprint};
use super::{CHANNEL, Store, claims, tenant_schema};
use crate::plan::{PlatformPlan, TenantPlan, TenantRow};

/// How often a write is tried again that lost against another one.
const ATTEMPTS: usize = 5;

/// What writing a plan did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The revision that has the plan.
    pub revision: i64,
    /// False when the plan was stored already.
    pub changed: bool,
    /// Rows inserted or updated in the plan's tables.
    pub rows_written: u64,
    /// Rows deleted from them.
    pub rows_deleted: u64,
}

/// A tenant's plan, ready to be written.
struct Prepared<'a> {
    plan: &'a TenantPlan,
    scope: String,
    body: String,
    images: Vec<TableImage>,
    fingerprint: Fingerprint,
}

/// What `public.tenants` says of a tenant.
struct Current {
    revision: i64,
    fingerprint: Option<Vec<u8>>,
    owner_uid: String,
    retained: bool,
}

impl Store {
    /// Writes the platform's plan.
    ///
    /// # Errors
    /// When Postgres fails; nothing is written then.
    pub async fn write_platform(&self, plan: &PlatformPlan) -> Result<Written, StoreError> {
        let images = plan.images(self.keyring(), PLATFORM)?;
        let fingerprint = plan_fingerprint(self.keyring(), PLATFORM, &images);
        let current = "SELECT revision, fingerprint FROM public.platform";
        let mut connection = self.pool().acquire().await.doing("connecting")?;
        let (revision, stored): (i64, Option<Vec<u8>>) = sqlx::query_as(current)
            .fetch_one(&mut *connection)
            .await
            .doing("reading the platform's revision")?;
        if stored.as_deref() == Some(&fingerprint) {
            return Ok(Written { revision, ..Written::default() });
        }
        let mut transaction = connection.begin().await.doing("writing the platform")?;
        let revision: i64 = sqlx::query_scalar(
            "UPDATE public.platform SET revision = revision + 1, fingerprint = $1 RETURNING revision",
        )
        .bind(fingerprint.as_slice())
        .fetch_one(&mut *transaction)
        .await
        .doing("writing the platform's revision")?;
        let home = Home { scope: PLATFORM, qualifier: "public." };
        let stored = rows::fingerprints(&mut transaction, home, PlatformPlan::NAMES).await?;
        let counts = rows::write(&mut transaction, self.keyring(), home, &images, stored).await?;
        notify(&mut transaction, serde_json::json!({ "platform": true, "revision": revision })).await?;
        transaction.commit().await.doing("writing the platform")?;
        Ok(Written { revision, changed: true, rows_written: counts.written, rows_deleted: counts.deleted })
    }

    /// Writes a tenant's plan: makes its schema and role when they are new, adopts them when they
    /// were retained.
    ///
    /// # Errors
    /// [`StoreError::NotOwner`] when the schema belongs to another Tenant resource,
    /// [`StoreError::NameTaken`] when another tenant is stored under its name; else when Postgres
    /// fails. Nothing is written then.
    pub async fn write_tenant(&self, plan: &TenantPlan) -> Result<Written, StoreError> {
        let scope = plan.tenant.id.to_string();
        let unreadable = |error| StoreError::unreadable("tenants", &scope, error);
        let body = serde_json::to_string(&plan.tenant).map_err(unreadable)?;
        let images = plan.images(self.keyring(), &scope)?;
        let fingerprint = plan_fingerprint(self.keyring(), &body, &images);
        let prepared = Prepared { plan, scope, body, images, fingerprint };
        for _ in 0..ATTEMPTS {
            match self.try_write(&prepared).await {
                Ok(Some(written)) => return Ok(written),
                Ok(None) => {}
                Err(StoreError::Database { source, .. }) if is_deadlock(&source) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Contended(plan.tenant.id))
    }

    /// None when another writer made or removed the tenant meanwhile.
    async fn try_write(&self, prepared: &Prepared<'_>) -> Result<Option<Written>, StoreError> {
        let tenant = &prepared.plan.tenant;
        let mut connection = self.pool().acquire().await.doing("connecting")?;
        let known = current(&mut connection, tenant.id, "").await?;
        if let Some(written) = known.as_ref().and_then(|known| prepared.stored_already(known)) {
            return Ok(Some(written));
        }
        let mut transaction = connection.begin().await.doing("writing a tenant")?;
        let (revision, stored) = match known {
            None => match prepared.create(&mut transaction).await? {
                Some(stored) => (1, stored),
                None => return Ok(None),
            },
            Some(_) => {
                // Read again, now that nobody else can change it.
                let Some(known) = current(&mut transaction, tenant.id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                if let Some(written) = prepared.stored_already(&known) {
                    return Ok(Some(written));
                }
                if !known.retained && known.owner_uid != tenant.owner_uid {
                    return Err(StoreError::NotOwner { id: tenant.id, owner: known.owner_uid });
                }
                (prepared.update(&mut transaction).await?, None)
            }
        };
        notify(&mut transaction, serde_json::json!({ "tenant": tenant.id, "revision": revision })).await?;
        claims::write(&mut transaction, prepared.plan).await?;
        sqlx::raw_sql(AssertSqlSafe(enter(tenant.id)))
            .execute(&mut *transaction)
            .await
            .doing("taking a tenant's role")?;
        let home = Home { scope: &prepared.scope, qualifier: "" };
        let stored = match stored {
            Some(stored) => stored,
            None => rows::fingerprints(&mut transaction, home, TenantPlan::NAMES).await?,
        };
        let counts = rows::write(&mut transaction, self.keyring(), home, &prepared.images, stored).await?;
        transaction.commit().await.doing("writing a tenant")?;
        Ok(Some(Written {
            revision,
            changed: true,
            rows_written: counts.written,
            rows_deleted: counts.deleted,
        }))
    }
}

impl Prepared<'_> {
    fn stored_already(&self, current: &Current) -> Option<Written> {
        let equal = current.fingerprint.as_deref() == Some(&self.fingerprint) && !current.retained;
        equal.then(|| Written { revision: current.revision, ..Written::default() })
    }

    /// Makes a tenant with its role and schema. None when somebody else just did; else the rows
    /// its schema has, when that is known without looking.
    async fn create(&self, connection: &mut PgConnection) -> Result<Option<Option<Stored>>, StoreError> {
        let TenantRow { id, namespace, name, owner_uid, suspended, .. } = &self.plan.tenant;
        let schema = tenant_schema(*id);
        // A schema may be there without a row: restored from a backup.
        let restored: Option<bool> = sqlx::query_scalar(
            "INSERT INTO public.tenants
                 (id, namespace, name, owner_uid, schema_name, role_name, revision, fingerprint, body, suspended)
             VALUES ($1, $2, $3, $4, $5, $5, 1, $6, $7::jsonb, $8)
             ON CONFLICT (id) DO NOTHING RETURNING to_regnamespace($5) IS NOT NULL",
        )
        .bind(id)
        .bind(namespace)
        .bind(name)
        .bind(owner_uid)
        .bind(&schema)
        .bind(self.fingerprint.as_slice())
        .bind(&self.body)
        .bind(suspended)
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| self.refusal(error, "making a tenant"))?;
        let Some(restored) = restored else { return Ok(None) };
        migrate::record(connection, *id, TENANT, 0).await.doing("making a tenant")?;
        let batch = format!(
            "DO $$ BEGIN
                 IF to_regrole('{schema}') IS NULL THEN CREATE ROLE {schema} NOLOGIN; END IF;
             END $$;
             GRANT {schema} TO CURRENT_USER;
             CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {schema};
             {}{}RESET ROLE;",
            enter(*id),
            tenant_batch(TENANT, 0)
        );
        sqlx::raw_sql(AssertSqlSafe(batch))
            .execute(connection)
            .await
            .doing("making a tenant's role and schema")?;
        Ok(Some((!restored).then(Stored::default)))
    }

    /// Makes the tenant's own row that of the plan, and gives its new revision.
    async fn update(&self, connection: &mut PgConnection) -> Result<i64, StoreError> {
        let TenantRow { id, namespace, name, owner_uid, suspended, .. } = &self.plan.tenant;
        sqlx::query_scalar(
            "UPDATE public.tenants
             SET revision = revision + 1, namespace = $2, name = $3, owner_uid = $4, fingerprint = $5,
                 body = $6::jsonb, suspended = $7, retained_at = NULL, updated_at = now()
             WHERE id = $1 RETURNING revision",
        )
        .bind(id)
        .bind(namespace)
        .bind(name)
        .bind(owner_uid)
        .bind(self.fingerprint.as_slice())
        .bind(&self.body)
        .bind(suspended)
        .fetch_one(connection)
        .await
        .map_err(|error| self.refusal(error, "writing a tenant's revision"))
    }

    /// Tells the one constraint that has a meaning of its own from what else Postgres says.
    fn refusal(&self, error: sqlx::Error, doing: &'static str) -> StoreError {
        let TenantRow { namespace, name, .. } = &self.plan.tenant;
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("tenants_live_name") => {
                StoreError::NameTaken { namespace: namespace.clone(), name: name.clone() }
            }
            _ => StoreError::from_sqlx(error, doing),
        }
    }
}

async fn current(
    connection: &mut PgConnection,
    id: Uuid,
    lock: &'static str,
) -> Result<Option<Current>, StoreError> {
    let sql = format!(
        "SELECT revision, fingerprint, owner_uid, retained_at IS NOT NULL FROM public.tenants WHERE id = $1 {lock}"
    );
    let row: Option<(i64, Option<Vec<u8>>, String, bool)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(connection)
        .await
        .doing("reading a tenant's revision")?;
    Ok(row.map(|(revision, fingerprint, owner_uid, retained)| Current {
        revision,
        fingerprint,
        owner_uid,
        retained,
    }))
}

/// Tells whoever listens, when the transaction is committed.
pub(super) async fn notify(
    connection: &mut PgConnection,
    payload: serde_json::Value,
) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(payload.to_string())
        .execute(connection)
        .await
        .doing("notifying")?;
    Ok(())
}

/// Postgres ended one of two transactions that waited for each other (SQLSTATE 40P01).
fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "40P01")
}
