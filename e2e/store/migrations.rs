//! Migrations are applied once and in order, by any number of processes, and after one was killed.

use std::time::Duration;

use centrex::store::migrate::{self, Migration};
use centrex::store::{Store, StoreError, tenant_schema};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::plans;
use crate::postgres::{Database, keyring};

const GOOD: [Migration; 2] = [
    Migration { version: 1, name: "0001_one.sql", sql: "CREATE TABLE public.one (x int);" },
    Migration {
        version: 2,
        name: "0002_two.sql",
        sql: "CREATE TABLE public.two (x int); CREATE TABLE public.three (x int);",
    },
];
/// The second file, which blocks in its middle.
const STUCK: Migration = Migration {
    version: 2,
    name: "0002_two.sql",
    sql: "CREATE TABLE public.two (x int); SELECT pg_sleep(60); CREATE TABLE public.three (x int);",
};

#[tokio::test]
async fn a_migration_killed_half_way_is_continued() {
    let Some(database) = Database::start("store: migration killed").await else { return };
    let mut admin = database.admin().await;
    let options = database.options();
    let stuck = tokio::spawn(async move {
        let mut connection = options.connect().await.unwrap();
        migrate::lock(&mut connection).await.unwrap();
        migrate::public(&mut connection, &[GOOD[0], STUCK]).await
    });
    // A second process waits for the first.
    let options = database.options();
    let waiting = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut connection = options.connect().await.unwrap();
        migrate::lock(&mut connection).await.unwrap();
        migrate::public(&mut connection, &GOOD).await
    });
    let killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE datname = current_database() AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!waiting.is_finished(), "two migrators at one time");
    loop {
        let count: i64 = sqlx::query_scalar(killed).fetch_one(&mut admin).await.unwrap();
        if count > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = stuck.await.unwrap().unwrap_err();
    assert!(matches!(&error, StoreError::Migration { name, .. } if name == "0002_two.sql"), "{error}");
    waiting.await.unwrap().unwrap();
    let applied: Vec<i32> =
        sqlx::query_scalar("SELECT version FROM public.schema_migrations ORDER BY version")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert_eq!(applied, [1, 2]);
    // Another run changes nothing.
    let mut connection = database.options().connect().await.unwrap();
    migrate::public(&mut connection, &GOOD).await.unwrap();
    let locks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE locktype = 'advisory' AND d.datname = current_database()",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(locks, 0, "a lock was left behind");
}

