//! A tenant that is refused as a whole: everything stays, without what is deleted or taken away.

use centrex::compile::Stays;
use centrex::resources::common::Recording;
use serde_json::{Value, json};

use super::System;

const TENANT: &str = "Tenant acme/acme";
const ALICE: &str = "Extension acme/alice";
const BOB: &str = "Extension acme/bob";
const MAIN: &str = "Number acme/main";
const CARRIER: &str = "Trunk carriers/carrier";

/// The system with a tenant that names a profile which is not there.
fn refused() -> System {
    let mut system = System::new();
    system.set(TENANT, "/spec/profileRef/name", json!("nobody")).apply();
    assert_eq!(system.problems_of(TENANT), ["spec.profileRef.name: RefNotFound"]);
    system
}

#[test]
fn everything_stays_as_it_was() {
    let right = System::new();
    let mut system = refused();
    assert_eq!(system.plan(), right.plan());
    assert_eq!(system.stays(TENANT), Some(&Stays::Whole(None)));
    assert_eq!(system.stays(MAIN), Some(&Stays::Whole(Some(7))));
    assert_eq!(system.problems_of(MAIN), ["spec.tenantRef.name: RefRefused"]);
    // What is changed or new waits for the tenant.
    system.set(ALICE, "/spec/number", json!("1003")).set(
        ALICE,
        "/spec/tollClasses",
        json!(["Local", "National", "International"]),
    );
    system.add("Extension", "carol", json!({"tenantRef": {"name": "acme"}, "number": "1004"})).apply();
    assert_eq!(system.plan(), right.plan());
    assert_eq!(system.stays(ALICE), Some(&Stays::Whole(Some(3))));
    assert_eq!(system.stays("Extension acme/carol"), None);
    // Mended.
    system.set(TENANT, "/spec/profileRef/name", json!("standard")).apply();
    assert_eq!(system.plan().extensions["alice"].number, "1003");
    assert_eq!(system.kept, []);
}

#[test]
fn what_is_deleted_goes_and_what_led_to_it() {
    let mut system = refused();
    system.remove(BOB).apply();
    assert!(!system.plan().extensions.contains_key("bob"));
    assert_eq!(system.plan().ring_groups["sales"].members.len(), 1);
    assert!(system.main().is_some());
    system.remove("IvrMenu acme/welcome").apply();
    assert!(system.plan().schedules.is_empty());
    assert_eq!((system.main(), system.stays(MAIN)), (None, None));
    // One that is made anew under the same name is another, and waits for the tenant.
    let mut alice: Value = system.objects[ALICE].clone();
    alice["metadata"]["uid"] = json!("another");
    system.objects.insert(ALICE.to_owned(), alice);
    system.apply();
    assert!(system.plan().extensions.is_empty() && system.plan().queues["support"].agents.is_empty());
}

#[test]
fn rights_that_are_taken_away_go() {
    let mut system = refused();
    system.set(ALICE, "/spec/tollClasses", json!(["Local"])).set(ALICE, "/spec/recording", json!("Never"));
    system.set("Secret acme/alice-sip", "/stringData/password", Value::Null);
    system.set(TENANT, "/spec/suspended", json!(true)).apply();
    let alice = &system.plan().extensions["alice"];
    assert_eq!(
        (alice.toll_classes.as_slice(), alice.recording),
        (&["Local".to_owned()][..], Recording::Never)
    );
    assert_eq!(alice.secrets.get("password"), None);
    assert!(system.plan().tenant.suspended);
    // A trunk that its owner keeps for itself now.
    let emergency = |system: &System| system.plan().tenant.emergency.clone().unwrap();
    assert_eq!(emergency(&system).trunk.as_deref(), Some("carriers/carrier"));
    system.set(CARRIER, "/spec/allowedNamespaces/from", json!("Same")).apply();
    let plan = system.plan();
    assert!(plan.numbers.is_empty() && plan.outbound_routes.is_empty());
    assert_eq!((emergency(&system).trunk, emergency(&system).numbers), (None, vec!["112".to_owned()]));
}

#[test]
fn what_another_tenant_has_by_now_goes() {
    let mut system = refused();
    system.add("Tenant", "other", json!({"domains": ["other.example.com", "acme.example.com"]}));
    system.set(TENANT, "/spec/domains", json!(["acme.example.org"])).apply();
    let plan =
        &system.in_force.tenants.values().find(|tenant| tenant.plan.tenant.name == "acme").unwrap().plan;
    assert!(plan.tenant.domains.is_empty());
    assert_eq!(plan.extensions.len(), 2);
}
