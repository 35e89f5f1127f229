//! Rows read back with the resources that they were compiled from, for whoever compiles again.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::error::{Doing, StoreError};
use super::load::{BEGIN, Reader, enter_tenant, read, read_some, tenant_row};
use super::revision_log::Names;
use super::tables::{PLATFORM, Tables};
use crate::plan::{InForce, Origin, PlatformPlan, TenantPlan};

/// A row's table and name, and the UID and generation of the resource that it was compiled from.
type RawOrigin = (String, String, String, Option<i64>);

impl Reader {
    /// Some rows of a tenant with their origins; none when it does not exist or is only retained.
    ///
    /// # Errors
    /// When a row cannot be read, or Postgres fails.
    pub async fn load_some(
        &self,
        id: Uuid,
        names: &Names,
    ) -> Result<Option<InForce<TenantPlan>>, StoreError> {
        let mut pooled = self.pool().acquire().await.doing("connecting")?;
        match self.load_some_over(&mut pooled, id, names).await {
            Err(error) if error.is_denied() => {
                // The connection may believe in memberships of before the role was made.
                pooled.close_on_drop();
                let mut fresh = super::connect(&self.pool().connect_options()).await?;
                let loaded = self.load_some_over(&mut fresh, id, names).await;
                fresh.close().await.doing("closing a connection")?;
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
        let mut transaction = connection.begin_with(BEGIN).await.doing("reading a tenant")?;
        let Some(entered) = enter_tenant(&mut transaction, id).await? else { return Ok(None) };
        let rows = read_some(&mut transaction, &entered.qualifier, names).await?;
        let mut origins = Vec::new();
        for (table, names) in names.iter().filter(|(table, _)| TenantPlan::NAMES.contains(&table.as_str())) {
            let names = names.iter().map(String::as_str).collect();
            origins.extend(read_origins(&mut transaction, &entered.qualifier, table, Some(names)).await?);
        }
        transaction.commit().await.doing("reading a tenant")?;
        let scope = id.to_string();
        let mut in_force = InForce::new(TenantPlan::empty(tenant_row(&entered.body, &scope)?));
        in_force.plan.fill(self.open(&scope, rows)?)?;
        note(&mut in_force, origins);
        Ok(Some(in_force))
    }

    /// The platform's rows with their origins.
    ///
    /// # Errors
    /// When a row cannot be read, or Postgres fails.
    pub async fn load_platform_in_force(&self) -> Result<InForce<PlatformPlan>, StoreError> {
        let mut connection = self.pool().acquire().await.doing("connecting")?;
        let mut transaction = connection.begin_with(BEGIN).await.doing("reading the platform")?;
        let rows = read(&mut transaction, "public.", PlatformPlan::NAMES).await?;
        let mut origins = Vec::new();
        for table in PlatformPlan::NAMES {
            origins.extend(read_origins(&mut transaction, "public.", table, None).await?);
        }
        transaction.commit().await.doing("reading the platform")?;
        let mut in_force = InForce::new(PlatformPlan::default());
        in_force.plan.fill(self.open(PLATFORM, rows)?)?;
        note(&mut in_force, origins);
        Ok(in_force)
    }
}

/// Reads which resources rows of a table were compiled from: those of some names, or all.
async fn read_origins(
    connection: &mut PgConnection,
    qualifier: &str,
    table: &str,
    names: Option<Vec<&str>>,
) -> Result<Vec<RawOrigin>, StoreError> {
    let sql = format!(
        "SELECT '{table}' AS kind, name, uid, generation FROM {qualifier}{table}
         WHERE uid IS NOT NULL AND ($1::text[] IS NULL OR name = ANY($1))"
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(names)
        .fetch_all(connection)
        .await
        .doing("reading what rows were compiled from")
}

fn note<P>(in_force: &mut InForce<P>, origins: Vec<RawOrigin>) {
    for (table, name, uid, generation) in origins {
        in_force.note(&table, &name, Origin { uid, generation });
    }
}
