//! The store against a real Postgres.

use crate::plans;
use crate::postgres::{Database, keyring};

#[tokio::test]
async fn a_plan_is_read_back_as_it_was_written() {
    let Some(database) = Database::start("store: a plan is read back").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let platform = plans::platform();
    let mut tenant = plans::tenant_with("acme", 3);
    tenant.numbers.insert("main".to_owned(), plans::number("+493012345", "e100"));
    tenant.feature_codes.insert("box".to_owned(), plans::feature_code("*97"));

    let written = store.write_platform(&platform).await.unwrap();
    assert_eq!((written.revision, written.changed, written.rows_written), (1, true, 2));
    let written = store.write_tenant(&tenant).await.unwrap();
    assert_eq!((written.revision, written.changed, written.rows_written), (1, true, 5));

    let (revision, read) = store.reader().load_platform().await.unwrap();
    assert_eq!((revision.number, read), (1, platform));
    let (revision, read) = store.reader().load_tenant(tenant.tenant.id).await.unwrap().unwrap();
    assert_eq!((revision.number, &read), (1, &tenant));
    assert_eq!(read.extensions["e100"].secrets.get("password"), Some("open-sesame-100"));
}
