//! The replica follows the store through lost connections, damaged rows and an unreachable Postgres.

mod partial;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use centrex::plan::TenantPlan;
use centrex::replica::cache::Cache;
use centrex::replica::follow::{Follower, Progress};
use centrex::replica::tenants::Replica;
use centrex::secrets::keyring::Keyring;
use centrex::store::{Reader, StoreOptions, tenant_schema};
use sqlx::AssertSqlSafe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::plans;
use crate::postgres::{Database, keyring};
use crate::wait::DEADLINE;
use centrex::secrets::a1_hash::forget_passwords;

/// A running follower and its replica.
pub struct Following {
    pub replica: Arc<Replica>,
    pub progress: watch::Receiver<Progress>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    pub async fn start(options: &StoreOptions, cache: Option<Cache>) -> Self {
        let replica = Arc::new(Replica::default());
        let mut follower = Follower::new(replica.clone(), cache);
        let progress = follower.progress();
        follower.restore().await;
        let stop = CancellationToken::new();
        let task = tokio::spawn(follower.run(Reader::lazy(options), stop.clone()));
        Self { replica, progress, stop, task }
    }

    pub async fn caught_up(&mut self) {
        let caught_up = self.progress.wait_for(|progress| progress.caught_up);
        drop(tokio::time::timeout(DEADLINE, caught_up).await.expect("not caught up").unwrap());
    }

