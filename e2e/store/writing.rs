//! Writing and reading plans: only rows that differ, in bulk, in one transaction.

use centrex::plan::SecretName;
use centrex::store::{Revision, Store, StoreError, WriterIdentity, tenant_schema};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

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
    assert_eq!(read.extensions["e100"].secrets.get(SecretName::Password), Some("open-sesame-100"));
}

/// Position of the write-ahead log, in bytes: every write moves it.
async fn wal(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(admin).await.unwrap()
}

/// Id of the next transaction: only transactions that write get one.
async fn next_transaction(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        .fetch_one(admin)
        .await
        .unwrap()
}

/// Names of the rows of a table, each with the transaction that wrote it.
async fn versions(admin: &mut PgConnection, table: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT name, xmin::text FROM {table} ORDER BY name");
    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(admin).await.unwrap()
}

#[tokio::test]
async fn an_equal_plan_writes_nothing() {
    // On its own server: log and transaction ids are shared by all databases.
    let Some(database) = Database::alone("store: an equal plan writes nothing").await else { return };
    let candidate = WriterIdentity { holder: "the test".to_owned(), elected: None };
    let store = Store::lead(&database.store_options(&keyring(&[(1, 'a')])), &candidate).await.unwrap();
    let (platform, tenant) = (plans::platform(), plans::tenant_with("acme", 50));
    store.write_platform(&platform).await.unwrap();
    store.write_tenant(&tenant).await.unwrap();
    let mut admin = database.admin().await;
    sqlx::raw_sql("CHECKPOINT").execute(&mut admin).await.unwrap();

    // The server itself writes to the log now and then; a transaction of the store would show every time.
    let mut untouched = 0;
    for _ in 0..3 {
        let before = (wal(&mut admin).await, next_transaction(&mut admin).await);
        for _ in 0..3 {
            let written = store.write_tenant(&tenant).await.unwrap();
            assert_eq!((written.revision, written.changed, written.rows_written), (1, false, 0));
            let written = store.write_platform(&platform).await.unwrap();
            assert_eq!((written.revision, written.changed, written.rows_written), (1, false, 0));
        }
        let after = (wal(&mut admin).await, next_transaction(&mut admin).await);
        assert_eq!(before.1, after.1, "a transaction wrote");
        untouched += usize::from(before.0 == after.0);
    }
    assert!(untouched > 0, "the log grew every time");

    // A real change moves both.
    let before = (wal(&mut admin).await, next_transaction(&mut admin).await);
    store.write_tenant(&plans::tenant_with("other", 1)).await.unwrap();
    let after = (wal(&mut admin).await, next_transaction(&mut admin).await);
    assert!(after.0 > before.0 && after.1 > before.1);
}

#[tokio::test]
async fn one_changed_row_writes_one_row() {
    let Some(database) = Database::start("store: one changed row").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut tenant = plans::tenant_with("acme", 20);
    store.write_tenant(&tenant).await.unwrap();
    let table = format!("{}.resources", centrex::store::tenant_schema(tenant.tenant.id));
    let mut admin = database.admin().await;
    let before = versions(&mut admin, &table).await;

    tenant.extensions.get_mut("e105").unwrap().ring_seconds = 33;
    let written = store.write_tenant(&tenant).await.unwrap();
    assert_eq!((written.revision, written.rows_written, written.rows_deleted), (2, 1, 0));
    let after = versions(&mut admin, &table).await;
    let changed: Vec<_> =
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    assert_eq!(changed, ["e105"]);

    // A password is sealed with a new nonce each time; that alone is no change, a new one is.
    plans::set_password(&mut tenant, "e106", "changed");
    let written = store.write_tenant(&tenant).await.unwrap();
    assert_eq!((written.revision, written.rows_written), (3, 1));
    let (_, read) = store.reader().load_tenant(tenant.tenant.id).await.unwrap().unwrap();
    assert_eq!(read, tenant);

    tenant.extensions.remove("e107");
    let written = store.write_tenant(&tenant).await.unwrap();
    assert_eq!((written.revision, written.rows_written, written.rows_deleted), (4, 0, 1));

    // The tenant's own fields are a change without rows.
    tenant.tenant.suspended = true;
    let written = store.write_tenant(&tenant).await.unwrap();
    assert_eq!((written.revision, written.changed, written.rows_written), (5, true, 0));
}

#[tokio::test]
async fn rows_written_by_another_process_are_compared_too() {
    let Some(database) = Database::start("store: two writers").await else { return };
    let (one, other) =
        (database.store(&keyring(&[(1, 'a')])).await, database.store(&keyring(&[(1, 'a')])).await);
    let before = plans::tenant_with("acme", 3);
    one.write_tenant(&before).await.unwrap();
    let mut changed = before.clone();
    changed.extensions.get_mut("e100").unwrap().ring_seconds = 33;
    changed.extensions.insert("e199".to_owned(), plans::extension("199"));
    other.write_tenant(&changed).await.unwrap();

    // The first writer remembers its own plan, which is no longer the stored one.
    let written = one.write_tenant(&before).await.unwrap();
    assert_eq!((written.revision, written.rows_written, written.rows_deleted), (3, 1, 1));
    let (_, read) = other.reader().load_tenant(before.tenant.id).await.unwrap().unwrap();
    assert_eq!(read, before);
}

