//! Domains and public numbers, each held by one tenant. Compile has settled who holds what; here a
//! claim moves to whoever has it in its plan, and a tenant gives back only what is still its own.

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::error::{Doing, StoreError};
use crate::plan::TenantPlan;

/// Makes the tenant's claims those of the plan.
pub(super) async fn write(connection: &mut PgConnection, plan: &TenantPlan) -> Result<(), StoreError> {
    let domains = plan.tenant.domains.iter().map(String::as_str).collect();
    let numbers = plan.numbers.values().map(|row| row.number.as_str()).collect();
    settle(connection, "domain", plan.tenant.id, domains).await?;
    settle(connection, "number", plan.tenant.id, numbers).await
}

/// Gives back everything the tenant holds.
pub(super) async fn release(connection: &mut PgConnection, id: Uuid) -> Result<(), StoreError> {
    settle(connection, "domain", id, Vec::new()).await?;
    settle(connection, "number", id, Vec::new()).await
}

/// Makes what a tenant holds in `public.<claim>s` exactly these.
async fn settle(
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
        .doing("reading claims")?;
    if held == wanted {
        return Ok(());
    }
    // All rows concerned are locked in one order: two tenants who swap numbers at the same moment
    // wait for each other once, not in a circle.
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
            .doing("writing claims")?;
    }
    Ok(())
}
