//! The tenant of a call: taken from what the switch verified, never from what a phone claims.

use centrex::freeswitch::xml::form::Form;
use centrex::freeswitch::xml::{Answers, Section};
use centrex::plan::NumberRow;
use centrex::resources::common::DestinationKind;
use centrex::route::Caller;
use centrex::route::token::sign_call;

use super::rules::document;
use super::sample::{self, TENANT_A, TENANT_B, TRUNK};
use super::tree::Node;

/// The sample, and a public number of its first tenant.
fn answers() -> std::sync::Arc<Answers> {
    let mut tenant = sample::tenant(TENANT_A, "tenant-a.test");
    let target = centrex::plan::Target { kind: DestinationKind::Extension, name: "user-100".into() };
    let number = |number: &str| NumberRow {
        number: number.into(),
        range: None,
        internal_number: None,
        trunk: "carriers/carrier".into(),
        target: target.clone(),
        caller_id_prefix: None,
        record_calls: false,
    };
    tenant.numbers.insert("main".into(), number("+4930111111"));
    sample::answers(sample::platform(), vec![tenant, sample::tenant(TENANT_B, "tenant-b.test")])
}

fn ask(fields: &[(&str, &str)]) -> Node {
    let pairs = fields.iter().map(|(name, value)| format!("&{name}={}", value.replace('+', "%2B")));
    let body = format!("hostname=vm&section=dialplan{}", pairs.collect::<String>());
    document(&answers().answer(Section::Dialplan, &Form::parse(body.as_bytes())).unwrap())
}

/// The fields that FreeSWITCH sends for a call of extension 100 of the first tenant.
const PHONE: [(&str, &str); 7] = [
    ("Hunt-Context", "00000000-0000-4000-8000-a00000000000"),
    ("Hunt-Destination-Number", "101"),
    ("Caller-Source", "mod_sofia"),
    ("variable_sip_authorized", "true"),
    ("variable_user_name", "100"),
    ("variable_centrex_tenant", "00000000-0000-4000-8000-a00000000000"),
    ("variable_sip_auth_username", "100"),
];

/// The fields for a call that comes in by the trunk.
const CARRIER: [(&str, &str); 5] = [
    ("Hunt-Context", "inbound"),
    ("Hunt-Destination-Number", "+4930111111"),
    ("Caller-Source", "mod_sofia"),
    ("variable_sip_network_ip", "198.51.100.7"),
    ("variable_sofia_profile_name", "external"),
];

/// The same fields with some replaced, added or, if the value is empty, removed.
fn with<'a>(fields: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = fields.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

fn bridges_to(answer: &Node, dial: &str) -> bool {
    answer.all("action").iter().any(|action| {
        action.attribute("application") == Some("bridge") && action.attribute("data") == Some(dial)
    })
}

#[test]
fn an_authenticated_phone_is_routed() {
    assert!(bridges_to(&ask(&PHONE), "user/101@tenant-a.test"));
}

#[test]
fn an_unauthenticated_phone_is_not_routed() {
    for change in [
        ("variable_sip_authorized", ""),
        ("variable_sip_auth_username", "200"),
        ("variable_centrex_tenant", ""),
        ("variable_centrex_tenant", "00000000-0000-4000-8000-b00000000000"),
        ("variable_user_name", "999"),
        ("Caller-Source", "mod_verto"),
        ("Caller-Source", "mod_loopback"),
        ("variable_sip_gateway", "gw-1"),
        ("Hunt-Context", "00000000-0000-4000-8000-b00000000000"),
        ("Hunt-Context", "00000000-0000-4000-8000-A00000000000"),
        ("Hunt-Context", "public"),
        ("variable_centrex_call", "forged"),
    ] {
        assert!(ask(&with(&PHONE, &[change])).is_not_found(), "{change:?}");
    }
}

/// Contract §12.1: v1.10.12 crashes when it is asked for the state of a call with such a header.
#[test]
fn a_call_with_an_oversized_header_is_not_routed() {
    for (field, most) in [
        ("variable_sip_to_user", 64),
        ("variable_sip_from_user", 64),
        ("variable_sip_contact_user", 64),
        ("variable_sip_full_to", 256),
        ("variable_sip_full_from", 256),
        ("variable_sip_contact_params", 256),
    ] {
        let (full, over) = ("1".repeat(most), "1".repeat(most + 1));
        for (call, dial) in [(&PHONE[..], "user/101@tenant-a.test"), (&CARRIER[..], "user/100@tenant-a.test")]
        {
            assert!(bridges_to(&ask(&with(call, &[(field, &full)])), dial), "{field} of {most} bytes");
            assert!(ask(&with(call, &[(field, &over)])).is_not_found(), "{field} of {} bytes", most + 1);
        }
    }
}

#[test]
fn inbound_calls_are_accepted_only_from_addresses_of_the_carrier() {
    let own = sample::key().gateway_name(TRUNK, 1);
    assert!(bridges_to(&ask(&CARRIER), "user/100@tenant-a.test"));
    assert!(bridges_to(&ask(&with(&CARRIER, &[("variable_sip_gateway", &own)])), "user/100@tenant-a.test"));
    for change in [
        ("variable_sip_network_ip", "203.0.113.1"),
        ("variable_sip_network_ip", ""),
        ("variable_sip_network_ip", "198.51.100.7x"),
        ("variable_sofia_profile_name", "internal"),
        ("variable_sip_auth_username", "100"),
        ("variable_sip_gateway", "gw-of-somebody-else"),
        ("Caller-Source", "mod_loopback"),
    ] {
        assert!(ask(&with(&CARRIER, &[change])).is_not_found(), "{change:?}");
    }
}

#[test]
fn an_unassigned_number_ends_with_unallocated() {
    for number in ["+4930999999", "101", "${system(id)}"] {
        let answer = ask(&with(&CARRIER, &[("Hunt-Destination-Number", number)]));
        let actions = answer.all("action");
        assert_eq!(actions.len(), 1, "{number}");
        assert_eq!(actions[0].attribute("data"), Some("UNALLOCATED_NUMBER"), "{number}");
    }
}

#[test]
fn a_leg_with_our_signature_keeps_the_rights_of_its_call() {
    let context = TENANT_A.to_string();
    let transferred = |caller: &Caller, tenant, destination: &str| {
        let token = sign_call(&sample::key(), tenant, caller, "leg").unwrap();
        ask(&[
            ("Hunt-Context", &context),
            ("Hunt-Destination-Number", destination),
            ("variable_centrex_call", token.as_str()),
        ])
    };
    let extension = Caller::Extension("user-100".into());
    assert!(bridges_to(&transferred(&extension, TENANT_A, "101"), "user/101@tenant-a.test"));
    assert!(bridges_to(&transferred(&Caller::Outside, TENANT_A, "101"), "user/101@tenant-a.test"));
    let out = transferred(&Caller::Outside, TENANT_A, "0301234567");
    assert_eq!(out.all("action")[1].attribute("data"), Some("OUTGOING_CALL_BARRED"));
    assert!(transferred(&extension, TENANT_B, "101").is_not_found(), "another tenant's signature");
}
