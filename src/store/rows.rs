//! Rows of all kinds written in bulk: only the rows that differ from what is stored.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{PgContext, StoreError};
use super::fingerprints::{Difference, KindFingerprints, RowFingerprint, RowFingerprints};
use super::records::PlanRecords;
use crate::plan::Origin;
use crate::secrets::keyring::Keyring;

/// Returns the object that a row was compiled from, by the row's kind and name. `None` leaves the stored origin as
/// it is.
pub type Origins<'a> = dyn Fn(&str, &str) -> Option<Origin> + Send + Sync + 'a;

/// Origins of a plan that was compiled from no objects.
pub(super) fn no_origins(_: &str, _: &str) -> Option<Origin> {
    None
}

/// Where the rows of a plan are stored.
#[derive(Clone, Copy)]
pub(super) struct Home<'a> {
    /// The tenant's id, or the platform: sealed values are bound to it.
    pub scope: &'a str,
    /// The table, with its schema where the search path does not lead to it.
    pub table: &'a str,
}

/// The table of the platform's rows.
pub(super) const PLATFORM_TABLE: &str = "public.platform_resources";
/// The table of a tenant's rows, in its schema.
pub(super) const TENANT_TABLE: &str = "resources";

/// Rows that were written and deleted.
#[derive(Default)]
pub(super) struct Counts {
    pub written: u64,
    pub deleted: u64,
    /// Kinds and names of the rows that were written.
    pub rows: Vec<(&'static str, String)>,
}

/// Reads the fingerprints of all rows of these kinds.
pub(super) async fn fingerprints(
    connection: &mut PgConnection,
    home: Home<'_>,
    kinds: &[&'static str],
) -> Result<RowFingerprints, StoreError> {
    let sql = format!("SELECT kind, name, fingerprint FROM {} WHERE kind = ANY($1)", home.table);
    let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(kinds)
        .fetch_all(connection)
        .await
        .context("reading the fingerprints of rows")?;
    let mut by_kind: HashMap<String, Vec<RowFingerprint>> = HashMap::new();
    for (kind, name, fingerprint) in rows {
        // A fingerprint of another length was not written by this version: the row differs.
        let fingerprint = fingerprint.try_into().unwrap_or_default();
        by_kind.entry(kind).or_default().push(RowFingerprint { name: name.into(), fingerprint });
    }
    let of = |kind: &&'static str| {
        let mut rows = by_kind.remove(*kind).unwrap_or_default();
        rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        KindFingerprints { kind, rows }
    };
    Ok(RowFingerprints(kinds.iter().map(of).collect()))
}

/// Writes the rows of a plan that differ from the stored ones, and deletes those that the plan does not have.
pub(super) async fn write(
    connection: &mut PgConnection,
    keyring: &Keyring,
    home: Home<'_>,
    (plan, origins): (&impl PlanRecords, &Origins<'_>),
    differences: &[Difference<'_>],
) -> Result<Counts, StoreError> {
    // Deleted first: a new row may have the number of a removed one.
    let deleted = delete(connection, home, differences).await?;
    let rows = upsert(connection, keyring, home, (plan, origins), differences).await?;
    Ok(Counts { written: u64::try_from(rows.len()).unwrap_or_default(), deleted, rows })
}

async fn delete(
    connection: &mut PgConnection,
    home: Home<'_>,
    differences: &[Difference<'_>],
) -> Result<u64, StoreError> {
    let removed = differences.iter().flat_map(|rows| rows.removed.iter().map(|name| (rows.kind, *name)));
    let (kinds, names): (Vec<&str>, Vec<&str>) = removed.unzip();
    if names.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "DELETE FROM {} WHERE (kind, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        home.table
    );
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(kinds)
        .bind(names)
        .execute(connection)
        .await
        .context("deleting rows")?;
    Ok(done.rows_affected())
}

/// Inserts or updates all changed rows, column by column in one statement, and returns their kinds and names.
async fn upsert(
    connection: &mut PgConnection,
    keyring: &Keyring,
    home: Home<'_>,
    (plan, origins): (&impl PlanRecords, &Origins<'_>),
    differences: &[Difference<'_>],
) -> Result<Vec<(&'static str, String)>, StoreError> {
    let (mut rows, mut bodies, mut sealed, mut fingerprints) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Difference { kind, changed, .. } in differences {
        let names: Vec<&str> = changed.iter().map(|row| &*row.name).collect();
        for (record, changed) in plan.rows_named(kind, &names)?.into_iter().zip(changed) {
            sealed.push(record.seal(keyring, home.scope, kind));
            fingerprints.push(changed.fingerprint.as_slice());
            bodies.push(record.body);
            rows.push((*kind, record.name));
        }
    }
    if rows.is_empty() {
        return Ok(rows);
    }
    let (uids, generations): (Vec<_>, Vec<_>) = rows
        .iter()
        .map(|(kind, name)| {
            origins(kind, name).map_or((None, None), |origin| (Some(origin.uid), origin.generation))
        })
        .unzip();
    let sql = format!(
        "INSERT INTO {} AS stored (kind, name, body, sealed, fingerprint, uid, generation)
         SELECT r.kind, r.name, r.body::jsonb, r.sealed, r.fingerprint, r.uid, r.generation
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::bigint[])
             AS r (kind, name, body, sealed, fingerprint, uid, generation)
         ON CONFLICT (kind, name) DO UPDATE
         SET body = excluded.body, sealed = excluded.sealed, fingerprint = excluded.fingerprint,
             uid = coalesce(excluded.uid, stored.uid),
             generation = CASE WHEN excluded.uid IS NULL THEN stored.generation ELSE excluded.generation END",
        home.table
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(rows.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>())
        .bind(&bodies)
        .bind(&sealed)
        .bind(fingerprints)
        .bind(uids)
        .bind(generations)
        .execute(connection)
        .await
        .context("writing rows")?;
    Ok(rows)
}
