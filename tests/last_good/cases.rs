//! Single mistakes in a system that was valid.

use centrex::compile::KeptPart;
use centrex::plan::SecretName;
use centrex::plan::Target;
use centrex::resources::common::{DestinationKind, Recording};
use serde_json::{Value, json};

use super::System;

const MAIN: &str = "Number acme/main";
const ALICE: &str = "Extension acme/alice";
const BOB: &str = "Extension acme/bob";
const DESTINATION: &str = "/spec/destination/name";

fn nobody() -> Value {
    json!("nobody")
}

#[test]
fn a_number_with_a_missing_destination_keeps_its_previous_one() {
    let mut system = System::new();
    system.set(MAIN, DESTINATION, nobody()).apply();
    assert_eq!(system.main().as_deref(), Some("Schedule hours"));
    assert_eq!(system.problems_of(MAIN), ["spec.destination: RefNotFound"]);
    assert_eq!(system.stays(MAIN), Some(&KeptPart::Whole(Some(7))));
    assert_eq!(system.problems.len(), 1, "the RoutingTest checks the rows in force: {:?}", system.problems);

    // Another mistake keeps the same row. A correction ends that.
    system.set(MAIN, "/spec/trunkRef/name", nobody()).apply();
    assert_eq!(system.stays(MAIN), Some(&KeptPart::Whole(Some(7))));
    system.set(MAIN, "/spec/trunkRef/name", json!("carrier"));
    system.set(MAIN, "/spec/destination", json!({"kind": "Queue", "name": "support"})).apply();
    assert_eq!((system.main().as_deref(), system.stays(MAIN)), (Some("Queue support"), None));
    system.set(MAIN, DESTINATION, nobody()).apply();
    assert_eq!(system.main().as_deref(), Some("Queue support"), "the last valid destination");
}

#[test]
fn rows_that_led_to_a_deleted_resource_are_removed() {
    let mut system = System::new();
    system.remove("IvrMenu acme/welcome").apply();
    assert_eq!(system.problems_of("Schedule acme/hours"), ["spec.open: RefNotFound"]);
    assert_eq!(system.main(), None);
    assert!(system.plan().schedules.is_empty() && system.kept.is_empty(), "{:?}", system.kept);

    // The same after a patch to a missing destination.
    let mut system = System::new();
    system.set(MAIN, DESTINATION, nobody()).apply();
    assert!(system.main().is_some());
    system.remove("Schedule acme/hours").apply();
    assert_eq!(system.main(), None);
    assert_eq!(system.stays(MAIN), None);
}

#[test]
fn restored_rows_can_be_destinations() {
    // The schedule is refused, and its number, which leads to it, is right.
    let mut system = System::new();
    system.set("Schedule acme/hours", "/spec/timeZone", json!("Mars/Olympus_Mons")).apply();
    assert_eq!(system.problems_of("Schedule acme/hours"), ["spec.timeZone: InvalidValue"]);
    assert_eq!(system.problems.len(), 1, "{:?}", system.problems);
    assert_eq!(system.main().as_deref(), Some("Schedule hours"));
    assert_eq!(system.stays("Schedule acme/hours"), Some(&KeptPart::Whole(None)));

    // Alice takes Bob's number: she keeps her old one, and her places in groups and queues.
    let mut system = System::new();
    system.set(BOB, "/metadata/creationTimestamp", json!("2019-01-01T00:00:00Z"));
    system.set(ALICE, "/spec/number", json!("1002")).apply();
    assert_eq!(system.problems_of(ALICE), ["spec.number: Conflict"]);
    assert_eq!(system.problems.len(), 1, "{:?}", system.problems);
    let plan = system.plan();
    assert_eq!(plan.extensions["alice"].number, "1001");
    assert_eq!(plan.ring_groups["sales"].members.len(), 2);
    assert_eq!(plan.queues["support"].agents.len(), 1);

    // Another resource claims the number: her row is removed, and the links to it.
    system.set("RingGroup acme/sales", "/spec/number", json!("1001")).apply();
    let plan = system.plan();
    assert!(!plan.extensions.contains_key("alice"));
    assert_eq!(plan.ring_groups["sales"].number.as_deref(), Some("1001"));
    assert_eq!(plan.ring_groups["sales"].members.len(), 1);
    assert!(plan.queues["support"].agents.is_empty());
}

#[test]
fn an_unusable_password_keeps_the_row_and_a_removed_one_does_not() {
    let password = |system: &System| {
        system.plan().extensions["alice"].secrets.get(SecretName::Password).map(str::to_owned)
    };
    for (value, held) in [
        (json!("short"), Some("alice-password-1")),
        (json!("alice-password-2"), Some("alice-password-2")),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let mut system = System::new();
        system.set("Secret acme/alice-sip", "/stringData/password", value.clone()).apply();
        assert_eq!(password(&system).as_deref(), held, "{value}");
        let stays = KeptPart::Fields(vec!["spec.credentials.secretRef".to_owned()]);
        assert_eq!(system.stays(ALICE), Some(&stays).filter(|_| value == json!("short")), "{value}");
        // A withdrawn right does not come back by a mistake.
        system.set("Secret acme/alice-sip", "/stringData/password", json!("short")).apply();
        assert_eq!(password(&system).as_deref(), held, "{value}, and short after it");
    }
    let mut system = System::new();
    system.remove("Secret acme/alice-sip").apply();
    let row = &system.plan().extensions["alice"];
    assert!(row.secrets.is_empty() && row.voicemail.as_ref().unwrap().asks_pin);
}

