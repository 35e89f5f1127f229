//! The loop between source and store.

mod last_good;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use centrex::plan::PlatformPlan;
use centrex::reconcile::{NewStatus, Note, Reconciler, ResourceSink, SinkError};
use centrex::resources::Tenant;
use centrex::source::{Change, Object, ObjectKey, Unreadable};
use centrex::store::{Removed, Store};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::postgres::{Database, keyring};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_before_the_source_is_complete() {
    let Some(database) = Database::start("reconcile::nothing_is_taken_for_gone").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, _stored) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, None, None);
    reconciler.lead(store.clone());
    let early = timeout(Duration::from_millis(500), reconciler.work()).await;
    assert!(early.is_err(), "a folder that is still being read is no empty system");
    let (revision, _) = store.reader().load_platform().await.unwrap();
    assert_eq!(revision.number, 0);

    reconciler.apply_changes(Vec::new(), true);
    idle(&mut reconciler).await;
    let (revision, platform) = store.reader().load_platform().await.unwrap();
    assert_eq!((revision.number, platform), (1, PlatformPlan::default()));
}

/// Runs the loop until it is idle.
async fn idle(reconciler: &mut Reconciler) {
    let work = async {
        while !reconciler.is_idle() {
            reconciler.work().await;
        }
    };
    timeout(Duration::from_secs(20), work).await.expect("the loop becomes idle");
}

/// A cluster that accepts statuses, and never writes one.
#[derive(Default)]
struct Slow(Mutex<Vec<(ObjectKey, NewStatus)>>);

impl Slow {
    fn published(&self) -> Vec<ObjectKey> {
        self.0.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }
}

impl ResourceSink for Slow {
    fn add_finalizer(&self, _: Arc<Tenant>) -> BoxFuture<'static, Result<(), SinkError>> {
        ready(Ok(())).boxed()
    }

    fn remove_finalizer(&self, _: Arc<Tenant>, _: Removed) -> BoxFuture<'static, Result<(), SinkError>> {
        ready(Ok(())).boxed()
    }

    fn make_credentials(&self, _: Object) {}

    fn publish(&self, object: &Object, status: NewStatus, _: Vec<Note>) {
        self.0.lock().unwrap().push((object.key(), status));
    }

    fn overlay_pending(&self, _: &mut Change) {}

    fn reset(&self) -> Vec<ObjectKey> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().map(|(key, _)| key).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_not_written_before_leadership_was_lost_is_published_again() {
    let Some(database) = Database::start("reconcile::a_status_that_was_not_written").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let outside = Arc::new(Slow::default());
    let mut reconciler = Reconciler::new(watch::channel(Default::default()).0, Some(outside.clone()), None);
    let tenant = serde_json::json!({
        "apiVersion": "centrex.dev/v1alpha1", "kind": "Tenant",
        "metadata": { "name": "north", "namespace": "north", "uid": "1", "generation": 1 },
        "spec": { "domains": ["north.example.com"] },
    });
    let tenant = Object::from_json("Tenant", tenant).unwrap().unwrap();
    let key = tenant.key();
    reconciler.lead(store.clone());
    reconciler.apply_changes(vec![Change::Upsert(tenant)], true);
    idle(&mut reconciler).await;
    assert!(outside.published().contains(&key));

    // Postgres failed and recovered; the Lease was held all the time.
    reconciler.lead(store);
    assert!(outside.published().is_empty());
    idle(&mut reconciler).await;
    assert!(outside.published().contains(&key), "the status was not published again");
}

/// One UID per name, as an API server gives them.
fn uid(name: &str) -> String {
    name.bytes().fold("6f7b2a0e-3b9e-4f5c-9d55-".to_owned(), |uid, byte| uid + &format!("{byte:02x}"))
        + &"0".repeat(12 - 2 * name.len())
}

fn object(kind: &str, namespace: &str, name: &str, mut rest: Value) -> Object {
    rest["metadata"] = json!({"name": name, "namespace": namespace, "uid": uid(name), "generation": 1});
    Object::from_json(kind, rest).unwrap().unwrap()
}

/// An object of one of our kinds.
fn resource(kind: &str, namespace: &str, name: &str, spec: Value) -> Object {
    object(kind, namespace, name, json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "spec": spec}))
}

/// A tenant with its own namespace and domain.
fn tenant(name: &str, spec: Value) -> Object {
    let mut whole = json!({"domains": [format!("{name}.example.com")]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    resource("Tenant", name, name, whole)
}

/// An extension of that tenant, and its password.
fn extension(tenant: &str, name: &str, number: &str) -> [Object; 2] {
    let extension = json!({"tenantRef": {"name": tenant}, "number": number});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "YS1kdW1teS1wYXNzd29yZA=="}});
    [resource("Extension", tenant, name, extension), object("Secret", tenant, &format!("{name}-sip"), secret)]
}

fn unreadable(object: &Object) -> Change {
    let (key, tenant) = (object.key(), object.tenant().map(str::to_owned));
    Change::Unreadable(Unreadable { key, tenant, message: "spec.colour: unknown".to_owned() })
}