#[tokio::test]
async fn a_reader_behind_reads_only_rows_changed_since() {
    let Some(database) = Database::start("store: changes since").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut plan = plans::tenant_with("acme", 4);
    let id = plan.tenant.id;
    store.write_tenant(&plan).await.unwrap();
    let reader = store.reader();
    let (revision, held) = reader.load_tenant(id).await.unwrap().unwrap();

    // A reader that reads this row fails.
    let schema = tenant_schema(id);
    let damage = format!("UPDATE {schema}.extensions SET body = '{{\"number\": 7}}' WHERE name = 'e103'");
    let mut admin = database.admin().await;
    sqlx::raw_sql(AssertSqlSafe(damage)).execute(&mut admin).await.unwrap();
    plan.extensions.insert("passing".to_owned(), plans::extension("199"));
    let again = plan.extensions.remove("e101").unwrap();
    store.write_tenant(&plan).await.unwrap();
    plan.extensions.remove("passing");
    plan.extensions.remove("e102");
    plan.extensions.insert("e101".to_owned(), again);
    store.write_tenant(&plan).await.unwrap();
    plan.numbers.insert("main".to_owned(), plans::number("+493012345", "e100"));
    store.write_tenant(&plan).await.unwrap();
    let (now, read) = reader.load_later(id, Some((&revision, &held))).await.unwrap().unwrap();
    assert_eq!((now.number, &read), (4, &plan));

    // Everything is read by a reader that holds nothing, that holds another plan under that number, as after a
    // failover, or whose next revision is missing in the log.
    reader.load_tenant(id).await.unwrap_err();
    let other = Revision { fingerprint: b"another one".to_vec(), ..revision.clone() };
    reader.load_later(id, Some((&other, &held))).await.unwrap_err();
    let forget = format!("DELETE FROM {schema}.changes WHERE revision = 3");
    sqlx::raw_sql(AssertSqlSafe(forget)).execute(&mut admin).await.unwrap();
    reader.load_later(id, Some((&revision, &held))).await.unwrap_err();

    // A revision with too many rows is not logged.
    plan.extensions.extend(plans::tenant_with("many", 3000).extensions.split_off("e200"));
    store.write_tenant(&plan).await.unwrap();
    reader.load_later(id, Some((&now, &read))).await.unwrap_err();
}

#[tokio::test]
async fn rows_may_exchange_their_numbers() {
    let Some(database) = Database::start("store: rows swap numbers").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut tenant = plans::tenant_with("acme", 3);
    store.write_tenant(&tenant).await.unwrap();

    tenant.extensions.get_mut("e100").unwrap().number = "101".to_owned();
    tenant.extensions.get_mut("e101").unwrap().number = "100".to_owned();
    let gone = tenant.extensions.remove("e102").unwrap();
    tenant.extensions.insert("anew".to_owned(), gone);
    let written = store.write_tenant(&tenant).await.unwrap();
    assert_eq!((written.rows_written, written.rows_deleted), (3, 1));
    let (_, read) = store.reader().load_tenant(tenant.tenant.id).await.unwrap().unwrap();
    assert_eq!(read, tenant);
}

#[tokio::test]
async fn a_plan_with_a_duplicate_number_is_refused_as_a_whole() {
    let Some(database) = Database::start("store: a number twice").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut tenant = plans::tenant_with("acme", 2);
    store.write_tenant(&tenant).await.unwrap();
    let good = tenant.clone();
    tenant.extensions.insert("another".to_owned(), plans::extension("100"));
    tenant.tenant.display_name = "Changed".to_owned();
    let error = store.write_tenant(&tenant).await.unwrap_err();
    assert_eq!(error.category(), "database");
    let (revision, read) = store.reader().load_tenant(good.tenant.id).await.unwrap().unwrap();
    assert_eq!((revision.number, read), (1, good));
}

