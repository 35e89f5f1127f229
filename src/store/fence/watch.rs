//! Checks that the database still has what this process wrote: a backup may be restored while the writer's
//! connections stay open.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::error::{PgContext, StoreError, in_time};
use crate::store::{Memory, Reader};

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A cheap summary: when it is equal to the last one, nothing was written in between.
#[derive(Clone, PartialEq)]
struct Summary {
    term: i64,
    platform: Option<i64>,
    tenants: i64,
    revisions: Option<i64>,
}

/// Cancels `lost` and returns when the database was set back. Returns when `lost` or `end` is cancelled.
pub(super) async fn watch(
    reader: Reader,
    memory: Memory,
    term: i64,
    lost: CancellationToken,
    end: CancellationToken,
) {
    let polling = async {
        let (mut poll, mut last) = (interval(POLL_INTERVAL), None);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            match in_time(ANSWER_TIMEOUT, is_set_back(&reader, &memory, term, &mut last)).await {
                Ok(false) => {}
                Ok(true) => return "it has an older state than this process wrote",
                // During a restore, tables are missing.
                Err(error) if error.is_of_schema() => return "its tables are missing",
                // The task that holds the lock notices a lost connection.
                Err(error) => {
                    tracing::debug!(%error, "the database could not be compared with what was written")
                }
            }
        }
    };
    tokio::select! {
        why = polling => {
            tracing::warn!("the database was set back: {why}; all plans are compared with it again");
            lost.cancel();
        }
        () = lost.cancelled() => {}
        () = end.cancelled() => {}
    }
}

async fn is_set_back(
    reader: &Reader,
    memory: &Memory,
    term: i64,
    last: &mut Option<Summary>,
) -> Result<bool, StoreError> {
    let known = memory.revisions();
    let summary = summary(reader).await?;
    // A higher term is of another process, which checked this when it began.
    if summary.term < term {
        return Ok(true);
    }
    if last.as_ref() == Some(&summary) {
        return Ok(false);
    }
    let stored = reader.revisions(reader.pool()).await?;
    let set_back = !stored.follows(&known, &memory.revisions());
    *last = Some(summary);
    Ok(set_back)
}

async fn summary(reader: &Reader) -> Result<Summary, StoreError> {
    let row: Option<(i64, Option<i64>, i64, Option<i64>)> = sqlx::query_as(
        "SELECT term, (SELECT revision FROM public.platform),
                (SELECT count(*) FROM public.tenants), (SELECT sum(revision)::bigint FROM public.tenants)
         FROM public.writer",
    )
    .fetch_optional(reader.pool())
    .await
    .context("comparing the database with what was written")?;
    let (term, platform, tenants, revisions) = row.unwrap_or_default();
    Ok(Summary { term, platform, tenants, revisions })
}
