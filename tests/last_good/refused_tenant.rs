//! A tenant that is refused as a whole: its rows stay, except deleted resources and withdrawn rights.

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

/// The system with a tenant that names a missing profile.
fn refused() -> System {
    let mut system = System::new();
    system.set(TENANT, "/spec/profileRef/name", json!("nobody")).apply();
    assert_eq!(system.problems_of(TENANT), ["spec.profileRef.name: RefNotFound"]);
    system
}

#[test]
fn a_refused_tenant_keeps_all_its_rows() {
    let right = System::new();
    let mut system = refused();
    assert_eq!(system.plan(), right.plan());
    assert_eq!(system.stays(TENANT), Some(&KeptPart::Whole(None)));
    assert_eq!(system.stays(MAIN), Some(&KeptPart::Whole(Some(7))));
    assert_eq!(system.problems_of(MAIN), ["spec.tenantRef.name: RefRefused"]);
    // Changed and new resources wait for the tenant.
    system.set(ALICE, "/spec/number", json!("1003")).set(
        ALICE,
        "/spec/tollClasses",
        json!(["Local", "National", "International"]),
    );
    system.add("Extension", "carol", json!({"tenantRef": {"name": "acme"}, "number": "1004"})).apply();
    assert_eq!(system.plan(), right.plan());
    assert_eq!(system.stays(ALICE), Some(&KeptPart::Whole(Some(3))));
    assert_eq!(system.stays("Extension acme/carol"), None);
    // The tenant is corrected.
    system.set(TENANT, "/spec/profileRef/name", json!("standard")).apply();
    assert_eq!(system.plan().extensions["alice"].number, "1003");
    assert_eq!(system.kept, []);
}

#[test]
fn deleted_resources_of_a_refused_tenant_and_links_to_them_are_removed() {
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
fn withdrawn_rights_end_for_a_refused_tenant() {
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
    // The trunk's owner withdraws it, and shares it again: emergency calls use it at once.
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
fn lowered_limits_apply_to_a_refused_tenant() {
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
    // Raised limits are new, and wait.
    system.set("TenantProfile standard", "/spec/maxConcurrentCalls", json!(30)).apply();
    assert_eq!(limits(&system).0, Some(1));
    system.set(TENANT, "/spec/timeZone", json!("Europe/Berlin")).apply();
    assert_eq!(limits(&system).0, Some(30));
}

#[test]
fn a_refused_tenant_keeps_its_emergency_numbers() {
    let mut system = System::new();
    system.set(TENANT, "/spec/emergency/numbers", json!(["112", "09011234"])).apply();
    assert_eq!(emergency(&system).numbers, ["112", "09011234"]);
    system.set(TENANT, "/spec/timeZone", json!("Mars/Olympus_Mons"));
    // An emergency number that is an extension's number is new, and waits; one that the platform blocks since
    // is removed.
    system.set(TENANT, "/spec/emergency/numbers", json!(["112", "09011234", "1002"])).apply();
    assert!(system.plan().extensions.contains_key("bob"));
    system.set("DialRule no-premium-rate", "/spec/match", json!([{"prefix": "0901"}])).apply();
    assert_eq!(emergency(&system).numbers, ["112"]);
}

#[test]
fn a_refused_tenant_loses_what_another_tenant_holds() {
    let mut system = refused();
    system.add("Tenant", "other", json!({"domains": ["other.example.com", "acme.example.com"]}));
    system.set(TENANT, "/spec/domains", json!(["acme.example.org"])).apply();
    let plan =
        &system.in_force.tenants.values().find(|tenant| tenant.plan.tenant.name == "acme").unwrap().plan;
    assert_eq!(plan.tenant.domains, ["acme.example.org"]);
    assert_eq!(plan.extensions.len(), 2);
    // The other tenant is deleted, so its domain is free.
    system.remove("Tenant acme/other").apply();
    assert_eq!(system.plan().tenant.domains, ["acme.example.org"]);
    system.set(TENANT, "/spec/domains", json!(["acme.example.com"])).apply();
    assert_eq!(system.plan().tenant.domains, ["acme.example.org", "acme.example.com"]);
    // A profile with this name: Sofia keeps both names in one table.
    let mut profile: Value = system.objects["SipProfile internal"].clone();
    profile["metadata"] = json!({"name": "acme.example.com", "uid": "profile"});
    profile["spec"]["sipPort"] = json!(5070);
    system.objects.insert("SipProfile acme.example.com".to_owned(), profile);
    system.apply();
    assert_eq!(system.plan().tenant.domains, ["acme.example.org"]);
}
