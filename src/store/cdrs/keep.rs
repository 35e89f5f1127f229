//! Months made ahead, and call records removed when their time is over: the leader's work.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tracing::{info, warn};
use uuid::Uuid;

use crate::store::Store;
use crate::store::error::{Doing, StoreError};
use crate::store::migrate::enter;

/// How often. Months are made two ahead, and retention is in days.
const EVERY: Duration = Duration::from_secs(3600);
/// Pause after Postgres failed.
const RETRY: Duration = Duration::from_secs(30);

/// Looks after the call records of all tenants, for as long as the store may be written.
pub async fn keep(store: Store) {
    let lost = store.lost();
    let work = async {
        loop {
            let pause = match keep_all(&store).await {
                Ok(()) => EVERY,
                Err(cause) => {
                    warn!(category = cause.category(), %cause, "call records are not looked after; trying again");
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    lost.run_until_cancelled(work).await;
}

/// Once through all tenants, each in a transaction of its own role. Retained ones keep all they have.
async fn keep_all(store: &Store) -> Result<(), StoreError> {
    const DOING: &str = "looking after call records";
    let tenants: Vec<(Uuid, Option<i32>)> = sqlx::query_as(
        "SELECT id, (body ->> 'cdrDays')::integer FROM public.tenants WHERE retained_at IS NULL ORDER BY id",
    )
    .fetch_all(store.pool())
    .await
    .doing(DOING)?;
    for (id, days) in tenants {
        let mut transaction = store.pool().begin().await.doing(DOING)?;
        store.fence(&mut transaction).await?;
        sqlx::raw_sql(AssertSqlSafe(enter(id))).execute(&mut *transaction).await.doing(DOING)?;
        let removed: i64 = sqlx::query_scalar("SELECT keep_cdrs($1)")
            .bind(days)
            .fetch_one(&mut *transaction)
            .await
            .doing(DOING)?;
        transaction.commit().await.doing(DOING)?;
        if removed > 0 {
            info!(tenant = %id, removed, "call records were removed, as the tenant's profile says");
        }
    }
    Ok(())
}
