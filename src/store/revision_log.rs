//! The rows that each of the last revisions of a tenant changed. A reader that holds one of these
//! revisions reads only the rows that changed since.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{PgContext, StoreError};
use super::fingerprints::Difference;
use super::load::Revision;
use crate::plan::TenantPlan;

/// Revisions that the log covers. A reader that is further behind reads everything.
const MAX_REVISIONS: i64 = 100;
/// Rows that one revision may change to be logged: reading so many by name takes about as long as
/// reading a large tenant as a whole.
const MAX_ROWS: usize = 1000;

/// Names of rows by their kind.
pub type Names = BTreeMap<String, BTreeSet<String>>;

/// Appends what a revision changed since the plan with the fingerprint `before`. Without `before`, or when
/// too many rows changed, the revision is left out. Runs in the tenant's schema.
pub(super) async fn append(
    connection: &mut PgConnection,
    revision: i64,
    before: Option<&[u8]>,
    differences: &[Difference<'_>],
) -> Result<(), StoreError> {
    // Higher revisions are from before a restore of the schema, after which a tenant starts at 1 again.
    sqlx::query("DELETE FROM changes WHERE revision >= $1 OR revision <= $2")
        .bind(revision)
        .bind(revision - MAX_REVISIONS)
        .execute(&mut *connection)
        .await
        .context("removing old entries of the revision log")?;
    let count = differences.iter().map(|rows| rows.changed.len() + rows.removed.len()).sum::<usize>();
    let Some(before) = before.filter(|_| count <= MAX_ROWS) else { return Ok(()) };
    let names = |rows: &Difference<'_>| {
        let changed = rows.changed.iter().map(|row| &*row.name);
        changed.chain(rows.removed.iter().copied()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let rows: Names = differences
        .iter()
        .map(|rows| (rows.kind.to_owned(), names(rows)))
        .filter(|rows| !rows.1.is_empty())
        .collect();
    sqlx::query("INSERT INTO changes (revision, before, rows) VALUES ($1, $2, $3)")
        .bind(revision)
        .bind(before)
        .bind(Json(rows))
        .execute(connection)
        .await
        .context("writing the revision log")?;
    Ok(())
}

/// Rows that may differ between the revision `held` and the later revision `now`. `None` when the log does not
/// cover all revisions between the two, or names a kind that this version does not have.
pub(super) async fn since(
    connection: &mut PgConnection,
    schema: &str,
    held: &Revision,
    now: i64,
) -> Result<Option<Names>, StoreError> {
    if now <= held.number {
        return Ok(None);
    }
    let sql = format!(
        "SELECT revision, before, rows FROM {schema}changes
         WHERE revision > $1 AND revision <= $2 ORDER BY revision"
    );
    let changes: Vec<(i64, Vec<u8>, Json<Names>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(held.number)
        .bind(now)
        .fetch_all(connection)
        .await
        .context("reading the revision log")?;
    // The log must have every revision, and the first one must follow the held revision by fingerprint: after
    // a failover the same number may belong to another plan.
    let complete = changes.iter().map(|(revision, ..)| *revision).eq(held.number + 1..=now);
    let follows = changes.first().is_some_and(|(_, before, _)| *before == held.fingerprint);
    if !complete || !follows {
        return Ok(None);
    }
    let mut names = Names::new();
    for (kind, changed) in changes.into_iter().flat_map(|(_, _, Json(rows))| rows) {
        names.entry(kind).or_default().extend(changed);
    }
    let known = names.keys().all(|kind| TenantPlan::KINDS.contains(&kind.as_str()));
    Ok(known.then_some(names))
}
