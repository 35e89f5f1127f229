//! One writer at a time: a second one waits, and one whose term is over cannot write.

use std::time::{Duration, Instant};

use centrex::resources::tenant::DeletionPolicy;
use centrex::secrets::keyring::Keyring;
use centrex::store::{Elected, Store, StoreError, WriterIdentity};
use sqlx::{Connection, PgConnection};

use crate::plans;
use crate::postgres::{Database, keyring};

const LEASE: &str = "2f1a7a3e-9a70-4c7c-8f3e-0b8a5d3c1e11";

fn alone(holder: &str) -> WriterIdentity {
    WriterIdentity { holder: holder.to_owned(), elected: None }
}

fn elected(holder: &str, lease: &str, transition: i64) -> WriterIdentity {
    let elected = Elected { lease: lease.to_owned(), transition };
    WriterIdentity { holder: holder.to_owned(), elected: Some(elected) }
}

struct TestDatabase {
    database: Database,
    ring: std::sync::Arc<Keyring>,
    admin: PgConnection,
}

impl TestDatabase {
    async fn start(test: &str) -> Option<Self> {
        let database = Database::start(test).await?;
        let admin = database.admin().await;
        Some(Self { database, ring: keyring(&[(1, 'a')]), admin })
    }

    async fn lead(&self, candidate: &WriterIdentity) -> Result<Store, StoreError> {
        Store::lead(&self.database.store_options(&self.ring), candidate).await
    }

    /// Retries as a waiting process does.
    async fn lead_in_the_end(&self, candidate: &WriterIdentity) -> Store {
        let started = Instant::now();
        loop {
            match self.lead(candidate).await {
                Ok(store) => return store,
                Err(error) if error.is_passing() && started.elapsed() < Duration::from_secs(10) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the connection that holds the lock, and only that.
    async fn kill_lock(&mut self) {
        let killed: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
             WHERE locktype = 'advisory' AND d.datname = current_database()",
        )
        .fetch_one(&mut self.admin)
        .await
        .unwrap();
        assert_eq!(killed, 1);
    }

    /// All stored rows and revisions as text, to be compared.
    async fn stored(&self) -> String {
        let store = self.database.store(&self.ring).await;
        let mut all = format!("{:?}", store.reader().load_platform().await.unwrap());
        for tenant in store.tenants().await.unwrap() {
            all += &format!("{tenant:?} {:?}", store.reader().load_tenant(tenant.id).await.unwrap());
        }
        all
    }
}

async fn lost_soon(store: &Store) -> Duration {
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(2), store.lost().cancelled()).await.expect("not lost");
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_writer_learns_who_writes_and_takes_over_afterwards() {
    let Some(test) = TestDatabase::start("lead: second writer").await else { return };
    let first = test.lead(&alone("standalone on alpha")).await.unwrap();
    assert_eq!(first.term(), Some(1));
    first.write_tenant(&plans::tenant_with("acme", 2)).await.unwrap();

    let error = test.lead(&alone("beta")).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::HeldByOther(_)) && error.category() == "led" && error.is_passing());
    let backend: i32 =
        sqlx::query_scalar("SELECT backend FROM public.writer").fetch_one(first.pool()).await.unwrap();
    for part in ["standalone on alpha", "centrex writer", &format!("process {backend} of Postgres")] {
        assert!(text.contains(part), "{text}");
    }
    // The attempt of the second does not disturb the first.
    assert!(!first.lost().is_cancelled());
    first.write_platform(&plans::platform()).await.unwrap();

    // Readers, and `centrex migrate`, need no lock.
    let reader = test.database.store(&test.ring).await;
    assert_eq!(reader.tenants().await.unwrap().len(), 1);
    assert_eq!(reader.term(), None);

