//! The platform's resources, which tenants depend on.

use centrex::plan::SecretName;
use serde_json::{Value, json};

use centrex::compile::KeptPart;
use centrex::plan::TrunkRow;

use super::System;

const CARRIER: &str = "Trunk carriers/carrier";

fn carrier(system: &System) -> Option<&TrunkRow> {
    system.in_force.platform.plan.trunks.get("carriers/carrier")
}

#[test]
fn a_trunk_keeps_registering_with_its_last_usable_password() {
    let password = |system: &System| {
        let row = carrier(system).unwrap();
        let username = row.registration.as_ref().map(|registration| registration.username.clone());
        (username, row.secrets.get(SecretName::Password).map(str::to_owned))
    };
    let as_before = (Some("centrex".to_owned()), Some("carrier-password-1".to_owned()));
    let mut system = System::new();
    system.set("Secret carriers/carrier", "/stringData/password", json!("short")).apply();
    assert_eq!(system.problems_of(CARRIER), ["spec.registration.secretRef: InvalidSecret"]);
    assert_eq!(password(&system), as_before);
    assert!(matches!(system.stays(CARRIER), Some(KeptPart::Fields(_))));
    system.remove("Secret carriers/carrier").apply();
    assert_eq!(password(&system), (None, None), "withdrawn");
}

#[test]
fn a_trunk_refused_by_mistake_keeps_carrying_calls() {
    let mut system = System::new();
    system.set(CARRIER, "/spec/sipProfileRef/name", json!("nothing"));
    system.set(CARRIER, "/spec/sourceAddresses", json!(["203.0.113.0/24"])).apply();
    assert_eq!(system.problems_of(CARRIER), ["spec.sipProfileRef.name: RefNotFound"]);
    assert_eq!(system.problems.len(), 1, "its tenants notice nothing: {:?}", system.problems);
    assert!(system.main().is_some() && system.plan().outbound_routes.len() == 1);
    let networks: Vec<String> =
        carrier(&system).unwrap().source_addresses.iter().map(|net| net.to_string()).collect();
    assert_eq!(
        networks,
        ["198.51.100.10/32", "203.0.113.0/24"],
        "addresses that the trunk no longer trusts are removed"
    );

    // The profile is deleted, and so is the trunk's row.
    system.remove("SipProfile external").apply();
    assert!(carrier(&system).is_none() && system.main().is_none());
}

#[test]
fn a_refused_profile_stays_until_another_binds_its_port() {
    let mut system = System::new();
    system.set("SipProfile internal", "/spec/sipPort", json!(5080)).apply();
    assert_eq!(system.problems_of("SipProfile internal"), ["spec.sipPort: Conflict"]);
    let port =
        |system: &System| system.in_force.platform.plan.sip_profiles.get("internal").map(|row| row.sip_port);
    assert_eq!(port(&system), Some(5060));
    system.set("SipProfile external", "/spec/tlsPort", json!(5060)).apply();
    assert_eq!(port(&system), None, "another profile binds the port");
    assert!(system.main().is_some());
}

#[test]
fn a_refused_rule_that_blocks_keeps_blocking() {
    let mut system = System::new();
    let rule = "DialRule no-premium-rate";
    system.set(rule, "/spec/match/0", json!({"prefix": "0900", "maxDigits": 2})).apply();
    assert_eq!(system.problems_of(rule), ["spec.match[0]: InvalidValue"]);
    let rows = &system.in_force.platform.plan.dial_rules;
    assert_eq!(rows["no-premium-rate"].matches[0].max_digits, None);
    system.set(
        rule,
        "/spec/match/0",
        Value::from(serde_json::Map::from_iter([("prefix".to_owned(), json!("0137"))])),
    );
    system.apply();
    assert!(system.kept.is_empty() && system.problems.is_empty());
}