/// The tenant that holds a public number.
async fn holder(admin: &mut PgConnection, number: &str) -> Option<uuid::Uuid> {
    sqlx::query_scalar("SELECT tenant_id FROM public.numbers WHERE number = $1")
        .bind(number)
        .fetch_optional(admin)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_number_moves_between_tenants_in_either_order() {
    let Some(database) = Database::start("store: a number moves").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut admin = database.admin().await;
    let (mut a, mut b) = (plans::tenant_with("a", 1), plans::tenant_with("b", 1));
    a.numbers.insert("main".to_owned(), plans::number("+493011111", "e100"));
    store.write_tenant(&a).await.unwrap();
    store.write_tenant(&b).await.unwrap();
    assert_eq!(holder(&mut admin, "+493011111").await, Some(a.tenant.id));

    // Released first, claimed then.
    let number = a.numbers.remove("main").unwrap();
    b.numbers.insert("main".to_owned(), number.clone());
    store.write_tenant(&a).await.unwrap();
    assert_eq!(holder(&mut admin, "+493011111").await, None);
    store.write_tenant(&b).await.unwrap();
    assert_eq!(holder(&mut admin, "+493011111").await, Some(b.tenant.id));

    // Claimed first: the later release does not affect the new holder.
    b.numbers.clear();
    a.numbers.insert("main".to_owned(), number);
    store.write_tenant(&a).await.unwrap();
    assert_eq!(holder(&mut admin, "+493011111").await, Some(a.tenant.id));
    store.write_tenant(&b).await.unwrap();
    assert_eq!(holder(&mut admin, "+493011111").await, Some(a.tenant.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_exchange_numbers_concurrently_both_succeed() {
    let Some(database) = Database::start("store: tenants swap numbers").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let numbers: Vec<_> = (0..40).map(|n| format!("+4930{:05}", n)).collect();
    let (mut a, mut b) = (plans::tenant_with("a", 1), plans::tenant_with("b", 1));
    for round in 0..10 {
        a.numbers.clear();
        b.numbers.clear();
        for (index, number) in numbers.iter().enumerate() {
            let to = if (index + round) % 2 == 0 { &mut a } else { &mut b };
            to.numbers.insert(format!("n{index}"), plans::number(number, "e100"));
        }
        let (first, second) = tokio::join!(store.write_tenant(&a), store.write_tenant(&b));
        first.unwrap();
        second.unwrap();
    }
    let held: i64 =
        sqlx::query_scalar("SELECT count(*) FROM public.numbers").fetch_one(store.pool()).await.unwrap();
    assert_eq!(held, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_of_a_tenant_create_it_once() {
    let Some(database) = Database::start("store: one tenant written by many").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    for round in 0..10 {
        let plan = plans::tenant_with(&format!("t{round}"), 2);
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, plan) = (store.clone(), plan.clone());
            writers.spawn(async move { store.write_tenant(&plan).await.unwrap() });
        }
        let written = writers.join_all().await;
        assert_eq!(written.iter().filter(|written| written.changed).count(), 1);
        assert!(written.iter().all(|written| written.revision == 1));
    }
}

#[tokio::test]
async fn ten_thousand_extensions_are_written_in_one_statement() {
    let Some(database) = Database::alone("store: ten thousand extensions").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut admin = database.admin().await;
    sqlx::raw_sql("ALTER ROLE centrex SET log_statement = 'all'").execute(&mut admin).await.unwrap();
    let store_logged = database.store(&keyring(&[(1, 'a')])).await;
    drop(store);
    let plan = plans::tenant_with("big", 10_000);
    let before = database.log().len();
    let written = store_logged.write_tenant(&plan).await.unwrap();
    assert_eq!(written.rows_written, 10_000);
    let log = database.log();
    let logged = &log[before..];
    let statements = logged.matches("execute ").count() + logged.matches("statement: ").count();
    assert!((5..20).contains(&statements), "{statements} statements:\n{logged}");
    let (_, read) = store_logged.reader().load_tenant(plan.tenant.id).await.unwrap().unwrap();
    assert_eq!(read, plan);
}

#[tokio::test]
async fn a_tenant_of_another_owner_or_of_a_taken_name_is_refused() {
    let Some(database) = Database::start("store: another owner").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let plan = plans::tenant("acme");
    store.write_tenant(&plan).await.unwrap();
    let mut stolen = plan.clone();
    stolen.tenant.owner_uid = "somebody-else".to_owned();
    assert!(matches!(store.write_tenant(&stolen).await, Err(StoreError::NotOwner { .. })));
    let twin = plans::tenant("acme");
    let error = store.write_tenant(&twin).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    // A retained tenant cannot be adopted under a name that is taken.
    let old = plans::tenant("old");
    store.write_tenant(&old).await.unwrap();
    store.remove_tenant(old.tenant.id, &old.tenant.owner_uid, None).await.unwrap();
    let mut renamed = old.clone();
    renamed.tenant.name = "acme".to_owned();
    let error = store.write_tenant(&renamed).await.unwrap_err();
    assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
    // The refused tenant leaves no role and no schema.
    let mut admin = database.admin().await;
    let left: bool =
        sqlx::query_scalar("SELECT to_regrole($1) IS NOT NULL OR to_regnamespace($1) IS NOT NULL")
            .bind(centrex::store::tenant_schema(twin.tenant.id))
            .fetch_one(&mut admin)
            .await
            .unwrap();
    assert!(!left);
    admin.close().await.unwrap();
}
