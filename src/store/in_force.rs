//! Rows read back with the objects that they were compiled from, for the next compile.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use super::load::{BEGIN, Reader, columns, enter_tenant, read, read_named, tenant_row};
use super::records::{PLATFORM, PlanRecords};
use super::revision_log::Names;
use super::rows::{PLATFORM_TABLE, TENANT_TABLE};
use crate::plan::{InForce, Origin, PlatformPlan, TenantPlan};

/// A row's kind and name, and the UID and generation of the object that it was compiled from.
type RawOrigin = (String, String, String, Option<i64>);

impl Reader {
    /// The rows of these names with their origins; `None` for a tenant that does not exist or is retained.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when a row cannot be read; else when Postgres fails.
    pub async fn load_some(
        &self,
        id: Uuid,
        names: &Names,
    ) -> Result<Option<InForce<TenantPlan>>, StoreError> {
        let mut pooled = self.pool().acquire().await.context("connecting")?;
        match self.load_some_over(&mut pooled, id, names).await {
            Err(error) if error.is_denied() => {
                // The connection may have cached its memberships before the role was granted.
                pooled.close_on_drop();
                let mut fresh = super::connect(&self.pool().connect_options()).await?;
                let loaded = self.load_some_over(&mut fresh, id, names).await;
                fresh.close().await.context("closing a connection")?;
                loaded
            }
            loaded => loaded,
        }
    }

    async fn load_some_over(
        &self,
        connection: &mut PgConnection,
        id: Uuid,
        names: &Names,
    ) -> Result<Option<InForce<TenantPlan>>, StoreError> {
        let mut transaction = connection.begin_with(BEGIN).await.context("reading a tenant")?;
        let Some(entered) = enter_tenant(&mut transaction, id).await? else { return Ok(None) };
        let table = format!("{}{TENANT_TABLE}", entered.schema);
        let rows = read_named(&mut transaction, &table, names).await?;
        let origins = read_origins(&mut transaction, &table, Some(names)).await?;
        transaction.commit().await.context("reading a tenant")?;
        let scope = id.to_string();
        let mut in_force = InForce::new(TenantPlan::empty(tenant_row(&entered.body, &scope)?));
        in_force.plan.load(self.open(&scope, rows)?)?;
        note(&mut in_force, origins);
        Ok(Some(in_force))
    }

    /// The platform's rows with their origins.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when a row cannot be read; else when Postgres fails.
    pub async fn load_platform_in_force(&self) -> Result<InForce<PlatformPlan>, StoreError> {
        let mut connection = self.pool().acquire().await.context("connecting")?;
        let mut transaction = connection.begin_with(BEGIN).await.context("reading the platform")?;
        let rows = read(&mut transaction, PLATFORM_TABLE, PlatformPlan::KINDS).await?;
        let origins = read_origins(&mut transaction, PLATFORM_TABLE, None).await?;
        transaction.commit().await.context("reading the platform")?;
        let mut in_force = InForce::new(PlatformPlan::default());
        in_force.plan.load(self.open(PLATFORM, rows)?)?;
        note(&mut in_force, origins);
        Ok(in_force)
    }
}

/// Reads which objects rows were compiled from: the rows of some names, or all.
async fn read_origins(
    connection: &mut PgConnection,
    table: &str,
    names: Option<&Names>,
) -> Result<Vec<RawOrigin>, StoreError> {
    let select = format!("SELECT kind, name, uid, generation FROM {table} WHERE uid IS NOT NULL");
    let query = match names {
        Some(names) => {
            let sql = format!("{select} AND (kind, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))");
            let (kinds, names) = columns(names);
            sqlx::query_as(AssertSqlSafe(sql)).bind(kinds).bind(names)
        }
        None => sqlx::query_as(AssertSqlSafe(select)),
    };
    query.fetch_all(connection).await.context("reading what rows were compiled from")
}

fn note<P>(in_force: &mut InForce<P>, origins: Vec<RawOrigin>) {
    for (kind, name, uid, generation) in origins {
        in_force.note(&kind, &name, Origin { uid, generation });
    }
}