#[test]
fn an_unusable_pin_keeps_the_row_and_a_removed_one_does_not() {
    let standup = |system: &System| {
        let row = system.plan().conferences.get("standup")?;
        Some(row.secrets.get(SecretName::Pin).map(str::to_owned))
    };
    for (value, held) in [
        (json!("12"), Some(Some("2222".to_owned()))),
        (json!("4444"), Some(Some("4444".to_owned()))),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let mut system = System::new();
        system.set("Secret acme/door", "/stringData/pin", value.clone()).apply();
        assert_eq!(standup(&system), held, "{value}");
    }
    // A room without a PIN does not stay open once a PIN is configured.
    let mut system = System::new();
    let room = "Conference acme/standup";
    system.set(room, "/spec/pinSecretRef", Value::Null).apply();
    assert_eq!(standup(&system), Some(None));
    system.set(room, "/spec/pinSecretRef", json!({"name": "spare", "key": "short"})).apply();
    assert_eq!(system.problems_of(room), ["spec.pinSecretRef: InvalidSecret"]);
    assert_eq!(standup(&system), None);
}

#[test]
fn withdrawn_rights_end_in_spite_of_other_problems() {
    let taken = json!("1002");
    let mut system = System::new();
    system.set(BOB, "/metadata/creationTimestamp", json!("2019-01-01T00:00:00Z"));
    system.set(ALICE, "/spec/number", taken.clone());
    system.set(ALICE, "/spec/tollClasses", json!(["Local", "International"]));
    system.set(ALICE, "/spec/recording", Value::Null);
    system.set("Secret acme/alice-sip", "/stringData/password", json!("alice-password-2")).apply();
    let row = &system.plan().extensions["alice"];
    assert_eq!((row.number.as_str(), row.recording), ("1001", Recording::Never));
    assert_eq!(row.toll_classes, ["Local"]);
    assert_eq!(row.secrets.get(SecretName::Password), Some("alice-password-2"));
    system.remove("Secret acme/alice-sip").apply();
    assert!(system.plan().extensions["alice"].secrets.get(SecretName::Password).is_none());

    // The route's new toll class applies to its previous matches.
    let route = "OutboundRoute acme/national";
    system.set(route, "/spec/tollClass", json!("National"));
    system.set(route, "/spec/trunks/0/name", nobody()).apply();
    assert_eq!(system.problems_of(route), ["spec.trunks[0]: RefNotFound"]);
    assert_eq!(system.plan().outbound_routes["national"].toll_class.as_deref(), Some("National"));

    // The trunk is shared with no namespace any more.
    let carrier = "Trunk carriers/carrier";
    system.set(carrier, "/spec/allowedNamespaces/from", json!("Same")).apply();
    assert_eq!(system.problems_of(MAIN), ["spec.trunkRef: RefNotPermitted"]);
    assert!(system.main().is_none() && system.plan().outbound_routes.is_empty());
}

#[test]
fn limits_apply_to_restored_rows_too() {
    let mut system = System::new();
    system.set("TenantProfile standard", "/spec/maxExtensions", json!(2)).apply();
    assert!(system.problems.is_empty());
    system.set(ALICE, "/spec/number", json!("112")).apply();
    assert_eq!(system.problems_of(ALICE), ["spec.number: EmergencyShadowed"]);
    assert_eq!(system.plan().extensions.len(), 2, "hers stays");
    // The restored row does not exceed the limit: an accepted resource gets its place.
    system.add("Extension", "carol", json!({"tenantRef": {"name": "acme"}, "number": "1003"})).apply();
    let names: Vec<&String> = system.plan().extensions.keys().collect();
    assert_eq!(names, ["bob", "carol"]);

    let mut system = System::new();
    system.set("TenantProfile standard", "/spec/maxExtensions", json!(1)).apply();
    assert_eq!(system.problems_of(BOB), ["metadata.name: LimitExceeded"]);
    assert_eq!(system.plan().extensions.len(), 1);
}

