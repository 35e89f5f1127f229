//! A tenant's own row in `public.tenants`, with its role and schema.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use super::migrate::{self, TENANT, enter, tenant_batch};
use super::records::Prepared;
use super::write::Written;
use super::{Store, tenant_schema};
use crate::plan::TenantRow;

/// Columns of a tenant's row in `public.tenants`.
pub(super) struct Current {
    pub revision: i64,
    pub fingerprint: Option<Vec<u8>>,
    pub owner_uid: String,
    pub retained: bool,
}

impl Current {
    /// The result when the plan is stored already. `None` also when a switch holds a higher revision, from before the
    /// database was set back: the plan is then written again with a revision past that one.
    pub fn unchanged(&self, prepared: &Prepared, highest: i64) -> Option<Written> {
        let equal = self.fingerprint.as_deref() == Some(&prepared.fingerprint) && !self.retained;
        (equal && self.revision >= highest).then(|| Written { revision: self.revision, ..Written::default() })
    }
}

impl Store {
    /// Creates the roles of tenants that are to be written, where they are missing: all in one transaction. After every
    /// new role each session of Postgres computes again which roles its login is a member of, which takes milliseconds
    /// among a thousand. A tenant whose role is missing when it is written gets it then.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when this process may no longer write; else when Postgres fails.
    pub async fn create_roles(&self, tenants: &[Uuid]) -> Result<(), StoreError> {
        const CREATING: &str = "creating roles of tenants";
        let roles: Vec<String> = tenants.iter().copied().map(tenant_schema).collect();
        let mut connection = self.pool().acquire().await.context("connecting")?;
        let mut transaction = connection.begin().await.context(CREATING)?;
        self.fence(&mut transaction).await?;
        let batch = format!(
            "DO $$ DECLARE role text; BEGIN
                 FOREACH role IN ARRAY '{{{}}}'::text[] LOOP
                     IF to_regrole(role) IS NULL THEN
                         EXECUTE format('CREATE ROLE %I NOLOGIN ROLE CURRENT_USER', role);
                     END IF;
                 END LOOP;
             END $$",
            roles.join(",")
        );
        sqlx::raw_sql(AssertSqlSafe(batch)).execute(&mut *transaction).await.context(CREATING)?;
        transaction.commit().await.context(CREATING)
    }
}

/// Creates a tenant's row. Returns its revision and whether it has no schema yet; `None` when another writer has just
/// created the tenant. [`create_schema`] follows.
pub(super) async fn create(
    connection: &mut PgConnection,
    tenant: &TenantRow,
    prepared: &Prepared,
    highest: i64,
) -> Result<Option<(i64, bool)>, StoreError> {
    let TenantRow { id, namespace, name, owner_uid, suspended, .. } = tenant;
    let schema = tenant_schema(*id);
    // A schema without a row was restored from a backup.
    let created: Option<(i64, bool)> = sqlx::query_as(
        "WITH removed AS (DELETE FROM public.removed_tenants WHERE id = $1 RETURNING revision)
         INSERT INTO public.tenants
             (id, namespace, name, owner_uid, schema_name, role_name, revision, fingerprint, body, suspended)
         VALUES ($1, $2, $3, $4, $5, $5, greatest((SELECT revision FROM removed), $9, 0) + 1, $6, $7::jsonb, $8)
         ON CONFLICT DO NOTHING RETURNING revision, to_regnamespace($5) IS NOT NULL",
    )
    .bind(id)
    .bind(namespace)
    .bind(name)
    .bind(owner_uid)
    .bind(&schema)
    .bind(prepared.fingerprint.as_slice())
    .bind(&prepared.body)
    .bind(suspended)
    .bind(highest)
    .fetch_optional(&mut *connection)
    .await
    .context("creating a tenant")?;
    let Some((revision, restored)) = created else {
        check_name(connection, tenant).await?;
        return Ok(None);
    };
    migrate::record(connection, *id, TENANT, 0).await.context("creating a tenant")?;
    Ok(Some((revision, !restored)))
}

/// Creates a tenant's role and schema where they are missing. The transaction has the tenant's role from then on.
///
/// Comes after everything that is written in the login's own role: with the tenant's schema in the search path, each
/// statement of the login would ask which roles it is a member of.
pub(super) async fn create_schema(connection: &mut PgConnection, id: Uuid) -> Result<(), StoreError> {
    let schema = tenant_schema(id);
    let batch = format!(
        "DO $$ BEGIN
             IF to_regrole('{schema}') IS NULL THEN
                 CREATE ROLE {schema} NOLOGIN ROLE CURRENT_USER;
             ELSIF NOT pg_has_role('{schema}', 'MEMBER') THEN
                 GRANT {schema} TO CURRENT_USER;
             END IF;
         END $$;
         CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {schema};
         {}{}",
        enter(id),
        tenant_batch(TENANT, 0)
    );
    sqlx::raw_sql(AssertSqlSafe(batch))
        .execute(connection)
        .await
        .context("creating a tenant's role and schema")?;
    Ok(())
}

/// Updates the tenant's own row, and returns its new revision.
pub(super) async fn update(
    connection: &mut PgConnection,
    tenant: &TenantRow,
    prepared: &Prepared,
    highest: i64,
) -> Result<i64, StoreError> {
    let TenantRow { id, namespace, name, owner_uid, suspended, .. } = tenant;
    check_name(connection, tenant).await?; // an adopted tenant may have a new name
    sqlx::query_scalar(
        "UPDATE public.tenants
         SET revision = greatest(revision, $8) + 1, namespace = $2, name = $3, owner_uid = $4, fingerprint = $5,
             body = $6::jsonb, suspended = $7, retained_at = NULL, updated_at = now()
         WHERE id = $1 RETURNING revision",
    )
    .bind(id)
    .bind(namespace)
    .bind(name)
    .bind(owner_uid)
    .bind(prepared.fingerprint.as_slice())
    .bind(&prepared.body)
    .bind(suspended)
    .bind(highest)
    .fetch_one(connection)
    .await
    .context("writing a tenant's revision")
}

/// Refuses a tenant whose name belongs to a tenant with another id that is not retained.
async fn check_name(connection: &mut PgConnection, tenant: &TenantRow) -> Result<(), StoreError> {
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM public.tenants
                        WHERE namespace = $1 AND name = $2 AND id <> $3 AND retained_at IS NULL)",
    )
    .bind(&tenant.namespace)
    .bind(&tenant.name)
    .bind(tenant.id)
    .fetch_one(connection)
    .await
    .context("creating a tenant")?;
    let TenantRow { namespace, name, .. } = tenant.clone();
    if taken { Err(StoreError::NameTaken { namespace, name }) } else { Ok(()) }
}

/// Reads a tenant's row. `lock` is empty or `FOR UPDATE`.
pub(super) async fn current(
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
        .context("reading a tenant's revision")?;
    Ok(row.map(|(revision, fingerprint, owner_uid, retained)| Current {
        revision,
        fingerprint,
        owner_uid,
        retained,
    }))
}
