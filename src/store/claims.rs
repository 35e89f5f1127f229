//! Domains and public numbers, each held by one tenant. Compile has decided which tenant holds a claim. Writing a
//! plan moves its claims to the tenant; a tenant releases only claims that it still holds.

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use crate::plan::TenantPlan;

/// Replaces the tenant's claims by those of its plan.
pub(super) async fn write(connection: &mut PgConnection, plan: &TenantPlan) -> Result<(), StoreError> {
    let domains = plan.tenant.domains.iter().map(String::as_str).collect();
    let numbers = plan.numbers.values().map(|row| row.number.as_str()).collect();
    replace(connection, "domain", plan.tenant.id, domains).await?;
    replace(connection, "number", plan.tenant.id, numbers).await
}

/// Releases all claims of a tenant.
pub(super) async fn release(connection: &mut PgConnection, id: Uuid) -> Result<(), StoreError> {
    replace(connection, "domain", id, Vec::new()).await?;
    replace(connection, "number", id, Vec::new()).await
}

/// Replaces a tenant's rows in `public.<claim>s`.
async fn replace(
    connection: &mut PgConnection,
    claim: &'static str,
    id: Uuid,
    mut wanted: Vec<&str>,
) -> Result<(), StoreError> {
    wanted.sort_unstable();
    wanted.dedup();
    let sql =
        format!("SELECT {claim} FROM public.{claim}s WHERE tenant_id = $1 ORDER BY {claim} COLLATE \"C\"");
    let held: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id)
        .fetch_all(&mut *connection)
        .await
        .context("reading claims")?;
    if held == wanted {
        return Ok(());
    }
    // Rows are locked in one order: two tenants that swap numbers at once wait for each other once, and do not
    // deadlock.
    let lock = format!(
        "SELECT FROM public.{claim}s WHERE tenant_id = $1 OR {claim} = ANY($2) ORDER BY {claim} FOR UPDATE"
    );
    let delete = format!("DELETE FROM public.{claim}s WHERE tenant_id = $1 AND {claim} <> ALL($2)");
    let insert = format!(
        "INSERT INTO public.{claim}s ({claim}, tenant_id) SELECT c, $1 FROM unnest($2::text[]) AS c
         ON CONFLICT ({claim}) DO UPDATE SET tenant_id = excluded.tenant_id
         WHERE {claim}s.tenant_id <> excluded.tenant_id"
    );
    for sql in [lock, delete, insert] {
        sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(&wanted)
            .execute(&mut *connection)
            .await
            .context("writing claims")?;
    }
    Ok(())
}
