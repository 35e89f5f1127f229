//! The loop between source and store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use centrex::plan::PlatformPlan;
use centrex::reconcile::{NewStatus, Note, Outside, OutsideError, Progress, Reconciler};
use centrex::resources::{Extension, Tenant};
use centrex::source::{Change, Object, ObjectKey, Unreadable};
use centrex::store::acks::{Ack, SwitchInfo, SwitchState};
use centrex::store::{Removed, Store};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::postgres::{Database, keyring};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_for_gone_before_the_world_was_told() {
    let Some(database) = Database::start("reconcile::nothing_is_taken_for_gone").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, _stored) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, None, None);
    reconciler.lead(store.clone());
    let early = timeout(Duration::from_millis(500), reconciler.work()).await;
    assert!(early.is_err(), "a folder that is still being read is no empty world");
    let (revision, _) = store.reader().load_platform().await.unwrap();
    assert_eq!(revision.number, 0);

    reconciler.take_in(Vec::new(), true);
    idle(&mut reconciler).await;
    let (revision, platform) = store.reader().load_platform().await.unwrap();
    assert_eq!((revision.number, platform), (1, PlatformPlan::default()));
}

/// Does everything there is to do.
async fn idle(reconciler: &mut Reconciler) {
    let work = async {
        while !reconciler.is_idle() {
            reconciler.work().await;
        }
    };
    timeout(Duration::from_secs(20), work).await.expect("it comes to an end");
}

/// A cluster that takes statuses, and never gets to write one.
#[derive(Default)]
struct Slow(Mutex<Vec<(ObjectKey, NewStatus)>>);

impl Slow {
    fn published(&self) -> Vec<ObjectKey> {
        self.0.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }
}

impl Outside for Slow {
    fn hold(&self, _: Arc<Tenant>) -> BoxFuture<'static, Result<(), OutsideError>> {
        ready(Ok(())).boxed()
    }

    fn release(&self, _: Arc<Tenant>, _: Removed) -> BoxFuture<'static, Result<(), OutsideError>> {
        ready(Ok(())).boxed()
    }

    fn make_credentials(&self, _: Arc<Extension>) {}

    fn publish(&self, object: &Object, status: NewStatus, _: Vec<Note>) {
        self.0.lock().unwrap().push((object.key(), status));
    }

    fn seen(&self, _: &mut Change) {}

    fn forget(&self) -> Vec<ObjectKey> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().map(|(key, _)| key).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_was_not_written_when_the_lead_was_lost_is_published_again() {
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
    reconciler.take_in(vec![Change::Upsert(tenant)], true);
    idle(&mut reconciler).await;
    assert!(outside.published().contains(&key));

    // Postgres went, and came back: the Lease was ours all the while.
    reconciler.lead(store);
    assert!(outside.published().is_empty());
    idle(&mut reconciler).await;
    assert!(outside.published().contains(&key), "nobody else says it");
}

/// UIDs as an API server gives them, one a name.
fn uid(name: &str) -> String {
    name.bytes().fold("6f7b2a0e-3b9e-4f5c-9d55-".to_owned(), |uid, byte| uid + &format!("{byte:02x}"))
        + &"0".repeat(12 - 2 * name.len())
}

fn object(kind: &str, namespace: &str, name: &str, mut rest: Value) -> Object {
    rest["metadata"] = json!({"name": name, "namespace": namespace, "uid": uid(name), "generation": 1});
    Object::from_json(kind, rest).unwrap().unwrap()
}

/// A tenant of its own namespace and domain.
fn tenant(name: &str, spec: Value) -> Object {
    let mut whole = json!({"domains": [format!("{name}.example.com")]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object(
        "Tenant",
        name,
        name,
        json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Tenant", "spec": whole}),
    )
}

/// An extension of that tenant, and its password.
fn extension(tenant: &str, name: &str, number: &str) -> [Object; 2] {
    let extension = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
        "spec": {"tenantRef": {"name": tenant}, "number": number}});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "YS1kdW1teS1wYXNzd29yZA=="}});
    [object("Extension", tenant, name, extension), object("Secret", tenant, &format!("{name}-sip"), secret)]
}

