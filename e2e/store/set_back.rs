//! A database that is set back to an older state while the connections of a writer stay open.

use std::time::Duration;

use centrex::store::{Memory, Store, StoreError, WriterIdentity, tenant_schema};
use sqlx::AssertSqlSafe;

use super::follow::Following;
use crate::plans;
use crate::postgres::{Database, keyring};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_notices_lost_rows_and_writes_them_with_a_later_revision() {
    let Some(database) = Database::start("set back: under a writer").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let (options, memory) = (database.store_options(&ring), Memory::default());
    let candidate = WriterIdentity { holder: "one".to_owned(), elected: None };
    let store = Store::lead_again(&options, &candidate, &memory).await.unwrap();
    assert!(!store.was_set_back());
    let mut plan = plans::tenant_with("acme", 2);
    let (id, schema) = (plan.tenant.id, tenant_schema(plan.tenant.id));
    let mut platform = plans::platform();
    store.write_platform(&platform).await.unwrap();
    store.write_tenant(&plan).await.unwrap();
    let save = format!(
        "CREATE TABLE public.old_tenants AS SELECT * FROM public.tenants;
         CREATE TABLE public.old_platform AS SELECT * FROM public.platform;
         CREATE TABLE public.old_extensions AS SELECT name, body, sealed, fingerprint FROM {schema}.extensions"
    );
    let mut admin = database.admin().await;
    sqlx::raw_sql(AssertSqlSafe(save)).execute(&mut admin).await.unwrap();

    let mut following = Following::start(&options, None).await;
    plans::set_password(&mut plan, "e100", "changed");
    store.write_tenant(&plan).await.unwrap();
    plan.tenant.display_name = "Later".to_owned();
    store.write_tenant(&plan).await.unwrap();
    let later = plans::tenant_with("later", 1);
    store.write_tenant(&later).await.unwrap();
    platform.sip_profiles.pop_first();
    store.write_platform(&platform).await.unwrap();
    following
        .sees("all of it", |replica| {
            let tenants = replica.revisions();
            (tenants.get(&id), tenants.get(&later.tenant.id), replica.platform_revision())
                == (Some(&3), Some(&1), 2)
        })
        .await;
    assert!(!store.lost().is_cancelled());

    // In one transaction, as a restored dump is seen.
    let back = format!(
        "BEGIN;
         DELETE FROM public.tenants WHERE name = 'later';
         UPDATE public.tenants t SET revision = o.revision, fingerprint = o.fingerprint, body = o.body
             FROM public.old_tenants o WHERE o.id = t.id;
         UPDATE public.platform t SET revision = o.revision, fingerprint = o.fingerprint FROM public.old_platform o;
         UPDATE {schema}.extensions e SET body = o.body, sealed = o.sealed, fingerprint = o.fingerprint
             FROM public.old_extensions o WHERE o.name = e.name;
         DELETE FROM {schema}.changes WHERE revision > 1;
         COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(back)).execute(&mut admin).await.unwrap();
    // A follower that compares all revisions now keeps what it holds.
    sqlx::raw_sql("SELECT pg_notify('centrex', 'what?')").execute(&mut admin).await.unwrap();
    following.progress.wait_for(|progress| progress.held_back.len() == 3).await.unwrap();
    following.holds(&plan);
    following.holds(&later);
    assert_eq!(*following.replica.platform(), platform);

    tokio::time::timeout(Duration::from_secs(10), store.lost().cancelled()).await.expect("not noticed");
    let error = store.write_tenant(&plan).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced(_)), "{error}");
    store.resign().await;
    let store = Store::lead_again(&options, &candidate, &memory).await.unwrap();
    assert!(store.was_set_back());
    // Every new revision is higher than those that switches hold.
    assert_eq!(store.write_platform(&platform).await.unwrap().revision, 3);
    assert_eq!(store.write_tenant(&plan).await.unwrap().revision, 4);
    // A switch that holds a tenant which no longer exists learns that it was removed.
    store.remove_unknown(&[(later.tenant.id, 1), (id, 3)]).await.unwrap();
    following.progress.wait_for(|progress| progress.held_back.is_empty()).await.unwrap();
    following.sees("the end of it", |replica| replica.held(later.tenant.id).is_none()).await;
    following.holds(&plan);
    assert!(!store.lost().is_cancelled());
    // A tenant that is created again begins past that revision, too.
    assert_eq!(store.write_tenant(&later).await.unwrap().revision, 3);
    following.sees("its return", |replica| replica.held(later.tenant.id).is_some()).await;
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_content_under_an_earlier_revision_is_unchanged() {
    let Some(database) = Database::start("set back: the same content").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let plan = plans::tenant_with("acme", 2);
    let mut other = plan.clone();
    other.tenant.display_name = "Other".to_owned();
    for plan in [&plan, &other, &plan] {
        store.write_tenant(plan).await.unwrap();
    }
    let mut following = Following::start(&database.store_options(&ring), None).await;
    following.caught_up().await;
    let mut admin = database.admin().await;
    sqlx::raw_sql("UPDATE public.tenants SET revision = 1; SELECT pg_notify('centrex', 'what?')")
        .execute(&mut admin)
        .await
        .unwrap();
    following.sees("the number", |replica| replica.revisions()[&plan.tenant.id] == 1).await;
    assert!(following.progress.borrow().held_back.is_empty());
    following.holds(&plan);
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_dropped_while_disconnected_is_removed() {
    use centrex::resources::tenant::DeletionPolicy;
    let Some(database) = Database::start("set back: dropped meanwhile").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let (dropped, retained) = (plans::tenant_with("dropped", 1), plans::tenant_with("retained", 1));
    store.write_platform(&plans::platform()).await.unwrap();
    for plan in [&dropped, &retained] {
        store.write_tenant(plan).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = || Some(super::follow::cache(folder.path(), &ring));
    let mut following = Following::start(&database.store_options(&ring), cache()).await;
    following.caught_up().await;
    following.end().await;
    for (plan, policy) in [(&dropped, DeletionPolicy::Delete), (&retained, DeletionPolicy::Retain)] {
        store.remove_tenant(plan.tenant.id, &plan.tenant.owner_uid, Some(policy)).await.unwrap();
    }
    let mut following = Following::start(&database.store_options(&ring), cache()).await;
    following.caught_up().await;
    assert!(following.replica.revisions().is_empty(), "{:?}", following.replica.revisions());
    following.end().await;
}
