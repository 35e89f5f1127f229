//! Databases that a switch cannot use, or may only read.

use centrex::store::migrate::PUBLIC;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Site, names, write_key};
use crate::plans;
use crate::postgres::{Database, keyring};
use crate::program::{Program, url};

/// Waits for a word in /readyz and in the log; the switch must not become ready.
fn waits_for(switch: &mut Program, words: &[&str]) {
    switch.wait_until(&format!("{words:?}"), |switch| {
        let (status, why) = switch.get("/readyz");
        status == 503 && words.iter().all(|word| why.contains(word) && switch.log().contains(word))
    });
}

#[tokio::test]
async fn a_database_of_another_version_is_retried() {
    let Some(database) = Database::start("switch: migrations").await else { return };
    let site = Site::on(&database);
    let mut switch = site.start("a");
    let newest = PUBLIC.len().to_string();
    waits_for(&mut switch, &["public migration 0", &format!("needs {newest}"), "centrex migrate"]);
    let mut admin = database.admin().await;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(tables, 0, "a switch never migrates");

    let store = database.store(&keyring(&[(1, 'a')])).await;
    switch.wait_until("a word about it", |switch| switch.get("/readyz").1.contains("nothing was stored yet"));
    store.write_platform(&plans::platform()).await.unwrap();
    switch.wait_until("readiness", |switch| switch.get("/readyz").0 == 200);
    switch.end("-TERM");

    let newer = "INSERT INTO public.schema_migrations (version, name, checksum) VALUES (99, 'later', '')";
    sqlx::raw_sql(newer).execute(&mut admin).await.unwrap();
    let mut fresh = site.start("fresh");
    waits_for(&mut fresh, &["public migration 99", "newer Centrex"]);
    // A switch with a last good state serves it meanwhile.
    let mut switch = site.start_ready("a");
    switch.wait_until("a word about it", |switch| switch.log().contains("public migration 99"));
    assert_eq!(switch.get("/readyz").0, 200);
    sqlx::raw_sql("DELETE FROM public.schema_migrations WHERE version = 99")
        .execute(&mut admin)
        .await
        .unwrap();
    fresh.wait_until("readiness", |fresh| fresh.get("/readyz").0 == 200);
}

#[tokio::test]
async fn a_wrong_key_file_is_named() {
    let Some(database) = Database::start("switch: wrong key").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    store.write_platform(&plans::platform()).await.unwrap();
    let site = Site::on(&database);
    let right = site.start_ready("a");
    right.end("-TERM");
    write_key(&site.key_file, 'b');
    // The key opens neither the database nor the last good state.
    let mut switch = site.start("a");
    waits_for(&mut switch, &["--encryption-key-file", "sealed with key version 1"]);
    assert!(switch.log().contains("a file of the cache was skipped"));
    assert_eq!(switch.ask("acme-register-1001").0, 503);
    assert!(names(&mut database.admin().await).await.is_empty(), "a switch without data reports nothing");
}

/// The documented statements, for a login of another name.
fn documented(login: &str) -> String {
    let text = std::fs::read_to_string(crate::program::repository("docs/switch.md")).unwrap();
    let (_, rest) = text.split_once("```sql\n-- a switch's login").expect("statements for a switch's login");
    let sql = rest.split("```").next().unwrap();
    format!("-- {}", sql.replace("centrex_switch", login).replace("DATABASE centrex", "DATABASE DB"))
}

#[tokio::test]
async fn a_login_that_may_only_read_is_enough() {
    let Some(database) = Database::start("switch: least privilege").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    store.write_platform(&plans::platform()).await.unwrap();
    let acme = plans::tenant_with("acme", 2);
    store.write_tenant(&acme).await.unwrap();
    let login = format!("reader_{}", Uuid::now_v7().simple());
    let mut admin = database.admin().await;
    let sql = documented(&login).replace("DATABASE DB", &format!("DATABASE {}", database.name()));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();

    let mut site = Site::on(&database);
    site.database_url = url(&database).replace("centrex@", &format!("{login}@"));
    let mut switch = site.start_ready("a");
    let held = "SELECT count(*) FROM public.switch_state WHERE revision = 1";
    let mut count: i64 = 0;
    for _ in 0..100 {
        count = sqlx::query_scalar(held).fetch_one(&mut admin).await.unwrap();
        if count == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(count, 1, "{}", switch.log());
    // A tenant that is created later is read as well.
    store.write_tenant(&plans::tenant_with("later", 1)).await.unwrap();
    switch.wait_until("the later tenant", |switch| {
        switch.get("/metrics").1.contains("centrex_replica_tenants 2")
    });
    let log = switch.log();
    assert!(!log.contains("permission denied"), "{log}");

    // The login can change only its own rows.
    let mut theirs = sqlx::ConnectOptions::connect(&database.options().username(&login)).await.unwrap();
    for sql in [
        "UPDATE public.tenants SET suspended = true".to_owned(),
        "DELETE FROM public.schema_migrations".to_owned(),
        format!("DELETE FROM {}.extensions", centrex::store::tenant_schema(acme.tenant.id)),
        format!("SET ROLE {}", centrex::store::tenant_schema(acme.tenant.id)),
        "CREATE TABLE public.x (y int)".to_owned(),
        "CREATE ROLE x".to_owned(),
    ] {
        let error = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut theirs).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
        assert_eq!(code, "42501", "{sql}");
    }
    switch.end("-TERM");
    assert!(names(&mut admin).await.is_empty(), "a switch may delete its own report");
    sqlx::Connection::close(theirs).await.unwrap();
    let drop = format!("DROP OWNED BY {login}; DROP ROLE {login}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await.unwrap();
}