fn unreadable(object: &Object) -> Change {
    let (key, tenant) = (object.key(), object.tenant().map(str::to_owned));
    Change::Unreadable(Unreadable { key, tenant, message: "spec.colour: unknown".to_owned() })
}

/// Names of the tenants that are stored.
async fn stored(store: &Store) -> Vec<String> {
    let mut names: Vec<_> = store.tenants().await.unwrap().into_iter().map(|tenant| tenant.name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_taken_for_gone() {
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
    first.take_in(upserts(&all), true);
    idle(&mut first).await;
    assert_eq!(stored(&store).await, ["gone", "north", "south"]);
    let kept = || std::fs::read_dir(media.path().join("tenants")).unwrap().count();
    let media_of_all = kept();

    // Another release is started, which can read neither a Tenant nor the extension of another.
    let mut second = start();
    let mut seen = upserts(&[std::slice::from_ref(&south), &a[..], &extension("north", "c", "100")].concat());
    seen.extend([unreadable(&north), unreadable(&b[0])]);
    second.take_in(seen, true);
    idle(&mut second).await;
    assert_eq!(stored(&store).await, ["north", "south"], "only what is not there is gone");
    assert_eq!(kept(), media_of_all - 1);
    let extensions = async || {
        let id = store.tenants().await.unwrap().into_iter().find(|tenant| tenant.name == "south").unwrap().id;
        let plan = store.reader().load_tenant(id).await.unwrap().unwrap();
        plan.1.extensions.len()
    };
    assert_eq!(extensions().await, 2);

    // What can be read again, or is deleted, is dealt with as ever.
    second.take_in(upserts(&b), true);
    idle(&mut second).await;
    assert_eq!(extensions().await, 2);
    second.take_in(vec![Change::Remove(b[0].key()), Change::Remove(north.key())], true);
    idle(&mut second).await;
    assert_eq!((extensions().await, stored(&store).await), (1, vec!["south".to_owned()]));
    assert_eq!(kept(), media_of_all - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_cannot_be_read_keeps_no_other_tenant_waiting() {
    let Some(database) = Database::start("reconcile::a_trunk_that_cannot_be_read").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut reconciler = Reconciler::new(watch::channel(Default::default()).0, None, None);
    reconciler.lead(store.clone());
    let trunk = object(
        "Trunk",
        "other",
        "t",
        json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Trunk",
        "spec": {"sipProfileRef": {"name": "p"}, "gateways": [{"host": "198.51.100.1"}]}}),
    );
    reconciler.take_in(vec![unreadable(&trunk), Change::Upsert(tenant("north", json!({})))], true);
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
async fn what_becomes_of_data_may_be_edited_while_a_deletion_waits() {
    let Some(database) = Database::start("reconcile::what_becomes_of_data").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let mut reconciler = Reconciler::new(watch::channel(Default::default()).0, None, None);
    reconciler.lead(store.clone());
    let policy = |policy: &str| tenant("north", json!({"deletionPolicy": policy}));
    reconciler.take_in(vec![Change::Upsert(policy("Delete"))], true);
    idle(&mut reconciler).await;

    reconciler.lead_without_store();
    reconciler.take_in(vec![terminating(policy("Delete"))], true);
    reconciler.take_in(vec![terminating(policy("Retain"))], true);
    reconciler.lead(store.clone());
    idle(&mut reconciler).await;
    let stored = store.tenants().await.unwrap();
    assert!(stored.len() == 1 && stored[0].retained, "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_who_lost_an_identity_leaves_it_to_the_winner() {
    let Some(database) = Database::start("reconcile::the_end_of_who_lost").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, told) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, None, None);
    reconciler.lead(store.clone());
    let [winner, loser] = ["north", "south"].map(|name| tenant(name, json!({"tenantId": uid("north")})));
    reconciler.take_in(vec![Change::Upsert(winner)], true);
    idle(&mut reconciler).await;
    let held = told.borrow().clone();
    assert_eq!(held.tenants.len(), 1);
    reconciler.take_in(vec![terminating(loser)], true);
    idle(&mut reconciler).await;
    let now = told.borrow().clone();
    assert_eq!((now.tenants, now.removed), (held.tenants, held.removed));
    assert_eq!(stored(&store).await, ["north"]);
}

/// A Secret of a tenant, or of a trunk's namespace.
fn secret(namespace: &str, name: &str, password: &str) -> Object {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": password},
        "data": {"version": k8s_openapi::ByteString(password.into())}});
    object("Secret", namespace, name, secret)
}