    let started = Instant::now();
    let candidate = alone("beta");
    let (second, ()) = tokio::join!(test.lead_in_the_end(&candidate), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        first.resign().await;
    });
    println!("released and taken over after {:?}", started.elapsed() - Duration::from_millis(200));
    assert_eq!(second.term(), Some(2));
    assert!(first.lost().is_cancelled());
    let error = first.write_tenant(&plans::tenant_with("late", 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced(_)), "{error}");
    second.write_tenant(&plans::tenant_with("more", 1)).await.unwrap();

    // Dropping the store releases the lock too.
    drop(second);
    assert_eq!(test.lead_in_the_end(&alone("gamma")).await.term(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_lock_is_killed_stops_at_once() {
    let Some(mut test) = TestDatabase::start("lead: lock killed").await else { return };
    let store = test.lead(&alone("first")).await.unwrap();
    store.write_tenant(&plans::tenant_with("acme", 2)).await.unwrap();
    let before = test.stored().await;
    test.kill_lock().await;
    let after = lost_soon(&store).await;
    assert!(after < Duration::from_millis(500), "{after:?}");
    println!("lost {after:?} after its connection was ended");
    // Its other connections work, and no other process has begun a term: it stops nevertheless.
    for error in [
        store.write_tenant(&plans::tenant_with("late", 1)).await.unwrap_err(),
        store.write_platform(&plans::platform()).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Fenced(_)) && error.category() == "fenced", "{error}");
    }
    assert_eq!(test.stored().await, before);
    assert_eq!(test.lead(&alone("first again")).await.unwrap().term(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_missed_a_new_term_writes_nothing() {
    let Some(mut test) = TestDatabase::start("lead: fenced").await else { return };
    let old = test.lead(&alone("old")).await.unwrap();
    let (mut acme, gone) = (plans::tenant_with("acme", 2), plans::tenant_with("gone", 1));
    old.write_tenant(&acme).await.unwrap();
    old.write_tenant(&gone).await.unwrap();
    // A new term that the old writer does not know of: it still holds its lock.
    sqlx::raw_sql("UPDATE public.writer SET term = term + 1, holder = 'new'")
        .execute(&mut test.admin)
        .await
        .unwrap();
    assert!(!old.lost().is_cancelled());
    let before = test.stored().await;

    assert!(!old.write_tenant(&acme).await.unwrap().changed, "an equal plan is not written");
    acme.tenant.display_name = "Changed".to_owned();
    let owner = gone.tenant.owner_uid.as_str();
    for error in [
        old.write_tenant(&acme).await.unwrap_err(),
        old.write_tenant(&plans::tenant_with("another", 1)).await.unwrap_err(),
        old.write_platform(&plans::platform()).await.unwrap_err(),
        old.remove_tenant(gone.tenant.id, owner, None).await.unwrap_err(),
        old.remove_tenant(gone.tenant.id, owner, Some(DeletionPolicy::Delete)).await.unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Fenced(why) if why.contains("new has term 2")), "{error}");
    }
    assert_eq!(test.stored().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_leader_of_the_lease_fences_out_a_frozen_one() {
    let Some(mut test) = TestDatabase::start("lead: frozen leader").await else { return };
    let old = test.lead(&elected("pod-a", LEASE, 3)).await.unwrap();
    let mut acme = plans::tenant_with("acme", 2);
    old.write_tenant(&acme).await.unwrap();

    // Frozen during a write: it holds the lock, its term, and a tenant's row.
    let mut frozen = old.pool().acquire().await.unwrap();
    let mut write = frozen.begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM public.writer FOR SHARE; UPDATE public.tenants SET suspended = true")
        .execute(&mut *write)
        .await
        .unwrap();

    let started = Instant::now();
    let new = test.lead(&elected("pod-b", LEASE, 4)).await.unwrap();
    println!("a frozen leader was ended within {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    acme.tenant.display_name = "By the new one".to_owned();
    new.write_tenant(&acme).await.unwrap();

    // It continues.
    assert!(write.commit().await.is_err());
    drop(frozen);
    lost_soon(&old).await;
    assert!(old.write_tenant(&plans::tenant_with("late", 1)).await.is_err());
    let suspended: i64 = sqlx::query_scalar("SELECT count(*) FROM public.tenants WHERE suspended")
        .fetch_one(&mut test.admin)
        .await
        .unwrap();
    assert_eq!(suspended, 0);

    // It cannot begin a new term either, while the later leader runs or after it has ended.
    for _ in 0..2 {
        let error = test.lead(&elected("pod-a", LEASE, 3)).await.unwrap_err();
        assert!(matches!(error, StoreError::Fenced(_)), "{error}");
        new.resign().await;
    }
    assert_eq!(test.lead(&elected("pod-b", LEASE, 4)).await.unwrap().term(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_another_lease_is_not_fenced_out() {
    let Some(test) = TestDatabase::start("lead: another lease").await else { return };
    let first = test.lead(&elected("pod of cluster 1", LEASE, 3)).await.unwrap();
    let other = "00000000-9a70-4c7c-8f3e-0b8a5d3c1e11";
    for candidate in [elected("pod of cluster 2", other, 900), alone("standalone")] {
        let error = test.lead(&candidate).await.unwrap_err();
        assert!(matches!(&error, StoreError::HeldByOther(by) if by.contains("pod of cluster 1")), "{error}");
    }
    first.write_platform(&plans::platform()).await.unwrap();
    drop(first);
    let alone = test.lead_in_the_end(&alone("standalone")).await;
    let error = test.lead(&elected("pod of cluster 1", LEASE, 3)).await.unwrap_err();
    assert!(matches!(&error, StoreError::HeldByOther(by) if by.contains("standalone")), "{error}");
    assert!(!alone.lost().is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_term_waits_for_transactions_of_the_previous_term() {
    let Some(mut test) = TestDatabase::start("lead: a transaction under way").await else { return };
    let old = test.lead(&alone("old")).await.unwrap();
    let mut connection = old.pool().acquire().await.unwrap();
    let mut write = connection.begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM public.writer FOR SHARE").execute(&mut *write).await.unwrap();
    test.kill_lock().await;
    lost_soon(&old).await;
    let started = Instant::now();
    let candidate = alone("new");
    let (new, ()) = tokio::join!(test.lead_in_the_end(&candidate), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        write.commit().await.unwrap();
    });
    assert!(started.elapsed() >= Duration::from_millis(450), "the new term did not wait");
    assert_eq!(new.term(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_term_do_not_wait_for_each_other() {
    let Some(test) = TestDatabase::start("lead: many writes").await else { return };
    let store = test.lead(&alone("one")).await.unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..24 {
        let store = store.clone();
        writes.spawn(async move { store.write_tenant(&plans::tenant_with(&format!("t{number}"), 3)).await });
    }
    while let Some(written) = writes.join_next().await {
        assert!(written.unwrap().unwrap().changed);
    }
}
