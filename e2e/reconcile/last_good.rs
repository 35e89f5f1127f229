//! Previous rows that stay in force for resources that became invalid, and for a tenant that is refused as a
//! whole.

use std::sync::Arc;
use std::time::Duration;

use centrex::plan::report::{Ack, SwitchInfo, SwitchState};
use centrex::reconcile::{NewStatus, Progress, Reconciler};
use centrex::source::{Change, Object, ObjectKey};
use centrex::store::Store;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Slow, extension, object, resource, tenant, uid, unreadable};
use crate::postgres::{Database, keyring};
use centrex::plan::SecretName;

/// A Secret of a tenant, or of a trunk's namespace.
fn secret(namespace: &str, name: &str, password: &str) -> Object {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": password},
        "data": {"version": k8s_openapi::ByteString(password.into())}});
    object("Secret", namespace, name, secret)
}

/// The reason of a condition in the status that was published last for an object.
fn reason(outside: &Slow, key: &ObjectKey, type_: &str) -> Option<String> {
    let published = outside.0.lock().unwrap();
    let status = published.iter().rev().find(|(of, _)| of == key).map(|(_, status)| status.clone())?;
    let conditions = match status {
        NewStatus::Conditions(conditions) => conditions,
        NewStatus::Tenant(status) => status.conditions,
        NewStatus::Trunk(status) => status.conditions,
        NewStatus::Device(status) => status.conditions,
    };
    Some(conditions.iter().find(|condition| condition.type_ == type_)?.reason.clone())
}

/// A leading loop, its progress, and the receiver of its statuses.
fn leading(store: &Store) -> (Reconciler, watch::Receiver<Progress>, Arc<Slow>) {
    let outside = Arc::new(Slow::default());
    let (progress, told) = watch::channel(Default::default());
    let mut reconciler = Reconciler::new(progress, Some(outside.clone()), None);
    reconciler.lead(store.clone());
    (reconciler, told, outside)
}

