//! A replica that is not complete: at a first start, and after a start from a cache that is incomplete or whose files
//! are of different moments.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_answers_nothing_before_everything_is_loaded() {
    let Some(database) = Database::start("follow: first start").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    store.write_platform(&plans::platform()).await.unwrap();
    for number in 0..20 {
        store.write_tenant(&plans::tenant(&format!("t{number}"))).await.unwrap();
    }
    let mut following = Following::start(&database.store_options(&ring), None).await;
    // Without the platform's revision no lookup is answered.
    following.sees("the platform", |replica| replica.platform_revision() > 0).await;
    assert_eq!(following.replica.revisions().len(), 20);
    following.caught_up().await;
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_number_is_found_after_a_start_from_an_incomplete_cache() {
    let Some(database) = Database::start("follow: half a cache").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    store.write_platform(&plans::platform()).await.unwrap();
    // The tenant that had the number before is restored last.
    let (mut new, mut old) = (plans::tenant_with("new", 1), plans::tenant_with("old", 1));
    let (domain, number) = ("moved.example.com", "+4930123456");
    old.tenant.domains.push(domain.to_owned());
    old.numbers.insert("moved".to_owned(), plans::number(number, "e100"));
    let before = old.clone();
    store.write_tenant(&new).await.unwrap();
    store.write_tenant(&old).await.unwrap();
    new.tenant.domains.extend(old.tenant.domains.pop());
    new.numbers.append(&mut old.numbers);
    store.write_tenant(&old).await.unwrap();
    store.write_tenant(&new).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let cached = cache(directory.path(), &ring);
    cached.write_platform(1, &plans::platform()).unwrap();
    cached.write_tenant(1, &before).unwrap();
    cached.write_tenant(2, &new).unwrap();
    let mut following = Following::start(&database.store_options(&ring), Some(cached)).await;
    following.caught_up().await;
    following.holds(&old);
    let replica = &following.replica;
    let holders = [replica.by_domain(domain), replica.by_number(number)];
    assert_eq!(holders.map(|view| view.map(|view| view.plan.tenant.id)), [Some(new.tenant.id); 2]);
    following.end().await;
}
