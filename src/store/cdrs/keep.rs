//! Months made ahead, and call records removed when their time is over: the leader's work.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tracing::{info, warn};
use uuid::Uuid;

use crate::store::Store;
use crate::store::error::{Doing, StoreError};
use crate::store::migrate::enter;

/// How often. Months are made one ahead, and retention is in days.
const EVERY: Duration = Duration::from_secs(3600);
/// Days that a record without a place is kept. Most are of scanners, which a switch on the Internet
/// hears all day.
const QUARANTINE_DAYS: i32 = 30;
/// Most bytes of them, in their bodies: what anybody may send must not fill the disk. The newest stay.
const QUARANTINE_BYTES: i64 = 1 << 30;
const DOING: &str = "looking after call records";
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

/// Once through all tenants; one that fails keeps no other waiting.
async fn keep_all(store: &Store) -> Result<(), StoreError> {
    let tenants: Vec<(Uuid, Option<i32>)> = sqlx::query_as(
        "SELECT id, (body ->> 'cdrDays')::integer FROM public.tenants WHERE retained_at IS NULL ORDER BY id",
    )
    .fetch_all(store.pool())
    .await
    .doing(DOING)?;
    let mut failed = keep_quarantine(store).await.err();
    for (id, days) in tenants {
        match keep_tenant(store, id, days).await {
            Ok(0) => {}
            Ok(removed) => {
                info!(tenant = %id, removed, "call records were removed, as the tenant's profile says")
            }
            Err(cause @ (StoreError::Unreachable { .. } | StoreError::Fenced(_))) => return Err(cause),
            Err(cause) => {
                warn!(tenant = %id, category = cause.category(), %cause, "its call records are not looked after");
                failed.get_or_insert(cause);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// In a transaction of the tenant's role; how many were removed. Retained tenants keep all they have.
async fn keep_tenant(store: &Store, id: Uuid, days: Option<i32>) -> Result<i64, StoreError> {
    let mut transaction = store.pool().begin().await.doing(DOING)?;
    store.fence(&mut transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(enter(id))).execute(&mut *transaction).await.doing(DOING)?;
    let removed =
        sqlx::query_scalar("SELECT public.keep_cdrs($1)").bind(days).fetch_one(&mut *transaction).await;
    transaction.commit().await.doing(DOING)?;
    removed.doing(DOING)
}

/// Removes from the quarantine what is too old, and the oldest of what is too much.
async fn keep_quarantine(store: &Store) -> Result<(), StoreError> {
    let mut transaction = store.pool().begin().await.doing(DOING)?;
    store.fence(&mut transaction).await?;
    let old = sqlx::query(
        "DELETE FROM public.cdr_quarantine WHERE received_at < now() - make_interval(days => $1)",
    )
    .bind(QUARANTINE_DAYS)
    .execute(&mut *transaction)
    .await
    .doing(DOING)?
    .rows_affected();
    let too_many = sqlx::query(
        "DELETE FROM public.cdr_quarantine WHERE digest IN (
             SELECT digest FROM (
                 SELECT digest, sum(length(body)) OVER (ORDER BY received_at DESC, digest) AS bytes
                 FROM public.cdr_quarantine
             ) AS newest WHERE bytes > $1)",
    )
    .bind(QUARANTINE_BYTES)
    .execute(&mut *transaction)
    .await
    .doing(DOING)?
    .rows_affected();
    transaction.commit().await.doing(DOING)?;
    if old > 0 {
        info!(removed = old, days = QUARANTINE_DAYS, "call records without a place are too old to be kept");
    }
    if too_many > 0 {
        warn!(
            removed = too_many,
            bytes = QUARANTINE_BYTES,
            "call records without a place are too many: the oldest were removed from the quarantine"
        );
    }
    Ok(())
}
