//! What an empty tenant costs Postgres. With a schema a tenant the catalog is what grows, not the rows.

use sqlx::PgConnection;

use crate::plans;
use crate::postgres::{Database, keyring};

const TENANTS: i64 = 20;
/// Rows of `pg_class`: tables, indexes, TOAST tables with their indexes, and views.
const MAX_RELATIONS: i64 = 30;
const MAX_BYTES: i64 = 200 << 10;

/// Relations in this database, and its size in bytes.
async fn measure(admin: &mut PgConnection) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM pg_class), pg_database_size(current_database())";
    sqlx::query_as(sql).fetch_one(admin).await.unwrap()
}

#[tokio::test]
async fn an_empty_tenant_needs_few_relations_and_little_space() {
    let Some(database) = Database::start("store: size of an empty tenant").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    // The first tenant allocates pages of the catalog that the next ones share.
    store.write_tenant(&plans::tenant("first")).await.unwrap();
    let mut admin = database.admin().await;
    let before = measure(&mut admin).await;
    for number in 0..TENANTS {
        store.write_tenant(&plans::tenant(&format!("t{number}"))).await.unwrap();
    }
    let after = measure(&mut admin).await;
    let (relations, bytes) = ((after.0 - before.0) / TENANTS, (after.1 - before.1) / TENANTS);
    assert!(relations > 3, "{relations} relations: the tenants were not made");
    assert!(relations <= MAX_RELATIONS, "{relations} relations a tenant");
    assert!(bytes <= MAX_BYTES, "{bytes} bytes a tenant");
}
