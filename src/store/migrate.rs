//! Migrations: SQL files in order, each applied once, in one transaction with its record. After a killed
//! migration the next start continues.
//!
//! Not sqlx's `Migrator`: a tenant's files run as one batch in the tenant's role, one query finds the schemas that
//! are behind among thousands, a damaged schema does not stop the others, and the lock ends with the connection.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};
use uuid::Uuid;

use super::error::{PgContext, StoreError};
use super::tenant_schema;

/// One file of migrations.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Number of the file, from 1 without gaps.
    pub version: i32,
    /// Name of the file.
    pub name: &'static str,
    /// SQL statements of the file.
    pub sql: &'static str,
}

macro_rules! migration {
    ($directory:literal, $version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $directory, "/", $name)),
        }
    };
}

/// Migrations of the schema `public`.
pub const PUBLIC: &[Migration] = &[
    migration!("public", 1, "0001_platform.sql"),
    migration!("public", 2, "0002_writer.sql"),
    migration!("public", 3, "0003_switches.sql"),
    migration!("public", 4, "0004_removed.sql"),
    migration!("public", 5, "0005_cdr.sql"),
    migration!("public", 6, "0006_emergency_calls.sql"),
    migration!("public", 7, "0007_registrations.sql"),
    migration!("public", 8, "0008_phones.sql"),
];

/// Migrations of each tenant's schema.
pub const TENANT: &[Migration] =
    &[migration!("tenant", 1, "0001_resources.sql"), migration!("tenant", 2, "0002_cdrs.sql")];

/// Advisory lock of the migrating process: the letters `centrex` in ASCII.
const LOCK: i64 = 0x0063_656e_7472_6578;

impl Migration {
    /// SHA-256 of the statements.
    pub fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql.as_bytes()).to_vec()
    }
}

/// Waits for the migration lock. It belongs to the session and is released when the connection closes, so give a
/// connection that is not from a pool, and close it.
///
/// # Errors
/// When Postgres fails.
pub async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(connection)
        .await
        .context("waiting for the migration lock")?;
    Ok(())
}

/// Migrates `public`.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::MigrationDiffers`], or [`StoreError::Migration`] when a file fails; else
/// when Postgres fails.
pub async fn public(connection: &mut PgConnection, migrations: &[Migration]) -> Result<(), StoreError> {
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS public.schema_migrations (
             version    integer PRIMARY KEY,
             name       text NOT NULL,
             checksum   bytea NOT NULL,
             applied_at timestamptz NOT NULL DEFAULT now());
         COMMENT ON TABLE public.schema_migrations IS 'Which files of migrations/public this database has'",
    )
    .execute(&mut *connection)
    .await
    .context("reading applied migrations")?;
    let applied = sqlx::query_as("SELECT version, checksum FROM public.schema_migrations")
        .fetch_all(&mut *connection)
        .await
        .context("reading applied migrations")?;
    let reached = check("public", applied, migrations)?;
    for migration in migrations.iter().filter(|migration| migration.version > reached) {
        let failed = |source| StoreError::Migration { name: migration.name.to_owned(), source };
        let mut transaction = connection.begin().await.map_err(failed)?;
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await.map_err(failed)?;
        sqlx::query("INSERT INTO public.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(migration.checksum())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        tracing::info!(migration = migration.name, "database migrated");
    }
    Ok(())
}

/// Migrates the schemas of all tenants, each in one transaction. A tenant whose schema or role was damaged is logged
/// and skipped.
///
/// # Errors
/// As [`public`].
pub async fn tenants(connection: &mut PgConnection, migrations: &[Migration]) -> Result<(), StoreError> {
    let applied = sqlx::query_as("SELECT DISTINCT version, checksum FROM public.tenant_migrations")
        .fetch_all(&mut *connection)
        .await
        .context("reading applied migrations of tenants")?;
    check("tenant", applied, migrations)?;
    let newest = migrations.last().map_or(0, |migration| migration.version);
    let behind = sqlx::query(
        "SELECT t.id, coalesce(max(m.version), 0) AS reached
         FROM public.tenants t LEFT JOIN public.tenant_migrations m ON m.tenant_id = t.id
         GROUP BY t.id HAVING coalesce(max(m.version), 0) < $1 ORDER BY t.id",
    )
    .bind(newest)
    .fetch_all(&mut *connection)
    .await
    .context("reading applied migrations of tenants")?;
    for row in behind {
        let (id, reached): (Uuid, i32) = (row.get("id"), row.get("reached"));
        match migrate_tenant(connection, id, reached, migrations).await {
            Ok(()) => {}
            // The schema was dropped or changed by hand: the other tenants are served.
            Err(source) if source.is_of_schema() => {
                tracing::error!(category = source.category(), %source, "a tenant's schema could not be migrated");
            }
            Err(source) => return Err(source),
        }
    }
    Ok(())
}

