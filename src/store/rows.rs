//! Rows of any kind written in bulk: only what differs from what is stored.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{Doing, StoreError};
use super::fingerprints::{Difference, RowFingerprint, RowFingerprints, TableFingerprints};
use super::tables::{RowImage, Tables};
use crate::plan::Origin;
use crate::secrets::keyring::Keyring;

/// Says which resource a row was compiled from, by its table and name; none where that is not known, or is
/// what it was.
pub type Origins<'a> = dyn Fn(&str, &str) -> Option<Origin> + Send + Sync + 'a;

/// Nobody knows: plans that come from no resource.
pub(super) fn unknown(_: &str, _: &str) -> Option<Origin> {
    None
}

/// Where the rows of a plan are.
#[derive(Clone, Copy)]
pub(super) struct Home<'a> {
    /// The tenant's id, or the platform: what sealed values are bound to.
    pub scope: &'a str,
    /// What stands before a table's name: nothing in a tenant's schema, `public.` else.
    pub qualifier: &'a str,
}

/// How many rows were written and deleted, and which were written.
#[derive(Default)]
pub(super) struct Counts {
    pub written: u64,
    pub deleted: u64,
    pub rows: Vec<(&'static str, String)>,
}

/// Reads the fingerprints of all rows, in one query.
pub(super) async fn fingerprints(
    connection: &mut PgConnection,
    home: Home<'_>,
    tables: &[&'static str],
) -> Result<RowFingerprints, StoreError> {
    let parts: Vec<_> = tables
        .iter()
        .map(|table| format!("SELECT '{table}' AS kind, name, fingerprint FROM {}{table}", home.qualifier))
        .collect();
    let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(parts.join(" UNION ALL ")))
        .fetch_all(connection)
        .await
        .doing("reading which rows there are")?;
    let mut by_table: HashMap<String, Vec<RowFingerprint>> = HashMap::new();
    for (table, name, fingerprint) in rows {
        // One of another length is no row's of ours: it differs from all.
        let fingerprint = fingerprint.try_into().unwrap_or_default();
        by_table.entry(table).or_default().push(RowFingerprint { name: name.into(), fingerprint });
    }
    let of = |table: &&'static str| {
        let mut rows = by_table.remove(*table).unwrap_or_default();
        rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        TableFingerprints { table, rows }
    };
    Ok(RowFingerprints(tables.iter().map(of).collect()))
}

/// Makes the stored rows those of a plan, where they differ.
pub(super) async fn write(
    connection: &mut PgConnection,
    keyring: &Keyring,
    home: Home<'_>,
    (plan, origins): (&impl Tables, &Origins<'_>),
    differences: &[Difference<'_>],
) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    // What is gone goes first, for a new row may have the number of one that went.
    for Difference { table, gone, .. } in differences.iter().filter(|rows| !rows.gone.is_empty()) {
        counts.deleted += delete(connection, home, table, gone).await?;
    }
    for Difference { table, changed, .. } in differences.iter().filter(|rows| !rows.changed.is_empty()) {
        counts.written += upsert(connection, keyring, home, (plan, origins), table, changed).await?;
        counts.rows.extend(changed.iter().map(|row| (*table, row.name.to_string())));
    }
    Ok(counts)
}

async fn delete(
    connection: &mut PgConnection,
    home: Home<'_>,
    table: &str,
    names: &[&str],
) -> Result<u64, StoreError> {
    let sql = format!("DELETE FROM {}{table} WHERE name = ANY($1)", home.qualifier);
    let done =
        sqlx::query(AssertSqlSafe(sql)).bind(names).execute(connection).await.doing("deleting rows")?;
    Ok(done.rows_affected())
}

/// Writes rows of one table, column by column in one statement.
async fn upsert(
    connection: &mut PgConnection,
    keyring: &Keyring,
    home: Home<'_>,
    (plan, origins): (&impl Tables, &Origins<'_>),
    table: &'static str,
    changed: &[&RowFingerprint],
) -> Result<u64, StoreError> {
    let names: Vec<&str> = changed.iter().map(|row| &*row.name).collect();
    let images = plan.some(table, &names)?;
    let bodies: Vec<&str> = images.iter().map(|row| row.body.as_str()).collect();
    let seal = |row: &RowImage| row.sealed(keyring, home.scope, table);
    let sealed: Vec<_> = images.iter().map(seal).collect();
    let fingerprints: Vec<&[u8]> = changed.iter().map(|row| row.fingerprint.as_slice()).collect();
    let (uids, generations): (Vec<_>, Vec<_>) = names
        .iter()
        .map(|name| origins(table, name).map_or((None, None), |origin| (Some(origin.uid), origin.generation)))
        .unzip();
    let sql = format!(
        "INSERT INTO {}{table} AS stored (name, body, sealed, fingerprint, uid, generation)
         SELECT r.name, r.body::jsonb, r.sealed, r.fingerprint, r.uid, r.generation
         FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::bigint[])
             AS r (name, body, sealed, fingerprint, uid, generation)
         ON CONFLICT (name) DO UPDATE
         SET body = excluded.body, sealed = excluded.sealed, fingerprint = excluded.fingerprint,
             uid = coalesce(excluded.uid, stored.uid),
             generation = CASE WHEN excluded.uid IS NULL THEN stored.generation ELSE excluded.generation END",
        home.qualifier
    );
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(&names)
        .bind(&bodies)
        .bind(&sealed)
        .bind(fingerprints)
        .bind(uids)
        .bind(generations)
        .execute(connection)
        .await
        .doing("writing rows")?;
    Ok(done.rows_affected())
}