#[tokio::test]
async fn a_failed_migration_is_rolled_back() {
    let Some(database) = Database::start("store: failed migration").await else { return };
    let mut connection = database.options().connect().await.unwrap();
    let broken = Migration {
        version: 2,
        name: "0002_two.sql",
        sql: "CREATE TABLE public.two (x int); SELECT nonsense;",
    };
    let error = migrate::public(&mut connection, &[GOOD[0], broken]).await.unwrap_err();
    assert_eq!(error.category(), "migration");
    let there: (bool, bool) =
        sqlx::query_as("SELECT to_regclass('public.one') IS NOT NULL, to_regclass('public.two') IS NOT NULL")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(there, (true, false));
    migrate::public(&mut connection, &GOOD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_starts_migrate_once() {
    let Some(database) = Database::start("store: many starters").await else { return };
    let mut starters = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let options = database.store_options(&keyring(&[(1, 'a')]));
        starters.spawn(async move { *Store::connect(&options).await.unwrap().signing_key().reveal() });
    }
    let keys = starters.join_all().await;
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "more than one signing key");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let Some(database) = Database::start("store: newer database").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    sqlx::query("INSERT INTO public.schema_migrations VALUES (99, '0099_future.sql', '')")
        .execute(store.pool())
        .await
        .unwrap();
    let error = Store::connect(&database.store_options(&ring)).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn tenants_are_migrated_each_in_its_own_role_and_resumed() {
    let Some(database) = Database::start("store: tenants migrated").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let plans = [plans::tenant("a"), plans::tenant("b"), plans::tenant("c")];
    for plan in &plans {
        store.write_tenant(plan).await.unwrap();
    }
    let next = |sql| {
        let mut migrations = migrate::TENANT.to_vec();
        migrations.push(Migration {
            version: i32::try_from(migrations.len()).unwrap() + 1,
            name: "9_next.sql",
            sql,
        });
        migrations
    };
    let mut connection = database.options().connect().await.unwrap();
    // One tenant cannot be migrated; all others are.
    let mut ids: Vec<_> = plans.iter().map(|plan| plan.tenant.id).collect();
    ids.sort();
    let block = format!("CREATE TABLE {}.devices (x int)", tenant_schema(ids[1]));
    sqlx::raw_sql(AssertSqlSafe(block)).execute(&mut database.admin().await).await.unwrap();
    migrate::tenants(&mut connection, &next("CREATE TABLE devices (name text);")).await.unwrap();
    let newest = next("").len() as i64;
    let reached = async |connection: &mut sqlx::PgConnection, id: uuid::Uuid| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM public.tenant_migrations WHERE tenant_id = $1")
            .bind(id)
            .fetch_one(connection)
            .await
            .unwrap()
    };
    for (id, expected) in [(ids[0], newest), (ids[1], newest - 1), (ids[2], newest)] {
        assert_eq!(reached(&mut connection, id).await, expected);
    }
    connection.close().await.unwrap();
    let drop = format!("DROP TABLE {}.devices", tenant_schema(ids[1]));
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut database.admin().await).await.unwrap();

    let mut connection = database.options().connect().await.unwrap();
    migrate::tenants(&mut connection, &next("CREATE TABLE devices (name text);")).await.unwrap();
    for id in ids {
        let owner: String = sqlx::query_scalar(
            "SELECT relowner::regrole::text FROM pg_class WHERE oid = to_regclass($1 || '.devices')",
        )
        .bind(tenant_schema(id))
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(owner, tenant_schema(id));
    }
}

#[tokio::test]
async fn a_login_without_rights_is_reported() {
    let Some(database) = Database::start("store: login without rights").await else { return };
    let mut admin = database.admin().await;
    let login = format!("poor_{}", uuid::Uuid::now_v7().simple());
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE ROLE {login} LOGIN"))).execute(&mut admin).await.unwrap();
    let mut options = database.store_options(&keyring(&[(1, 'a')]));
    options.connect = options.connect.username(&login);
    let error = Store::connect(&options).await.unwrap_err().to_string();
    assert!(error.contains("CREATEROLE") && error.contains("--database-url"), "{error}");
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER ROLE {login} CREATEROLE"))).execute(&mut admin).await.unwrap();
    let error = Store::connect(&options).await.unwrap_err().to_string();
    assert!(error.contains("own the database"), "{error}");
}

#[tokio::test]
async fn an_unreachable_postgres_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://centrex@127.0.0.1:{port}/centrex?sslmode=disable");
    let options = centrex::store::StoreOptions::from_url(&url, keyring(&[(1, 'a')])).unwrap();
    let error = Store::connect(&options).await.unwrap_err();
    assert!(error.is_unreachable());
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    let error = centrex::store::StoreOptions::from_url("mysql://x", keyring(&[(1, 'a')])).unwrap_err();
    assert!(error.to_string().contains("--database-url"), "{error}");
}

// A server is read-only during a failover, and a busy one may have no free connection.
#[tokio::test]
async fn a_read_only_server_is_retried() {
    let Some(database) = Database::start("store: read-only").await else { return };
    let options = database.store_options(&keyring(&[(1, 'a')]));
    let set = async |value: &str| {
        let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = {value}", database.name());
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database.server_admin().await).await.unwrap();
    };
    set("on").await;
    let error = Store::connect(&options).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    set("off").await;
    Store::connect(&options).await.unwrap();
}