#[test]
fn fields_that_name_a_missing_resource_keep_their_values() {
    let mut system = System::new();
    system.set(ALICE, "/spec/forwarding/noAnswer", json!({"kind": "Queue", "name": "nobody"}));
    system.set(ALICE, "/spec/displayName", json!("Alice"));
    system.set("IvrMenu acme/welcome", "/spec/options/0/destination/name", nobody());
    system.set("Queue acme/support", "/spec/overflow/name", nobody()).apply();
    let plan = system.plan();
    let to = |kind, name: &str| Some(Target { kind, name: name.to_owned() });
    let alice = &plan.extensions["alice"];
    assert_eq!(alice.forwarding.no_answer, to(DestinationKind::Voicemail, "alice"));
    assert_eq!(alice.display_name, "Alice", "the valid fields follow the spec");
    assert_eq!(plan.ivr_menus["welcome"].options.len(), 2);
    assert_eq!(plan.queues["support"].overflow, to(DestinationKind::RingGroup, "sales"));
    let fields = |field: &str| KeptPart::Fields(vec![field.to_owned()]);
    assert_eq!(system.stays(ALICE), Some(&fields("spec.forwarding.noAnswer")));
    assert_eq!(system.stays("IvrMenu acme/welcome"), Some(&fields("spec.options[0].destination")));

    // The field is cleared once its previous destination is deleted, too.
    system.remove("RingGroup acme/sales").apply();
    let plan = system.plan();
    assert_eq!((plan.ivr_menus["welcome"].options.len(), &plan.queues["support"].overflow), (1, &None));
    assert_eq!(system.stays("IvrMenu acme/welcome"), None);
}

#[test]
fn restored_rows_close_no_loop() {
    let mut system = System::new();
    let group = "RingGroup acme/sales";
    system.set("Queue acme/support", "/spec/overflow/name", nobody()).apply();
    assert!(system.plan().queues["support"].overflow.is_some());
    system.set(group, "/spec/noAnswer", json!({"kind": "Queue", "name": "support"})).apply();
    assert!(system.plan().ring_groups["sales"].no_answer.is_some(), "the link is valid");
    assert_eq!(system.plan().queues["support"].overflow, None);

    // The schedule leads back to the number: the number's row is removed, because its destination is required.
    let mut system = System::new();
    system.set(MAIN, DESTINATION, nobody()).apply();
    let round = json!({"kind": "ExternalNumber", "number": "+493023125000"});
    system.set("Schedule acme/hours", "/spec/closed", round).apply();
    assert_eq!(system.main(), None);
}

#[test]
fn a_row_that_shadows_an_emergency_number_is_not_restored() {
    let mut system = System::new();
    system.set(BOB, "/metadata/creationTimestamp", json!("2019-01-01T00:00:00Z"));
    system.set(ALICE, "/spec/number", json!("1002")).apply();
    assert!(system.plan().extensions.contains_key("alice"));
    let tenant = "Tenant acme/acme";
    system.set(tenant, "/spec/emergency/numbers", json!(["112", "1001"])).apply();
    assert!(!system.plan().extensions.contains_key("alice"));
    // A route that matches one takes none of its calls.
    let route = "OutboundRoute acme/national";
    system.set(route, "/spec/match/0", json!({"prefix": "11", "minDigits": 3, "maxDigits": 13})).apply();
    assert_eq!(system.problems_of(route), ["spec.match[0].prefix: EmergencyShadowed"]);
    assert_eq!(system.plan().outbound_routes["national"].matches[0].prefix.as_deref(), Some("11"));
}

#[test]
fn a_number_given_up_or_lost_is_removed() {
    for number in ["+493023125001", "+493023125000"] {
        let mut system = System::new();
        let spec = json!({"tenantRef": {"name": "acme"}, "number": number,
            "trunkRef": {"name": "carrier", "namespace": "carriers"}, "destination": {"kind": "Extension", "name": "bob"}});
        system.add("Number", "older", spec);
        system.set("Number acme/older", "/metadata/creationTimestamp", json!("2019-01-01T00:00:00Z"));
        system.set(MAIN, "/spec/number", json!(number)).apply();
        assert_eq!(system.problems_of(MAIN), ["spec.number: Conflict"]);
        assert_eq!(system.main(), None);
        assert_eq!(system.plan().numbers.len(), 1);
    }
}

#[test]
fn a_recreated_resource_keeps_nothing_of_its_predecessor() {
    let mut system = System::new();
    system.set(ALICE, "/metadata/uid", json!("11111111-2222-5333-8444-555555555555"));
    system.set("Secret acme/alice-sip", "/stringData/password", json!("short")).apply();
    assert_eq!(system.plan().extensions["alice"].secrets.get(SecretName::Password), None);
}

#[test]
fn a_refused_code_keeps_its_row_until_another_code_overlaps() {
    let mut system = System::new();
    let code = "FeatureCode acme/voicemail";
    system.add(
        "FeatureCode",
        "older",
        json!({"tenantRef": {"name": "acme"}, "code": "*98", "action": "CheckVoicemail"}),
    );
    system.set("FeatureCode acme/older", "/metadata/creationTimestamp", json!("2019-01-01T00:00:00Z"));
    system.set(code, "/spec/code", json!("*98")).apply();
    assert_eq!(system.problems_of(code), ["spec.code: Conflict"]);
    assert_eq!(system.plan().feature_codes["voicemail"].code, "*97");
    system.set("FeatureCode acme/older", "/spec/code", json!("*97"));
    system.set(code, "/spec/code", json!("*97")).apply();
    assert_eq!(system.plan().feature_codes.keys().collect::<Vec<_>>(), ["older"]);
}
