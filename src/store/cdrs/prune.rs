//! Retention of call records, and a bound on the quarantine: work of the process that leads.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use tracing::{info, warn};
use uuid::Uuid;

use crate::store::Store;
use crate::store::error::{PgContext, StoreError};
use crate::store::migrate::enter;

/// Time between two rounds. Retention is in days.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// Pause after a round in which Postgres failed.
const RETRY_DELAY: Duration = Duration::from_secs(30);
/// Rows that one transaction deletes: it is short, so that it holds no lock for long and vacuum can follow.
const MAX_BATCH: u64 = 1000;
/// Days that a record stays in the quarantine. Most of these records are of scanners, which a switch on
/// the Internet hears all day.
const QUARANTINE_DAYS: i32 = 30;
/// Total size of the bodies in the quarantine, in bytes: whatever strangers send must not fill the disk. The
/// newest records stay.
const MAX_QUARANTINE_BYTES: i64 = 1 << 30;
const PRUNING: &str = "removing old call records";

/// Removes old call records of all tenants, once an hour, until the store may no longer be written.
pub async fn prune(store: Store) {
    let lost = store.lost();
    let work = async {
        loop {
            let pause = match prune_all(&store).await {
                Ok(()) => PRUNE_INTERVAL,
                Err(cause) => {
                    warn!(category = cause.category(), %cause, "old call records were not removed; retrying");
                    RETRY_DELAY
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    lost.run_until_cancelled(work).await;
}

/// One round: the quarantine, then every tenant with a retention. A tenant that fails does not stop the others.
/// Retained tenants keep all their records.
async fn prune_all(store: &Store) -> Result<(), StoreError> {
    let tenants: Vec<(Uuid, i32)> = sqlx::query_as(
        "SELECT id, (body ->> 'cdrDays')::integer FROM public.tenants
         WHERE retained_at IS NULL AND body ->> 'cdrDays' IS NOT NULL ORDER BY id",
    )
    .fetch_all(store.pool())
    .await
    .context(PRUNING)?;
    let mut failed = prune_quarantine(store).await.err();
    for (id, days) in tenants {
        match prune_tenant(store, id, days).await {
            Ok(0) => {}
            Ok(removed) => {
                info!(tenant = %id, removed, "call records were removed, as the tenant's profile says")
            }
            Err(cause @ (StoreError::Unreachable { .. } | StoreError::Fenced(_))) => return Err(cause),
            Err(cause) => {
                warn!(tenant = %id, category = cause.category(), %cause, "the tenant's old call records were not removed");
                failed.get_or_insert(cause);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Removes a tenant's records that began and were received more than so many days ago, batch by batch.
/// Returns how many were removed.
async fn prune_tenant(store: &Store, id: Uuid, days: i32) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let start = Instant::now();
        let batch = delete_batch(store, id, days).await?;
        removed += batch;
        if batch < MAX_BATCH {
            return Ok(removed);
        }
        // Leaves half of the time to others, however large the backlog is.
        tokio::time::sleep(start.elapsed()).await;
    }
}

/// Deletes up to [`MAX_BATCH`] records in one transaction, as the tenant's role.
async fn delete_batch(store: &Store, id: Uuid, days: i32) -> Result<u64, StoreError> {
    let mut transaction = store.pool().begin().await.context(PRUNING)?;
    store.fence(&mut transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(enter(id))).execute(&mut *transaction).await.context(PRUNING)?;
    // The retention of a record with a wrong clock, or of one that arrived late, counts from its arrival.
    let deleted = sqlx::query(
        "DELETE FROM cdrs WHERE (uuid, leg) IN (
             SELECT uuid, leg FROM cdrs
             WHERE started_at < now() - make_interval(days => $1)
               AND received_at < now() - make_interval(days => $1)
             ORDER BY started_at LIMIT $2)",
    )
    .bind(days)
    .bind(i64::try_from(MAX_BATCH).unwrap_or(i64::MAX))
    .execute(&mut *transaction)
    .await
    .context(PRUNING)?
    .rows_affected();
    transaction.commit().await.context(PRUNING)?;
    Ok(deleted)
}

/// Removes records from the quarantine that are too old, and the oldest when there are too many bytes.
async fn prune_quarantine(store: &Store) -> Result<(), StoreError> {
    let mut transaction = store.pool().begin().await.context(PRUNING)?;
    store.fence(&mut transaction).await?;
    let old = sqlx::query(
        "DELETE FROM public.cdr_quarantine WHERE received_at < now() - make_interval(days => $1)",
    )
    .bind(QUARANTINE_DAYS)
    .execute(&mut *transaction)
    .await
    .context(PRUNING)?
    .rows_affected();
    let too_many = sqlx::query(
        "DELETE FROM public.cdr_quarantine WHERE digest IN (
             SELECT digest FROM (
                 SELECT digest, sum(length(body)) OVER (ORDER BY received_at DESC, digest) AS bytes
                 FROM public.cdr_quarantine
             ) AS newest WHERE bytes > $1)",
    )
    .bind(MAX_QUARANTINE_BYTES)
    .execute(&mut *transaction)
    .await
    .context(PRUNING)?
    .rows_affected();
    transaction.commit().await.context(PRUNING)?;
    if old > 0 {
        info!(removed = old, days = QUARANTINE_DAYS, "old call records were removed from the quarantine");
    }
    if too_many > 0 {
        warn!(
            removed = too_many,
            bytes = MAX_QUARANTINE_BYTES,
            "the quarantine of call records is full: the oldest were removed"
        );
    }
    Ok(())
}
