//! Rows of any kind, compared with what is stored and written in bulk: only what differs.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{Doing, StoreError};
use super::keyring::{Fingerprint, Keyring};
use super::tables::TableImage;

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

/// Fingerprints of stored rows, by table and name.
pub(super) type Stored = HashMap<(String, String), Vec<u8>>;

/// Reads the fingerprints of all rows, in one query.
pub(super) async fn fingerprints(
    connection: &mut PgConnection,
    home: Home<'_>,
    tables: &[&str],
) -> Result<Stored, StoreError> {
    let parts: Vec<_> = tables
        .iter()
        .map(|table| format!("SELECT '{table}' AS kind, name, fingerprint FROM {}{table}", home.qualifier))
        .collect();
    let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(parts.join(" UNION ALL ")))
        .fetch_all(connection)
        .await
        .doing("reading which rows there are")?;
    Ok(rows.into_iter().map(|(table, name, fingerprint)| ((table, name), fingerprint)).collect())
}

/// Makes the stored rows those of the images.
pub(super) async fn write(
    connection: &mut PgConnection,
    keyring: &Keyring,
    home: Home<'_>,
    images: &[TableImage],
    mut stored: Stored,
) -> Result<Counts, StoreError> {
    let mut changed = Vec::new();
    for image in images {
        let mut batch = Batch::new(image.table);
        for row in &image.rows {
            let before = stored.remove(&(image.table.to_owned(), row.name.clone()));
            if before.is_none_or(|before| before != row.fingerprint) {
                batch.names.push(&row.name);
                batch.bodies.push(&row.body);
                batch.sealed.push(row.sealed(keyring, home.scope, image.table));
                batch.fingerprints.push(row.fingerprint);
            }
        }
        changed.push(batch);
    }
    // What is left in the plan's place is gone from it. It goes first, for a new row may have the
    // number of one that went.
    let mut gone: HashMap<String, Vec<String>> = HashMap::new();
    for (table, name) in stored.into_keys() {
        gone.entry(table).or_default().push(name);
    }
    let mut counts = Counts::default();
    for (table, names) in gone {
        counts.deleted += delete(connection, home, &table, names).await?;
    }
    for batch in changed.iter().filter(|batch| !batch.names.is_empty()) {
        counts.written += batch.write(connection, home).await?;
        counts.rows.extend(batch.names.iter().map(|name| (batch.table, (*name).to_owned())));
    }
    Ok(counts)
}

async fn delete(
    connection: &mut PgConnection,
    home: Home<'_>,
    table: &str,
    names: Vec<String>,
) -> Result<u64, StoreError> {
    let sql = format!("DELETE FROM {}{table} WHERE name = ANY($1)", home.qualifier);
    let done =
        sqlx::query(AssertSqlSafe(sql)).bind(names).execute(connection).await.doing("deleting rows")?;
    Ok(done.rows_affected())
}

/// Rows of one table, column by column, as one statement takes them.
struct Batch<'a> {
    table: &'static str,
    names: Vec<&'a str>,
    bodies: Vec<&'a str>,
    sealed: Vec<Option<Vec<u8>>>,
    fingerprints: Vec<Fingerprint>,
}

impl<'a> Batch<'a> {
    fn new(table: &'static str) -> Self {
        Self { table, names: Vec::new(), bodies: Vec::new(), sealed: Vec::new(), fingerprints: Vec::new() }
    }

    async fn write(&self, connection: &mut PgConnection, home: Home<'_>) -> Result<u64, StoreError> {
        let sql = format!(
            "INSERT INTO {}{} (name, body, sealed, fingerprint)
             SELECT r.name, r.body::jsonb, r.sealed, r.fingerprint
             FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS r (name, body, sealed, fingerprint)
             ON CONFLICT (name) DO UPDATE
             SET body = excluded.body, sealed = excluded.sealed, fingerprint = excluded.fingerprint",
            home.qualifier, self.table
        );
        let fingerprints: Vec<&[u8]> = self.fingerprints.iter().map(<[u8; 16]>::as_slice).collect();
        let done = sqlx::query(AssertSqlSafe(sql))
            .bind(&self.names)
            .bind(&self.bodies)
            .bind(&self.sealed)
            .bind(fingerprints)
            .execute(connection)
            .await
            .doing("writing rows")?;
        Ok(done.rows_affected())
    }
}