    /// Waits until a condition holds for the replica.
    pub async fn sees(&self, what: &str, holds: impl Fn(&Replica) -> bool) {
        let started = Instant::now();
        while !holds(&self.replica) {
            assert!(started.elapsed() < DEADLINE, "never seen: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn plan(&self, plan: &TenantPlan) -> Option<TenantPlan> {
        Some(self.replica.held(plan.tenant.id)?.view.plan.clone())
    }

    /// Checks that the replica holds a plan, without the passwords of phones.
    pub fn holds(&self, plan: &TenantPlan) {
        let mut expected = plan.clone();
        forget_passwords(&mut expected);
        assert_eq!(self.plan(plan), Some(expected));
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub fn cache(directory: &Path, keyring: &Arc<Keyring>) -> Cache {
    Cache::open(directory, keyring.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_follows_every_kind_of_change() {
    let Some(database) = Database::start("follow: changes").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let mut before = plans::tenant_with("before", 2);
    store.write_tenant(&before).await.unwrap();
    let mut following = Following::start(&database.store_options(&ring), None).await;
    following.caught_up().await;
    following.holds(&before);
    assert_eq!(following.replica.revisions()[&before.tenant.id], 1);
    let key = following.progress.borrow().signing_key.clone().unwrap();
    assert_eq!(key.reveal(), store.signing_key().reveal());

    let platform = plans::platform();
    store.write_platform(&platform).await.unwrap();
    following.sees("the platform", |replica| *replica.platform() == platform).await;

    let new = plans::tenant_with("new", 1);
    store.write_tenant(&new).await.unwrap();
    following.sees("a new tenant", |replica| replica.by_domain("new.example.com").is_some()).await;

    plans::set_password(&mut before, "e100", "changed");
    let started = Instant::now();
    store.write_tenant(&before).await.unwrap();
    following.sees("a changed password", |replica| replica.revisions()[&before.tenant.id] == 2).await;
    assert!(started.elapsed() < Duration::from_secs(2), "a change took {:?}", started.elapsed());
    following.holds(&before);

    store.remove_tenant(new.tenant.id, &new.tenant.owner_uid, None).await.unwrap();
    following.sees("a tenant gone", |replica| replica.held(new.tenant.id).is_none()).await;
    assert!(following.progress.borrow().last_heard.is_some());
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_missed_while_disconnected_are_read_afterwards() {
    let Some(database) = Database::start("follow: missed notifications").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let (mut changed, gone) = (plans::tenant_with("changed", 1), plans::tenant_with("gone", 1));
    store.write_tenant(&changed).await.unwrap();
    store.write_tenant(&gone).await.unwrap();
    let mut options = database.store_options(&ring);
    options.connect = options.connect.application_name("follower under test");
    let mut following = Following::start(&options, None).await;
    following.caught_up().await;

    // The database refuses new connections while things change; the writer has opened its own before.
    let ready = tokio::join!(store.pool().acquire(), store.pool().acquire(), store.pool().acquire());
    drop(ready);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut admin = database.admin().await;
    let limit = |allowed: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", database.name());
    sqlx::raw_sql(AssertSqlSafe(limit(false))).execute(&mut database.server_admin().await).await.unwrap();
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = 'follower under test' AND datname = current_database()",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(killed > 0);
    drop(
        tokio::time::timeout(DEADLINE, following.progress.wait_for(|progress| !progress.connected))
            .await
            .unwrap(),
    );
    changed.extensions.insert("new".to_owned(), plans::extension("199"));
    store.write_tenant(&changed).await.unwrap();
    store.remove_tenant(gone.tenant.id, &gone.tenant.owner_uid, None).await.unwrap();
    assert_eq!(following.replica.revisions()[&changed.tenant.id], 1, "the follower was notified");
    assert!(following.replica.by_domain("gone.example.com").is_some(), "loaded tenants are served");

    sqlx::raw_sql(AssertSqlSafe(limit(true))).execute(&mut database.server_admin().await).await.unwrap();
    following.caught_up().await;
    following.holds(&changed);
    assert!(following.replica.held(gone.tenant.id).is_none());
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_revision_of_the_same_number_is_read_again() {
    let Some(database) = Database::start("follow: another revision of the same number").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let plan = plans::tenant_with("acme", 1);
    store.write_tenant(&plan).await.unwrap();
    let mut following = Following::start(&database.store_options(&ring), None).await;
    following.caught_up().await;
    // As after a failover: the same number with other content, written by another process.
    let other =
        "UPDATE public.tenants SET body = jsonb_set(body, '{displayName}', '\"Third\"'), fingerprint = 'x'";
    sqlx::raw_sql(other).execute(&mut database.admin().await).await.unwrap();
    // A notification that cannot be parsed makes the follower compare all revisions.
    sqlx::raw_sql("SELECT pg_notify('centrex', 'what?')").execute(store.pool()).await.unwrap();
    let third =
        |replica: &Replica| replica.held(plan.tenant.id).unwrap().view.plan.tenant.display_name == "Third";
    following.sees("the other content", third).await;
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_changed_rows_are_read_again() {
    let Some(database) = Database::start("follow: only what changed").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let mut plan = plans::tenant_with("acme", 4);
    store.write_tenant(&plan).await.unwrap();
    let mut following = Following::start(&database.store_options(&ring), None).await;
    following.caught_up().await;

    // A reader that reads this row again fails.
    let (id, schema) = (plan.tenant.id, tenant_schema(plan.tenant.id));
    let damage = format!("UPDATE {schema}.extensions SET body = '{{\"number\": 7}}' WHERE name = 'e103'");
    sqlx::raw_sql(AssertSqlSafe(damage)).execute(&mut database.admin().await).await.unwrap();
    for revision in 2..5 {
        plan.tenant.display_name = format!("Revision {revision}");
        plans::set_password(&mut plan, "e100", &format!("changed-{revision}"));
        plan.extensions.remove("e101");
        plan.numbers.insert("main".to_owned(), plans::number(&format!("+49301234{revision}"), "e100"));
        plan.extensions.insert(format!("e19{revision}"), plans::extension(&format!("19{revision}")));
        store.write_tenant(&plan).await.unwrap();
        following.sees("the revision", |replica| replica.revisions()[&id] == revision).await;
        following.holds(&plan);
    }
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_unreadable_tenant_does_not_stop_the_others() {
    let Some(database) = Database::start("follow: unreadable tenant").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    let (mut bad, mut good) = (plans::tenant_with("bad", 1), plans::tenant_with("good", 1));
    store.write_tenant(&bad).await.unwrap();
    store.write_tenant(&good).await.unwrap();
    let mut following = Following::start(&database.store_options(&ring), None).await;
    following.caught_up().await;

    bad.tenant.display_name = "Worse".to_owned();
    // A revision that does not follow the held one is read as a whole.
    let damage = format!(
        "UPDATE {}.extensions SET body = '{{\"number\": 7}}';
         UPDATE public.tenants SET fingerprint = 'x' WHERE id = '{}'",
        tenant_schema(bad.tenant.id),
        bad.tenant.id
    );
    sqlx::raw_sql(AssertSqlSafe(damage)).execute(&mut database.admin().await).await.unwrap();
    store.write_tenant(&bad).await.unwrap();
    good.tenant.display_name = "Better".to_owned();
    store.write_tenant(&good).await.unwrap();
    following.sees("the good one", |replica| replica.revisions()[&good.tenant.id] == 2).await;
    let unreadable = following.progress.wait_for(|progress| progress.unreadable.contains(&bad.tenant.id));
    drop(tokio::time::timeout(DEADLINE, unreadable).await.unwrap());
    assert_eq!(following.replica.revisions()[&bad.tenant.id], 1, "its last good state is served");

    // The next plan repairs the row.
    bad.extensions.get_mut("e100").unwrap().ring_seconds = 9;
    store.write_tenant(&bad).await.unwrap();
    following.sees("the bad one mended", |replica| replica.revisions()[&bad.tenant.id] == 3).await;
    let mended = following.progress.wait_for(|progress| progress.unreadable.is_empty());
    drop(tokio::time::timeout(DEADLINE, mended).await.unwrap());
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_starts_from_its_cache_without_postgres() {
    let Some(database) = Database::alone("follow: cache").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let directory = tempfile::tempdir().unwrap();
    let store = database.store(&ring).await;
    let (platform, kept, gone) = (plans::platform(), plans::tenant_with("kept", 3), plans::tenant("gone"));
    store.write_platform(&platform).await.unwrap();
    store.write_tenant(&kept).await.unwrap();
    store.write_tenant(&gone).await.unwrap();
    let key = *store.signing_key().reveal();
    let options = database.store_options(&ring);

    let mut following = Following::start(&options, Some(cache(directory.path(), &ring))).await;
    following.caught_up().await;
    store.remove_tenant(gone.tenant.id, &gone.tenant.owner_uid, None).await.unwrap();
    following.sees("a tenant gone", |replica| replica.held(gone.tenant.id).is_none()).await;
    following.end().await;
    store.pool().close().await;
    let files: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("sesame") && !text.contains("Phone"), "{file:?} is readable");
    }
    drop(database); // and with it the server

    let following = Following::start(&options, Some(cache(directory.path(), &ring))).await;
    following.holds(&kept);
    assert_eq!(*following.replica.platform(), platform);
    assert!(following.replica.held(gone.tenant.id).is_none());
    let progress = following.progress.borrow().clone();
    assert_eq!(progress.signing_key.map(|key| *key.reveal()), Some(key));
    assert!(!progress.caught_up && !progress.connected);
    following.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_rewrites_no_file_of_an_unchanged_tenant() {
    let Some(database) = Database::start("follow: cache unchanged").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let directory = tempfile::tempdir().unwrap();
    let store = database.store(&ring).await;
    let (still, mut changes) = (plans::tenant_with("still", 2), plans::tenant_with("changes", 2));
    store.write_tenant(&still).await.unwrap();
    store.write_tenant(&changes).await.unwrap();
    let files = || {
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.clone(), std::fs::read(path).unwrap())
        };
        std::fs::read_dir(directory.path()).unwrap().map(read).collect::<std::collections::BTreeMap<_, _>>()
    };
    let mut following =
        Following::start(&database.store_options(&ring), Some(cache(directory.path(), &ring))).await;
    following.caught_up().await;
    following.end().await;
    let before = files();
    changes.tenant.display_name = "Changed".to_owned();
    store.write_tenant(&changes).await.unwrap();
    let mut following =
        Following::start(&database.store_options(&ring), Some(cache(directory.path(), &ring))).await;
    following.caught_up().await;
    assert_eq!(following.progress.borrow().applied, 1, "only what changed is loaded");
    following.end().await;
    let after = files();
    let rewritten: Vec<_> = before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).collect();
    assert_eq!(rewritten.len(), 1);
    assert!(rewritten[0].0.display().to_string().contains(&changes.tenant.id.to_string()));
}

#[test]
fn damaged_and_foreign_cache_files_are_skipped() {
    let ring = keyring(&[(1, 'a')]);
    let directory = tempfile::tempdir().unwrap();
    let cache_here = cache(directory.path(), &ring);
    let tenants: Vec<_> = ["good", "flipped", "cut", "empty", "renamed"].map(plans::tenant).to_vec();
    for plan in &tenants {
        cache_here.write_tenant(7, plan).unwrap();
    }
    let path = |plan: &TenantPlan| directory.path().join(format!("tenant-{}.sealed", plan.tenant.id));
    let mut bytes = std::fs::read(path(&tenants[1])).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path(&tenants[1]), bytes).unwrap();
    let bytes = std::fs::read(path(&tenants[2])).unwrap();
    std::fs::write(path(&tenants[2]), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(path(&tenants[3]), "").unwrap();
    std::fs::rename(path(&tenants[4]), directory.path().join("platform.sealed")).unwrap();
    std::fs::write(directory.path().join(".platform.sealed.new"), "left by a crash").unwrap();

    let cached = cache_here.read();
    assert_eq!(cached.held.tenants, [(7, tenants[0].clone())]);
    assert!(cached.held.platform.is_none());
    assert_eq!(cached.skipped.len(), 4, "{:?}", cached.skipped);
    // Another key opens nothing.
    let cached = cache(directory.path(), &keyring(&[(1, 'b')])).read();
    assert!(cached.held.tenants.is_empty() && cached.skipped.len() == 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_does_not_stop_serving() {
    let Some(database) = Database::start("follow: full disk").await else { return };
    let ring = keyring(&[(1, 'a')]);
    let store = database.store(&ring).await;
    // Without its directory every write of the cache fails, as on a full disk.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let broken = cache(&path, &ring);
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, "in the way").unwrap();
    let plan = plans::tenant_with("acme", 1);
    store.write_tenant(&plan).await.unwrap();
    assert!(broken.write_tenant(1, &plan).is_err());
    let mut following = Following::start(&database.store_options(&ring), Some(broken)).await;
    following.caught_up().await;
    let mut changed = plan.clone();
    changed.tenant.display_name = "Changed".to_owned();
    store.write_tenant(&changed).await.unwrap();
    following.sees("the change", |replica| replica.revisions()[&plan.tenant.id] == 2).await;
    following.end().await;
}
