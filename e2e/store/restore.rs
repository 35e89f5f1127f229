//! The commands of docs/restore.md, on the server that was backed up and on an empty one.

use centrex::resources::tenant::DeletionPolicy;
use centrex::store::tenant_schema;
use sqlx::AssertSqlSafe;

use crate::operator::restore::documented;
use crate::plans;
use crate::postgres::{Database, keyring, reachable_dir};

/// A call record in a tenant's schema.
fn record(schema: &str) -> String {
    format!(
        "INSERT INTO {schema}.cdrs (uuid, leg, started_at, received_at, clock_skewed)
         VALUES (gen_random_uuid(), 'a', now(), now(), false)"
    )
}

async fn count(database: &Database, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database.admin().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_recreates_the_roles_of_removed_tenants() {
    let Some(database) = Database::alone("restore: an older state").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let (acme, gone) = (plans::tenant_with("acme", 2), plans::tenant_with("gone", 1));
    store.write_platform(&plans::platform()).await.unwrap();
    for plan in [&acme, &gone] {
        store.write_tenant(plan).await.unwrap();
    }
    let (schema, lost) = (tenant_schema(acme.tenant.id), tenant_schema(gone.tenant.id));
    sqlx::raw_sql(AssertSqlSafe(record(&schema))).execute(&mut database.admin().await).await.unwrap();
    let backup = reachable_dir();
    let folder = backup.path().display().to_string();
    database.shell(&documented("back up"), &[("BACKUP", &folder)]);

    // Since the backup a tenant and its role were removed, and a call record was added.
    store.remove_tenant(gone.tenant.id, &gone.tenant.owner_uid, Some(DeletionPolicy::Delete)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(record(&schema))).execute(&mut database.admin().await).await.unwrap();
    let mut server = database.server_admin().await;
    let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{lost}'");
    let there: i64 = sqlx::query_scalar(AssertSqlSafe(roles)).fetch_one(&mut server).await.unwrap();
    assert_eq!(there, 0);

    database.shell(&documented("roles of tenants"), &[("BACKUP", &folder)]);
    let store = database.store(&ring).await;
    assert_eq!(store.tenants().await.unwrap().len(), 2);
    assert_eq!(store.reader().load_tenant(gone.tenant.id).await.unwrap().unwrap().1, gone);
    assert_eq!(count(&database, &format!("{schema}.cdrs")).await, 1);
    let before = format!("pg_database WHERE datname = '{}_before'", database.name());
    assert_eq!(count(&database, &before).await, 1, "earlier records stay");
    // Each schema belongs to its role again: it can be written and dropped.
    let mut changed = acme.clone();
    changed.extensions.insert("new".to_owned(), plans::extension("199"));
    assert!(store.write_tenant(&changed).await.unwrap().changed);
    store.remove_tenant(gone.tenant.id, &gone.tenant.owner_uid, Some(DeletionPolicy::Delete)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_restore_fails_after_a_tenant_was_created_as_documented() {
    const FAILS: &str = "cannot drop type public.cdr because other objects depend on it";
    let page = std::fs::read_to_string(crate::program::repository("docs/restore.md")).unwrap();
    assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains(FAILS));
    let Some(database) = Database::start("restore: --clean").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    store.write_tenant(&plans::tenant_with("acme", 1)).await.unwrap();
    let backup = reachable_dir();
    let variables = [("BACKUP", backup.path().to_str().unwrap())];
    let clean =
        "pg_restore --clean --single-transaction --dbname=\"$DATABASE\" \"$BACKUP/centrex.dump\" 2>&1";
    database.shell(&documented("back up"), &variables);
    database.shell(clean, &variables);
    store.write_tenant(&plans::tenant_with("late", 1)).await.unwrap();
    let said = database.shell(&format!("! {clean}"), &variables);
    assert!(said.contains(FAILS), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_on_an_empty_server_is_complete() {
    let Some(from) = Database::alone("restore: an empty server").await else { return };
    let Some(to) = Database::alone("restore: an empty server").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = from.store(&ring).await;
    let acme = plans::tenant_with("acme", 2);
    store.write_platform(&plans::platform()).await.unwrap();
    store.write_tenant(&acme).await.unwrap();
    let schema = tenant_schema(acme.tenant.id);
    sqlx::raw_sql(AssertSqlSafe(record(&schema))).execute(&mut from.admin().await).await.unwrap();
    let backup = reachable_dir();
    let folder = backup.path().display().to_string();
    from.shell(&documented("back up"), &[("BACKUP", &folder)]);

    let mut server = to.server_admin().await;
    let empty =
        [format!("DROP DATABASE {}", to.name()), "DROP DATABASE centrex".into(), "DROP ROLE centrex".into()];
    for sql in empty {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await.unwrap();
    }
    to.shell(&documented("all roles"), &[("BACKUP", &folder)]);
    let restored = to.store(&ring).await;
    assert_eq!(restored.signing_key().reveal(), store.signing_key().reveal());
    let (_, plan) = restored.reader().load_tenant(acme.tenant.id).await.unwrap().unwrap();
    assert_eq!(plan, acme);
    assert_eq!(count(&to, &format!("{schema}.cdrs")).await, 1);
    assert!(!restored.write_tenant(&acme).await.unwrap().changed);
}
