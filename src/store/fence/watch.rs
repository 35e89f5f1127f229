//! Looks whether the database still has what was written: a backup may be restored under a writer whose
//! connections live on.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::error::{Doing, StoreError, in_time};
use crate::store::{Memory, Reader};

/// How often it is looked, and how long the answer may take.
const LOOK: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What tells, at little cost, that nothing was written since it was looked last.
#[derive(Clone, PartialEq)]
struct Glance {
    term: i64,
    platform: Option<i64>,
    tenants: i64,
    revisions: Option<i64>,
}

/// Cancels `lost` when the database was set back, and ends then; or with `end`.
pub(super) async fn watch(
    reader: Reader,
    memory: Memory,
    term: i64,
    lost: CancellationToken,
    end: CancellationToken,
) {
    let looking = async {
        let (mut look, mut before) = (interval(LOOK), None);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            match in_time(ANSWER_TIMEOUT, is_set_back(&reader, &memory, term, &mut before)).await {
                Ok(false) => {}
                Ok(true) => return "it has an older state than was written",
                // In the middle of a restore tables are missing.
                Err(error) if error.is_of_schema() => return "its tables are gone",
                // Whether the connection is lost, who holds the lock finds out.
                Err(error) => {
                    tracing::debug!(%error, "the database could not be compared with what was written")
                }
            }
        }
    };
    tokio::select! {
        why = looking => {
            tracing::warn!("the database was set back: {why}; everything is compared anew");
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
    glanced: &mut Option<Glance>,
) -> Result<bool, StoreError> {
    let known = memory.revisions();
    let glance = glance(reader).await?;
    // A higher term is somebody else's, who has found out by what it wrote.
    if glance.term < term {
        return Ok(true);
    }
    if glanced.as_ref() == Some(&glance) {
        return Ok(false);
    }
    let stored = reader.revisions(reader.pool()).await?;
    let set_back = !stored.follows(&known, &memory.revisions());
    *glanced = Some(glance);
    Ok(set_back)
}

async fn glance(reader: &Reader) -> Result<Glance, StoreError> {
    let row: Option<(i64, Option<i64>, i64, Option<i64>)> = sqlx::query_as(
        "SELECT term, (SELECT revision FROM public.platform),
                (SELECT count(*) FROM public.tenants), (SELECT sum(revision)::bigint FROM public.tenants)
         FROM public.writer",
    )
    .fetch_optional(reader.pool())
    .await
    .doing("comparing the database with what was written")?;
    let (term, platform, tenants, revisions) = row.unwrap_or_default();
    Ok(Glance { term, platform, tenants, revisions })
}