/// The reason of a condition that was published last of an object.
fn reason(outside: &Slow, key: &ObjectKey, type_: &str) -> Option<String> {
    let published = outside.0.lock().unwrap();
    let status = published.iter().rev().find(|(of, _)| of == key).map(|(_, status)| status.clone())?;
    let conditions = match status {
        NewStatus::Conditions(conditions) => conditions,
        NewStatus::Tenant(status) => status.conditions,
        NewStatus::Trunk(status) => status.conditions,
    };
    Some(conditions.iter().find(|condition| condition.type_ == type_)?.reason.clone())
}

/// Writes everything there is to write, and tells it: switches, which nobody has, are waited for for ever.
async fn settle(reconciler: &mut Reconciler, told: &watch::Receiver<Progress>) {
    let written = async {
        while !told.borrow().stored {
            reconciler.work().await;
        }
    };
    timeout(Duration::from_secs(20), written).await.expect("it comes to an end");
    while timeout(Duration::from_millis(300), reconciler.work()).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_row_outlives_the_process() {
    let Some(database) = Database::start("reconcile::the_last_good_row").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let api = "centrex.dev/v1alpha1";
    let profile = object(
        "SipProfile",
        "",
        "p",
        json!({"apiVersion": api, "kind": "SipProfile", "spec": {"role": "Trunks", "sipPort": 5080}}),
    );
    let trunk = |profile: &str| {
        object(
            "Trunk",
            "north",
            "t",
            json!({"apiVersion": api, "kind": "Trunk", "spec": {
            "sipProfileRef": {"name": profile}, "gateways": [{"host": "198.51.100.1"}],
            "registration": {"username": "centrex", "secretRef": {"name": "t"}}}}),
        )
    };
    let number = |to: &str| {
        object(
            "Number",
            "north",
            "n",
            json!({"apiVersion": api, "kind": "Number", "spec": {
            "tenantRef": {"name": "north"}, "number": "+493012345600", "trunkRef": {"name": "t"},
            "destination": {"kind": "Extension", "name": to}}}),
        )
    };
    let [a, a_sip] = extension("north", "a", "100");
    let start = || {
        let outside = Arc::new(Slow::default());
        let (progress, told) = watch::channel(Default::default());
        let mut reconciler = Reconciler::new(progress, Some(outside.clone()), None);
        reconciler.lead(store.clone());
        (reconciler, told, outside)
    };
    let upserts = |objects: &[&Object]| {
        objects.iter().map(|object| Change::Upsert((*object).clone())).collect::<Vec<_>>()
    };
    let north = tenant("north", json!({}));
    let carrier = secret("north", "t", "carrier-password");
    let (mut first, told, outside) = start();
    first.take_in(upserts(&[&profile, &trunk("p"), &carrier, &north, &a, &a_sip, &number("a")]), true);
    settle(&mut first, &told).await;
    let state = async || {
        let id = store.tenants().await.unwrap()[0].id;
        let (_, plan) = store.reader().load_tenant(id).await.unwrap().unwrap();
        let (_, platform) = store.reader().load_platform().await.unwrap();
        let password = plan.extensions["a"].secrets.get("password").map(str::to_owned);
        let trunk =
            platform.trunks.get("north/t").and_then(|row| row.secrets.get("password").map(str::to_owned));
        (plan.numbers.get("n").map(|row| row.target.to_string()), password, trunk)
    };
    let good = state().await;
    assert_eq!((good.0.as_deref(), good.2.as_deref()), (Some("Extension a"), Some("carrier-password")));

    // Everything is wrong at once: each goes on as it was.
    let (a_short, t_short) = (secret("north", "a-sip", "short"), secret("north", "t", "short"));
    let wrong = [&number("nobody"), &a_short, &t_short, &trunk("nobody")];
    first.take_in(upserts(&wrong), true);
    settle(&mut first, &told).await;
    assert_eq!(state().await, good);
    for key in [number("a").key(), a.key(), trunk("p").key()] {
        assert_eq!(reason(&outside, &key, "Programmed").as_deref(), Some("LastGoodKept"), "{key}");
    }

    // Another process finds it so, and keeps it.
    drop(first);
    let (mut second, told, outside) = start();
    second.take_in(
        upserts(&[&profile, &trunk("nobody"), &t_short, &north, &a, &a_short, &number("nobody")]),
        true,
    );
    settle(&mut second, &told).await;
    assert_eq!(state().await, good);
    for key in [number("a").key(), a.key(), trunk("p").key()] {
        assert_eq!(reason(&outside, &key, "Programmed").as_deref(), Some("LastGoodKept"), "{key}");
    }

    // What is withdrawn, or made anew, is gone, and does not come back by a mistake.
    second.take_in(vec![Change::Remove(a_sip.key())], true);
    settle(&mut second, &told).await;
    assert_eq!(state().await, (good.0.clone(), None, good.2.clone()));
    second.take_in(upserts(&[&a_short]), true);
    settle(&mut second, &told).await;
    assert_eq!(state().await.1, None);
    let mut anew = number("nobody");
    anew.metadata_mut().uid = Some(uid("m"));
    second.take_in(upserts(&[&anew]), true);
    settle(&mut second, &told).await;
    assert_eq!(state().await, (None, None, good.2.clone()));
    assert_eq!(reason(&outside, &anew.key(), "Programmed").as_deref(), Some("NotAccepted"));
}

/// A switch that holds a revision of a tenant.
fn holding(id: Uuid, revision: i64) -> Ack {
    let info = SwitchInfo { name: "switch-1".to_owned(), hostname: None };
    Ack::Appeared(info, SwitchState { tenants: [(id, revision)].into(), ..SwitchState::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_refused_gives_up_what_another_has() {
    let Some(database) = Database::start("reconcile::a_tenant_that_is_refused_gives_up").await else {
        return;
    };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, told) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, Some(Arc::new(Slow::default())), None);
    reconciler.lead(store.clone());
    let of = |kind: &str, namespace: &str, spec: Value| {
        object(
            kind,
            namespace,
            "t",
            json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "spec": spec}),
        )
    };
    let number = |tenant: &str, name: &str, number: &str| {
        let spec = json!({"tenantRef": {"name": tenant}, "number": number,
            "trunkRef": {"name": "t", "namespace": "north"}, "destination": {"kind": "Extension", "name": "a"}});
        object(
            "Number",
            tenant,
            name,
            json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Number", "spec": spec}),
        )
    };
    let trunk = json!({"sipProfileRef": {"name": "t"}, "gateways": [{"host": "198.51.100.1"}],
        "allowedNamespaces": {"from": "All"}});
    let mut all = vec![
        of("SipProfile", "", json!({"role": "Trunks", "sipPort": 5080})),
        of("Trunk", "north", trunk),
        tenant("north", json!({"domains": ["north.example.com", "moves.example.com"]})),
        tenant("south", json!({})),
        number("north", "n", "+493012345600"),
        number("north", "m", "+493012345601"),
    ];
    all.extend(extension("north", "a", "100").into_iter().chain(extension("south", "a", "100")));
    reconciler.take_in(all.into_iter().map(Change::Upsert).collect(), true);
    settle(&mut reconciler, &told).await;
    let state = async |name: &str| {
        let stored = store.tenants().await.unwrap();
        let id = stored.iter().find(|tenant| tenant.name == name).unwrap().id;
        let (_, plan) = store.reader().load_tenant(id).await.unwrap().unwrap();
        let numbers: Vec<_> = plan.numbers.into_values().map(|row| row.number).collect();
        (plan.tenant.domains, numbers, plan.extensions.len())
    };
    let both = ["+493012345601", "+493012345600"].map(str::to_owned).to_vec();
    let domains = ["north.example.com", "moves.example.com"].map(str::to_owned).to_vec();
    assert_eq!(state("north").await, (domains.clone(), both.clone(), 1));

    // Refused as a whole: everything stays, also what it gives up, while nobody else has that.
    let refused = tenant("north", json!({"profileRef": {"name": "nobody"}}));
    let gone = number("north", "n", "+493012345600").key();
    reconciler.take_in(vec![Change::Upsert(refused), Change::Remove(gone)], true);
    settle(&mut reconciler, &told).await;
    assert_eq!(state("north").await, (domains.clone(), both, 1));

    let south = tenant("south", json!({"domains": ["south.example.com", "moves.example.com"]}));
    let taken = number("south", "n", "+493012345600");
    reconciler.take_in(vec![Change::Upsert(south), Change::Upsert(taken)], true);
    settle(&mut reconciler, &told).await;
    assert_eq!(state("south").await.1, ["+493012345600"]);
    let left = (domains[..1].to_vec(), vec!["+493012345601".to_owned()], 1);
    assert_eq!(state("north").await, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_refused_is_not_gone_after_postgres_was_set_back() {
    let Some(database) = Database::start("reconcile::a_tenant_that_is_refused_is_not_gone").await else {
        return;
    };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, told) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, Some(Arc::new(Slow::default())), None);
    reconciler.lead(store.clone());
    // Made after the state that Postgres was set back to; switches serve it.
    let refused = |name: &str| tenant(name, json!({"profileRef": {"name": "nobody"}}));
    let newer = tenant("newer", json!({}));
    reconciler.take_in(vec![Change::Upsert(refused("north"))], true);
    let gone = Uuid::from_u128(7);
    reconciler.acknowledge(holding(uid("north").parse().unwrap(), 5));
    reconciler.take_in(vec![unreadable(&newer)], true);
    settle(&mut reconciler, &told).await;
    let mut admin = database.admin().await;
    let mut removed = async || -> Vec<Uuid> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::query_scalar("SELECT id FROM public.removed_tenants").fetch_all(&mut admin).await.unwrap()
    };
    assert!(removed().await.is_empty());
    // Whose identity is not known may be anybody.
    reconciler.acknowledge(holding(gone, 5));
    assert!(removed().await.is_empty());
    reconciler.take_in(vec![Change::Remove(newer.key())], true);
    settle(&mut reconciler, &told).await;
    assert_eq!(removed().await, [gone]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_refused_is_suspended_past_what_switches_hold() {
    let Some(database) = Database::start("reconcile::a_tenant_that_is_refused_is_suspended").await else {
        return;
    };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (progress, told) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, Some(Arc::new(Slow::default())), None);
    reconciler.lead(store.clone());
    reconciler.take_in(vec![Change::Upsert(tenant("north", json!({})))], true);
    settle(&mut reconciler, &told).await;
    let mut refused = tenant("north", json!({"profileRef": {"name": "nobody"}, "suspended": true}));
    refused.metadata_mut().generation = Some(2);
    reconciler.take_in(vec![Change::Upsert(refused)], true);
    settle(&mut reconciler, &told).await;
    let id = uid("north").parse().unwrap();
    assert!(store.reader().load_tenant(id).await.unwrap().unwrap().1.tenant.suspended);
    // A switch holds what it got before Postgres was set back.
    reconciler.acknowledge(holding(id, 50));
    settle(&mut reconciler, &told).await;
    let (revision, plan) = store.reader().load_tenant(id).await.unwrap().unwrap();
    assert!(plan.tenant.suspended && revision.number > 50, "{revision:?}");
}