/// Applies the migrations after `reached` to one tenant's schema.
async fn migrate_tenant(
    connection: &mut PgConnection,
    id: Uuid,
    reached: i32,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Migration { name: format!("of {}", tenant_schema(id)), source };
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::query("SELECT FROM public.tenants WHERE id = $1 FOR UPDATE")
        .bind(id)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let batch = format!("{}{}RESET ROLE;", enter(id), tenant_batch(migrations, reached));
    sqlx::raw_sql(AssertSqlSafe(batch)).execute(&mut *transaction).await.map_err(failed)?;
    record(&mut transaction, id, migrations, reached).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Statements that set the tenant's role and schema for the rest of the transaction.
pub(super) fn enter(id: Uuid) -> String {
    let schema = tenant_schema(id);
    format!("SET LOCAL ROLE {schema}; SET LOCAL search_path TO {schema}, public;\n")
}

/// Refuses a database that a reader, which migrates nothing, would misread.
///
/// # Errors
/// [`StoreError::Older`], also for a database without any migration, [`StoreError::Newer`] or
/// [`StoreError::MigrationDiffers`]; else when Postgres fails.
pub(super) async fn verify(
    connection: &mut PgConnection,
    public: &[Migration],
    tenant: &[Migration],
) -> Result<(), StoreError> {
    const READING: &str = "reading applied migrations";
    let known = public.last().map_or(0, |migration| migration.version);
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('public.schema_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .context(READING)?;
    if !exists {
        return Err(StoreError::Older { found: 0, known });
    }
    let applied = sqlx::query_as("SELECT version, checksum FROM public.schema_migrations")
        .fetch_all(&mut *connection)
        .await
        .context(READING)?;
    let found = check("public", applied, public)?;
    if found < known {
        return Err(StoreError::Older { found, known });
    }
    // Tenants that are behind are not refused: the writer migrates them one after the other.
    let applied = sqlx::query_as("SELECT DISTINCT version, checksum FROM public.tenant_migrations")
        .fetch_all(connection)
        .await
        .context(READING)?;
    check("tenant", applied, tenant).map(drop)
}

/// Statements of all migrations after `reached`.
pub(super) fn tenant_batch(migrations: &[Migration], reached: i32) -> String {
    migrations.iter().filter(|migration| migration.version > reached).map(|migration| migration.sql).collect()
}

/// Records, as the owner of `public`, that a tenant's schema has all migrations after `reached`.
pub(super) async fn record(
    connection: &mut PgConnection,
    id: Uuid,
    migrations: &[Migration],
    reached: i32,
) -> Result<(), sqlx::Error> {
    let applied = || migrations.iter().filter(move |migration| migration.version > reached);
    sqlx::query(
        "INSERT INTO public.tenant_migrations (tenant_id, version, name, checksum)
         SELECT $1, m.version, m.name, m.checksum
         FROM unnest($2::integer[], $3::text[], $4::bytea[]) AS m (version, name, checksum)
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(applied().map(|migration| migration.version).collect::<Vec<_>>())
    .bind(applied().map(|migration| migration.name).collect::<Vec<_>>())
    .bind(applied().map(Migration::checksum).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the newest applied version, if the applied migrations are the first of the known ones.
fn check(which: &'static str, applied: Vec<(i32, Vec<u8>)>, known: &[Migration]) -> Result<i32, StoreError> {
    let by_version: BTreeMap<i32, &Migration> =
        known.iter().map(|migration| (migration.version, migration)).collect();
    let newest = known.last().map_or(0, |migration| migration.version);
    let reached = applied.iter().map(|(version, _)| *version).max().unwrap_or(0);
    if reached > newest {
        return Err(StoreError::Newer { which, found: reached, known: newest });
    }
    for (version, checksum) in applied {
        if by_version.get(&version).is_none_or(|migration| migration.checksum() != checksum) {
            return Err(StoreError::MigrationDiffers { which, version });
        }
    }
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &str) -> Vec<String> {
        let path = format!("{}/migrations/{directory}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_is_listed_in_order() {
        for (directory, list) in [("public", PUBLIC), ("tenant", TENANT)] {
            let names: Vec<_> = list.iter().map(|migration| migration.name).collect();
            assert_eq!(names, files(directory));
            for (index, migration) in list.iter().enumerate() {
                assert_eq!(migration.version, i32::try_from(index).unwrap() + 1);
                assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            }
        }
    }

    #[test]
    fn a_newer_or_different_database_is_refused() {
        let known = [Migration { version: 1, name: "0001_a.sql", sql: "SELECT 1" }];
        assert_eq!(check("public", vec![], &known).unwrap(), 0);
        assert_eq!(check("public", vec![(1, known[0].checksum())], &known).unwrap(), 1);
        let newer = check("public", vec![(1, known[0].checksum()), (2, vec![1])], &known).unwrap_err();
        assert!(matches!(newer, StoreError::Newer { found: 2, known: 1, .. }), "{newer}");
        let other = check("public", vec![(1, vec![1])], &known).unwrap_err();
        assert!(matches!(other, StoreError::MigrationDiffers { version: 1, .. }), "{other}");
    }
}
