//! A tenant that is refused as a whole: everything stays, without what is deleted or taken away.

use centrex::compile::KeptPart;
use centrex::plan::EmergencyRow;
use centrex::plan::SecretName;
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
    assert_eq!(system.stays(TENANT), Some(&KeptPart::Whole(None)));
    assert_eq!(system.stays(MAIN), Some(&KeptPart::Whole(Some(7))));
    assert_eq!(system.problems_of(MAIN), ["spec.tenantRef.name: RefRefused"]);
    // What is changed or new waits for the tenant.
    system.set(ALICE, "/spec/number", json!("1003")).set(
        ALICE,
        "/spec/tollClasses",
        json!(["Local", "National", "International"]),
    );
    system.add("Extension", "carol", json!({"tenantRef": {"name": "acme"}, "number": "1004"})).apply();
    assert_eq!(system.plan(), right.plan());
    assert_eq!(system.stays(ALICE), Some(&KeptPart::Whole(Some(3))));
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
    // A resource that is created again under the same name is another one, and waits for the tenant.
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
    assert!(system.plan().tenant.suspended);
    system.set(TENANT, "/spec/suspended", json!(false)).apply();
    let alice = &system.plan().extensions["alice"];
    assert_eq!(
        (alice.toll_classes.as_slice(), alice.recording),
        (&["Local".to_owned()][..], Recording::Never)
    );
    assert_eq!(alice.secrets.get(SecretName::Password), None);
    assert!(!system.plan().tenant.suspended);
    // A trunk that its owner keeps for itself now, and lends again: emergency calls leave by it at once.
    let trunk = |system: &System| emergency(system).trunk;
    assert_eq!(trunk(&system).as_deref(), Some("carriers/carrier"));
    system.set(CARRIER, "/spec/allowedNamespaces/from", json!("Same")).apply();
    assert!(system.plan().numbers.is_empty() && system.plan().outbound_routes.is_empty());
    assert_eq!(
        (trunk(&system), emergency(&system).numbers),
        (None, vec!["110".to_owned(), "112".to_owned()])
    );
    system.set(CARRIER, "/spec/allowedNamespaces/from", json!("All")).apply();
    assert_eq!(trunk(&system).as_deref(), Some("carriers/carrier"));
}

fn emergency(system: &System) -> EmergencyRow {
    system.plan().tenant.emergency.clone().expect("emergency numbers")
}

#[test]
fn limits_that_are_lowered_hold() {
    let mut system = System::new();
    let limits = |system: &System| {
        let tenant = &system.plan().tenant;
        (tenant.max_concurrent_calls, tenant.max_call_duration_seconds, tenant.recording_tone)
    };
    system.set("TenantProfile standard", "/spec/maxConcurrentCalls", json!(20)).apply();
    system.set(TENANT, "/spec/timeZone", json!("Mars/Olympus_Mons")).apply();
    assert_eq!(limits(&system), (Some(20), None, false));
    system.set("TenantProfile standard", "/spec/maxConcurrentCalls", json!(1));
    system.set("TenantProfile standard", "/spec/maxCallDurationSeconds", json!(60));
    system.set("TenantProfile standard", "/spec/recordingTone", json!(true)).apply();
    assert_eq!(limits(&system), (Some(1), Some(60), true));
    // What is raised is new, and waits.
    system.set("TenantProfile standard", "/spec/maxConcurrentCalls", json!(30)).apply();
    assert_eq!(limits(&system).0, Some(1));
    system.set(TENANT, "/spec/timeZone", json!("Europe/Berlin")).apply();
    assert_eq!(limits(&system).0, Some(30));
}

#[test]
fn emergency_numbers_are_those_from_before() {
    let mut system = System::new();
    system.set(TENANT, "/spec/emergency/numbers", json!(["112", "09011234"])).apply();
    assert_eq!(emergency(&system).numbers, ["112", "09011234"]);
    system.set(TENANT, "/spec/timeZone", json!("Mars/Olympus_Mons"));
    // One that a person has is new, and waits; one that the platform blocks since is none.
    system.set(TENANT, "/spec/emergency/numbers", json!(["112", "09011234", "1002"])).apply();
    assert!(system.plan().extensions.contains_key("bob"));
    system.set("DialRule no-premium-rate", "/spec/match", json!([{"prefix": "0901"}])).apply();
    assert_eq!(emergency(&system).numbers, ["112"]);
}

#[test]
fn what_another_tenant_has_by_now_goes() {
    let mut system = refused();
    system.add("Tenant", "other", json!({"domains": ["other.example.com", "acme.example.com"]}));
    system.set(TENANT, "/spec/domains", json!(["acme.example.org"])).apply();
    let plan =
        &system.in_force.tenants.values().find(|tenant| tenant.plan.tenant.name == "acme").unwrap().plan;
    assert_eq!(plan.tenant.domains, ["acme.example.org"]);
    assert_eq!(plan.extensions.len(), 2);
    // Given back.
    system.remove("Tenant acme/other").apply();
    assert_eq!(system.plan().tenant.domains, ["acme.example.org"]);
    system.set(TENANT, "/spec/domains", json!(["acme.example.com"])).apply();
    assert_eq!(system.plan().tenant.domains, ["acme.example.org", "acme.example.com"]);
    // A profile of this name: Sofia keeps both in one table.
    let mut profile: Value = system.objects["SipProfile internal"].clone();
    profile["metadata"] = json!({"name": "acme.example.com", "uid": "profile"});
    profile["spec"]["sipPort"] = json!(5070);
    system.objects.insert("SipProfile acme.example.com".to_owned(), profile);
    system.apply();
    assert_eq!(system.plan().tenant.domains, ["acme.example.org"]);
}
