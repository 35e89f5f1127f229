//! What the last revisions of a tenant changed, so that whoever holds one of them reads no more than
//! that.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{Doing, StoreError};
use super::fingerprints::Difference;
use super::load::Revision;

/// Revisions of which it is kept. Whoever is further behind reads everything.
const REVISIONS: i64 = 100;
/// Most rows a revision may change to be kept: about as many are read one by one in the time in
/// which a large tenant is read as a whole.
const MOST: usize = 1000;

/// Names of rows by their table.
pub type Names = BTreeMap<String, BTreeSet<String>>;

/// Keeps what a revision changed of the one with the fingerprint `before`; without one, that nothing
/// is known. In the tenant's schema.
pub(super) async fn keep(
    connection: &mut PgConnection,
    revision: i64,
    before: Option<&[u8]>,
    differences: &[Difference<'_>],
) -> Result<(), StoreError> {
    // Later ones are of a life before: the schema was restored, its tenant begins anew.
    sqlx::query("DELETE FROM changes WHERE revision >= $1 OR revision <= $2")
        .bind(revision)
        .bind(revision - REVISIONS)
        .execute(&mut *connection)
        .await
        .doing("forgetting old changes")?;
    let count = differences.iter().map(|rows| rows.changed.len() + rows.gone.len()).sum::<usize>();
    let Some(before) = before.filter(|_| count <= MOST) else { return Ok(()) };
    let names = |rows: &Difference<'_>| {
        let changed = rows.changed.iter().map(|row| &*row.name);
        changed.chain(rows.gone.iter().copied()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let rows: Names = differences
        .iter()
        .map(|rows| (rows.table.to_owned(), names(rows)))
        .filter(|rows| !rows.1.is_empty())
        .collect();
    sqlx::query("INSERT INTO changes (revision, before, rows) VALUES ($1, $2, $3)")
        .bind(revision)
        .bind(before)
        .bind(Json(rows))
        .execute(connection)
        .await
        .doing("keeping what changed")?;
    Ok(())
}

/// Which rows differ, or may, between what somebody holds and a later revision; none when that is not
/// known.
pub(super) async fn since(
    connection: &mut PgConnection,
    qualifier: &str,
    held: &Revision,
    now: i64,
) -> Result<Option<Names>, StoreError> {
    if now <= held.number {
        return Ok(None);
    }
    let sql = format!(
        "SELECT revision, before, rows FROM {qualifier}changes
         WHERE revision > $1 AND revision <= $2 ORDER BY revision"
    );
    let changes: Vec<(i64, Vec<u8>, Json<Names>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(held.number)
        .bind(now)
        .fetch_all(connection)
        .await
        .doing("reading what changed")?;
    // Every step is there, and the first is from what is held: the same number may have been another
    // revision, before a failover.
    let complete = changes.iter().map(|(revision, ..)| *revision).eq(held.number + 1..=now);
    let follows = changes.first().is_some_and(|(_, before, _)| *before == held.fingerprint);
    if !complete || !follows {
        return Ok(None);
    }
    let mut names = Names::new();
    for (table, changed) in changes.into_iter().flat_map(|(_, _, Json(rows))| rows) {
        names.entry(table).or_default().extend(changed);
    }
    Ok(Some(names))
}