/// Names of the stored tenants.
async fn stored(store: &Store) -> Vec<String> {
    let mut names: Vec<_> = store.tenants().await.unwrap().into_iter().map(|tenant| tenant.name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_object_is_not_treated_as_deleted() {
    let Some(database) = Database::start("reconcile::what_cannot_be_read").await else { return };
    let (store, media) = (database.store(&keyring(&[(1, 'a')])).await, tempfile::tempdir().unwrap());
    let start = || {
        let mut reconciler =
            Reconciler::new(watch::channel(Default::default()).0, None, Some(media.path().to_owned()));
        reconciler.lead(store.clone());
        reconciler
    };
    let upserts = |objects: &[Object]| objects.iter().cloned().map(Change::Upsert).collect::<Vec<_>>();
    let delete = json!({"deletionPolicy": "Delete"});
    let [north, south] = ["north", "south"].map(|name| tenant(name, delete.clone()));
    let gone = tenant("gone", delete);
    let [a, b] = [("a", "100"), ("b", "101")].map(|(name, number)| extension("south", name, number));
    let mut all = vec![north.clone(), south.clone(), gone];
    all.extend(a.iter().chain(&b).chain(&extension("north", "c", "100")).cloned());
    let mut first = start();
    first.apply_changes(upserts(&all), true);
    idle(&mut first).await;
    assert_eq!(stored(&store).await, ["gone", "north", "south"]);
    let kept = || std::fs::read_dir(media.path().join("tenants")).unwrap().count();
    let media_of_all = kept();

    // An older release starts, which can read neither a Tenant nor the extension of another.
    let mut second = start();
    let mut seen = upserts(&[std::slice::from_ref(&south), &a[..], &extension("north", "c", "100")].concat());
    seen.extend([unreadable(&north), unreadable(&b[0])]);
    second.apply_changes(seen, true);
    idle(&mut second).await;
    assert_eq!(stored(&store).await, ["north", "south"], "only missing tenants are removed");
    assert_eq!(kept(), media_of_all - 1);
    let extensions = async || {
        let id = store.tenants().await.unwrap().into_iter().find(|tenant| tenant.name == "south").unwrap().id;
        let plan = store.reader().load_tenant(id).await.unwrap().unwrap();
        plan.1.extensions.len()
    };
    assert_eq!(extensions().await, 2);

    // Objects that become readable, or are deleted, are handled as usual.
    second.apply_changes(upserts(&b), true);
    idle(&mut second).await;
    assert_eq!(extensions().await, 2);
    second.apply_changes(vec![Change::Remove(b[0].key()), Change::Remove(north.key())], true);
    idle(&mut second).await;
    assert_eq!((extensions().await, stored(&store).await), (1, vec!["south".to_owned()]));
    assert_eq!(kept(), media_of_all - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_trunk_delays_no_other_tenant() {
    let Some(database) = Database::start("reconcile::a_trunk_that_cannot_be_read").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut reconciler = Reconciler::new(watch::channel(Default::default()).0, None, None);
    reconciler.lead(store.clone());
    let spec = json!({"sipProfileRef": {"name": "p"}, "gateways": [{"host": "198.51.100.1"}]});
    let trunk = resource("Trunk", "other", "t", spec);
    reconciler.apply_changes(vec![unreadable(&trunk), Change::Upsert(tenant("north", json!({})))], true);
    idle(&mut reconciler).await;
    assert_eq!(stored(&store).await, ["north"]);
    let (platform, _) = store.reader().load_platform().await.unwrap();
    assert_eq!(platform.number, 0, "the platform's rows stay as they are");
}

/// A Tenant that is being deleted.
fn terminating(mut tenant: Object) -> Change {
    let then = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time("2026-01-02T03:04:05Z".parse().unwrap());
    tenant.metadata_mut().deletion_timestamp = Some(then);
    Change::Upsert(tenant)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deletion_policy_may_change_while_a_deletion_waits() {
    let Some(database) = Database::start("reconcile::what_becomes_of_data").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut reconciler = Reconciler::new(watch::channel(Default::default()).0, None, None);
    reconciler.lead(store.clone());
    let policy = |policy: &str| tenant("north", json!({"deletionPolicy": policy}));
    reconciler.apply_changes(vec![Change::Upsert(policy("Delete"))], true);
    idle(&mut reconciler).await;

    reconciler.lead_without_store();
    reconciler.apply_changes(vec![terminating(policy("Delete"))], true);
    reconciler.apply_changes(vec![terminating(policy("Retain"))], true);
    reconciler.lead(store.clone());
    idle(&mut reconciler).await;
    let stored = store.tenants().await.unwrap();
    assert!(stored.len() == 1 && stored[0].retained, "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_tenant_that_lost_an_identity_leaves_the_identity_to_its_holder() {
    let Some(database) = Database::start("reconcile::the_end_of_who_lost").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, told) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, None, None);
    reconciler.lead(store.clone());
    let [winner, loser] = ["north", "south"].map(|name| tenant(name, json!({"tenantId": uid("north")})));
    reconciler.apply_changes(vec![Change::Upsert(winner)], true);
    idle(&mut reconciler).await;
    let held = told.borrow().clone();
    assert_eq!(held.tenants.len(), 1);
    reconciler.apply_changes(vec![terminating(loser)], true);
    idle(&mut reconciler).await;
    let now = told.borrow().clone();
    assert_eq!((now.tenants, now.removed), (held.tenants, held.removed));
    assert_eq!(stored(&store).await, ["north"]);
}