/// Runs the loop until all writes are done and published. No switch runs, so the loop would wait for switches for ever.
async fn work_until_idle(reconciler: &mut Reconciler, told: &watch::Receiver<Progress>) {
    let written = async {
        while !told.borrow().stored {
            reconciler.work().await;
        }
    };
    timeout(Duration::from_secs(20), written).await.expect("the writes end");
    while timeout(Duration::from_millis(300), reconciler.work()).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn last_good_rows_survive_a_restart() {
    let Some(database) = Database::start("reconcile::last_good::the_last_good_row").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let profile = resource("SipProfile", "", "p", json!({"role": "Trunks", "sipPort": 5080}));
    let trunk = |profile: &str| {
        let spec = json!({"sipProfileRef": {"name": profile}, "gateways": [{"host": "198.51.100.1"}],
            "registration": {"username": "centrex", "secretRef": {"name": "t"}}});
        resource("Trunk", "north", "t", spec)
    };
    let number = |to: &str| {
        let spec = json!({"tenantRef": {"name": "north"}, "number": "+493012345600", "trunkRef": {"name": "t"},
            "destination": {"kind": "Extension", "name": to}});
        resource("Number", "north", "n", spec)
    };
    let [a, a_sip] = extension("north", "a", "100");
    let upserts = |objects: &[&Object]| {
        objects.iter().map(|object| Change::Upsert((*object).clone())).collect::<Vec<_>>()
    };
    let north = tenant("north", json!({}));
    let carrier = secret("north", "t", "carrier-password");
    let (mut first, told, outside) = leading(&store);
    first.apply_changes(upserts(&[&profile, &trunk("p"), &carrier, &north, &a, &a_sip, &number("a")]), true);
    work_until_idle(&mut first, &told).await;
    let state = async || {
        let id = store.tenants().await.unwrap()[0].id;
        let (_, plan) = store.reader().load_tenant(id).await.unwrap().unwrap();
        let (_, platform) = store.reader().load_platform().await.unwrap();
        let password = plan.extensions["a"].secrets.get(SecretName::Password).map(str::to_owned);
        let trunk = platform
            .trunks
            .get("north/t")
            .and_then(|row| row.secrets.get(SecretName::Password).map(str::to_owned));
        (plan.numbers.get("n").map(|row| row.target.to_string()), password, trunk)
    };
    let good = state().await;
    assert_eq!((good.0.as_deref(), good.2.as_deref()), (Some("Extension a"), Some("carrier-password")));

    // Everything is invalid at once: each resource keeps its previous row.
    let (a_short, t_short) = (secret("north", "a-sip", "short"), secret("north", "t", "short"));
    let wrong = [&number("nobody"), &a_short, &t_short, &trunk("nobody")];
    first.apply_changes(upserts(&wrong), true);
    work_until_idle(&mut first, &told).await;
    assert_eq!(state().await, good);
    for key in [number("a").key(), a.key(), trunk("p").key()] {
        assert_eq!(reason(&outside, &key, "Programmed").as_deref(), Some("LastGoodKept"), "{key}");
    }

    // Another process finds these rows in Postgres, and keeps them.
    drop(first);
    let (mut second, told, outside) = leading(&store);
    second.apply_changes(
        upserts(&[&profile, &trunk("nobody"), &t_short, &north, &a, &a_short, &number("nobody")]),
        true,
    );
    work_until_idle(&mut second, &told).await;
    assert_eq!(state().await, good);
    for key in [number("a").key(), a.key(), trunk("p").key()] {
        assert_eq!(reason(&outside, &key, "Programmed").as_deref(), Some("LastGoodKept"), "{key}");
    }

    // A row whose resource is withdrawn or created again is removed, and a mistake does not bring it back.
    second.apply_changes(vec![Change::Remove(a_sip.key())], true);
    work_until_idle(&mut second, &told).await;
    assert_eq!(state().await, (good.0.clone(), None, good.2.clone()));
    second.apply_changes(upserts(&[&a_short]), true);
    work_until_idle(&mut second, &told).await;
    assert_eq!(state().await.1, None);
    let mut anew = number("nobody");
    anew.metadata_mut().uid = Some(uid("m"));
    second.apply_changes(upserts(&[&anew]), true);
    work_until_idle(&mut second, &told).await;
    assert_eq!(state().await, (None, None, good.2.clone()));
    assert_eq!(reason(&outside, &anew.key(), "Programmed").as_deref(), Some("NotAccepted"));
}

/// A switch that holds a revision of a tenant.
fn holding(id: Uuid, revision: i64) -> Ack {
    let info = SwitchInfo { name: "switch-1".to_owned(), hostname: None };
    Ack::Appeared(info, SwitchState { tenants: [(id, revision)].into(), ..SwitchState::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_tenant_gives_up_identities_that_another_tenant_holds() {
    let Some(database) = Database::start("reconcile::last_good::a_tenant_that_is_refused_gives_up").await
    else {
        return;
    };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (mut reconciler, told, _) = leading(&store);
    let number = |tenant: &str, name: &str, number: &str| {
        let spec = json!({"tenantRef": {"name": tenant}, "number": number,
            "trunkRef": {"name": "t", "namespace": "north"}, "destination": {"kind": "Extension", "name": "a"}});
        resource("Number", tenant, name, spec)
    };
    let trunk = json!({"sipProfileRef": {"name": "t"}, "gateways": [{"host": "198.51.100.1"}],
        "allowedNamespaces": {"from": "All"}});
    let mut all = vec![
        resource("SipProfile", "", "t", json!({"role": "Trunks", "sipPort": 5080})),
        resource("Trunk", "north", "t", trunk),
        tenant("north", json!({"domains": ["north.example.com", "moves.example.com"]})),
        tenant("south", json!({})),
        number("north", "n", "+493012345600"),
        number("north", "m", "+493012345601"),
    ];
    all.extend(extension("north", "a", "100").into_iter().chain(extension("south", "a", "100")));
    reconciler.apply_changes(all.into_iter().map(Change::Upsert).collect(), true);
    work_until_idle(&mut reconciler, &told).await;
    let state = async |name: &str| {
        let stored = store.tenants().await.unwrap();
        let id = stored.iter().find(|tenant| tenant.name == name).unwrap().id;
        let (_, plan) = store.reader().load_tenant(id).await.unwrap().unwrap();
        let numbers: Vec<_> = plan.numbers.into_values().map(|row| row.number).collect();
        (plan.tenant.domains, numbers, plan.extensions.len())
    };
    let both = ["+493012345601", "+493012345600"].map(str::to_owned).to_vec();
    let domains = ["north.example.com", "moves.example.com"].map(str::to_owned).to_vec();
    assert_eq!(state("north").await, (domains.clone(), both, 1));

    // Refused as a whole: deleted resources are removed, and a domain that the tenant releases stays until
    // another tenant claims it.
    let refused = tenant("north", json!({"profileRef": {"name": "nobody"}}));
    let gone = number("north", "n", "+493012345600").key();
    reconciler.apply_changes(vec![Change::Upsert(refused), Change::Remove(gone)], true);
    work_until_idle(&mut reconciler, &told).await;
    let left = vec!["+493012345601".to_owned()];
    assert_eq!(state("north").await, (domains.clone(), left.clone(), 1));

    let south = tenant("south", json!({"domains": ["south.example.com", "moves.example.com"]}));
    let taken = number("south", "n", "+493012345600");
    reconciler.apply_changes(vec![Change::Upsert(south), Change::Upsert(taken)], true);
    work_until_idle(&mut reconciler, &told).await;
    assert_eq!(state("south").await.1, ["+493012345600"]);
    assert_eq!(state("north").await, (domains[..1].to_vec(), left, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_tenant_survives_a_restore_of_postgres() {
    let Some(database) = Database::start("reconcile::last_good::a_tenant_that_is_refused_is_not_gone").await
    else {
        return;
    };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (mut reconciler, told, _) = leading(&store);
    // Created after the state that Postgres was set back to; switches serve it.
    let refused = |name: &str| tenant(name, json!({"profileRef": {"name": "nobody"}}));
    let newer = tenant("newer", json!({}));
    reconciler.apply_changes(vec![Change::Upsert(refused("north"))], true);
    let gone = Uuid::from_u128(7);
    reconciler.acknowledge(holding(uid("north").parse().unwrap(), 5));
    reconciler.apply_changes(vec![unreadable(&newer)], true);
    work_until_idle(&mut reconciler, &told).await;
    let mut admin = database.admin().await;
    let mut removed = async || -> Vec<Uuid> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::query_scalar("SELECT id FROM public.removed_tenants").fetch_all(&mut admin).await.unwrap()
    };
    assert!(removed().await.is_empty());
    // A tenant with an unknown identity may be any tenant.
    reconciler.acknowledge(holding(gone, 5));
    assert!(removed().await.is_empty());
    reconciler.apply_changes(vec![Change::Remove(newer.key())], true);
    work_until_idle(&mut reconciler, &told).await;
    assert_eq!(removed().await, [gone]);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_a_refused_tenant_reaches_the_switches() {
    let Some(database) = Database::start("reconcile::last_good::a_tenant_that_is_refused_is_suspended").await
    else {
        return;
    };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let (mut reconciler, told, _) = leading(&store);
    reconciler.apply_changes(vec![Change::Upsert(tenant("north", json!({})))], true);
    work_until_idle(&mut reconciler, &told).await;
    let mut refused = tenant("north", json!({"profileRef": {"name": "nobody"}, "suspended": true}));
    refused.metadata_mut().generation = Some(2);
    reconciler.apply_changes(vec![Change::Upsert(refused)], true);
    work_until_idle(&mut reconciler, &told).await;
    let id = uid("north").parse().unwrap();
    assert!(store.reader().load_tenant(id).await.unwrap().unwrap().1.tenant.suspended);
    // The switch has a revision from before Postgres was set back.
    reconciler.acknowledge(holding(id, 50));
    work_until_idle(&mut reconciler, &told).await;
    let (revision, plan) = store.reader().load_tenant(id).await.unwrap().unwrap();
    assert!(plan.tenant.suspended && revision.number > 50, "{revision:?}");
}
