//! What carriers are told, and what callers are told of where their calls go.

use centrex::plan::Target;
use centrex::resources::common::DestinationKind;
use centrex::route::Answer;
use centrex::route::token::Step;

use super::{ACME, Office};

/// Acme with other lines in its manifests.
fn acme(edits: &[(&str, &str)]) -> Office {
    let manifests = edits.iter().fold(ACME.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    Office::open(&manifests)
}

/// Acme whose first trunk has further fields.
fn first_trunk(fields: &str) -> Office {
    acme(&[("  maxConcurrentCalls: 7\n", &format!("  {fields}\n"))])
}

/// The variables of the first bridge to a carrier, in their order.
fn variables(answer: &Answer) -> Vec<String> {
    let bridge = answer.actions.iter().find(|action| action.data.contains("sofia/gateway/")).unwrap();
    let (_, list) = bridge.data.split_once("{^^;").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    list.split(';').map(str::to_owned).collect()
}

/// The variables of a call by the first trunk that say who calls.
fn identity(fields: &str) -> Vec<String> {
    let identity =
        |variable: &String| ["sip_", "origination_privacy"].iter().any(|start| variable.starts_with(start));
    variables(&first_trunk(fields).dial("alice", "030123456")).into_iter().filter(identity).collect()
}

#[test]
fn each_trunk_gets_the_identity_header_that_it_wants() {
    let asserted = ["sip_cid_type=pid", "sip_cid_suppress_privacy_none=true"];
    assert_eq!(identity("identity: PAssertedIdentity"), asserted);
    assert_eq!(identity("maxConcurrentCalls: 7"), asserted);
    assert_eq!(identity("identity: RemotePartyId"), ["sip_cid_type=rpid"]);
    assert_eq!(
        identity("identity: PPreferredIdentity"),
        ["sip_cid_type=pid", "origination_privacy=none", "sip_cid_suppress_privacy_none=true"]
    );
    assert_eq!(identity("identity: FromOnly"), ["sip_cid_type=none"]);
    assert_eq!(
        identity("identity: FromOnly\n  userPhone: true"),
        [
            "sip_cid_type=none",
            "sip_invite_params=user=phone",
            "sip_invite_to_params=user=phone",
            "sip_invite_pid_params=user=phone",
            "sip_invite_from_params=user=phone"
        ]
    );
}

#[test]
fn a_hidden_caller_is_known_to_the_carrier_alone() {
    let hidden = |identity: &str| {
        let number = "  callerId: {number: \"+493012345601\"}";
        let office = acme(&[
            ("  maxConcurrentCalls: 7\n", &format!("  identity: {identity}\n  userPhone: true\n")),
            (number, "  callerId: {number: \"+493012345601\", privacy: Id}"),
        ]);
        let answer = office.dial("alice", "030123456");
        let said = office.said(&answer);
        // The number itself is what the carrier bills by.
        assert!(said.contains(&"set effective_caller_id_number=+493012345601".to_owned()), "{said:#?}");
        let variables = variables(&answer);
        assert!(variables.contains(&"sip_from_display=Anonymous".to_owned()), "{variables:#?}");
        assert!(variables.contains(&"sip_from_uri=anonymous@anonymous.invalid".to_owned()), "{variables:#?}");
        assert!(!variables.iter().any(|variable| variable.starts_with("sip_invite_from")), "{variables:#?}");
        // An emergency call shows its number.
        let emergency = office.said(&office.dial("alice", "112")).concat();
        assert!(!emergency.contains("nonymous") && !emergency.contains("hide"), "{emergency}");
        variables
    };
    let has = |variables: &[String], wanted: &str| variables.iter().any(|variable| variable == wanted);
    let asserted = hidden("PAssertedIdentity");
    assert!(has(&asserted, "origination_privacy=screen+hide_name+hide_number"), "{asserted:#?}");
    assert!(!has(&asserted, "sip_cid_suppress_privacy_none=true"), "{asserted:#?}");
    assert!(has(&hidden("RemotePartyId"), "origination_privacy=screen+hide_name+hide_number"));
    assert!(has(&hidden("PPreferredIdentity"), "origination_privacy=hide_name+hide_number"));
    assert!(has(&hidden("FromOnly"), "sip_h_Privacy=id"));
    // A route shows what its callers hide.
    let office = acme(&[
        (
            "callerId: {name: Acme, number: \"+493012345600\"}",
            "callerId: {name: Acme, number: \"+493012345600\", privacy: Id}",
        ),
        ("  callerId: {number: \"+493012345601\"}", "  callerId: {number: \"+493012345601\", privacy: None}"),
    ]);
    assert!(!has(&variables(&office.dial("alice", "030123456")), "sip_from_display=Anonymous"));
    assert!(has(&variables(&office.dial("carol", "030123456")), "sip_from_display=Anonymous"));
}

#[test]
fn a_caller_from_outside_who_is_hidden_rings_as_anonymous() {
    let office = Office::acme();
    let number = "+493012345602";
    let (_, row) = office.view.public_number(number).unwrap();
    let call = centrex::route::Call { is_caller_hidden: true, ..office.call("outside") };
    let said = office.said(&call.inbound(&row.trunk, number).unwrap());
    assert!(said.contains(&"set effective_caller_id_name=Anonymous".to_owned()), "{said:#?}");
    assert!(said.contains(&"set effective_caller_id_number=anonymous".to_owned()), "{said:#?}");
    assert!(!said.concat().contains("+33123"), "{said:#?}");
}

#[test]
fn the_caller_learns_the_number_that_it_called_and_no_other() {
    let mut office = acme(&[(
        "  forwarding: {noAnswer: {kind: Voicemail, name: alice}}",
        "  forwarding: {noAnswer: {kind: ExternalNumber, number: \"+4917012345678\"}}",
    )]);
    let told = |answer: &Answer| {
        let told = |variable: &String| variable.starts_with("origination_callee_id_");
        variables(answer).into_iter().filter(told).collect::<Vec<_>>()
    };
    let called = ["origination_callee_id_name=30111", "origination_callee_id_number=30111"];
    assert_eq!(told(&office.dial("alice", "030123456")), called);
    assert_eq!(told(&office.dial("alice", "112")), called);
    // Erik does not answer, and his mobile is tried: the caller learns what it called.
    let answer = office.after("erik", "NO_ANSWER");
    assert!(answer.actions.iter().any(|action| action.data.ends_with("17012345678")), "{answer:#?}");
    assert_eq!(told(&answer), called);
    // Text that is no number is not passed on, and no other number is sent in its place.
    let step = office.step(Step::After, DestinationKind::Extension, "erik");
    let call = centrex::route::Call { called: "sales;x".into(), ..office.call("outside") };
    let unknown = ["origination_callee_id_name=unknown", "origination_callee_id_number=unknown"];
    assert_eq!(told(&call.dialled(&step)), unknown);
}

#[test]
fn calls_to_a_trunk_are_limited_per_second_too() {
    let both = first_trunk("maxConcurrentCalls: 7\n  maxCallsPerSecond: 3");
    let rate = first_trunk("maxCallsPerSecond: 3");
    let limits = |office: &Office, number: &str| {
        let said = office.said(&office.dial("alice", number));
        let bridge = said.into_iter().find(|action| action.contains("sofia/gateway/acme/first#0")).unwrap();
        bridge.split_once('{').unwrap().0.to_owned()
    };
    assert_eq!(
        limits(&both, "030123456"),
        "limit_execute hash acme/first rate 3/1 limit_execute hash acme/first calls 7 bridge "
    );
    assert_eq!(limits(&rate, "030123456"), "limit_execute hash acme/first rate 3/1 bridge ");
    assert_eq!(limits(&both, "112"), "bridge ");
}

#[test]
fn a_trunk_with_a_password_answers_challenges_with_its_own() {
    let office = first_trunk("credentials: {username: acct, secretRef: {name: sip}}");
    let gateway = office.key.gateway_name(office.platform.trunks["acme/first"].id, 0);
    assert!(variables(&office.dial("alice", "030123456")).contains(&format!("sip_use_gateway={gateway}")));
    let without = variables(&Office::acme().dial("alice", "030123456")).concat();
    assert!(!without.contains("sip_use_gateway"), "{without}");
}

const BLOCK: &str = "
---
apiVersion: centrex.dev/v1alpha1
kind: Number
metadata: {name: block, namespace: acme}
spec:
  tenantRef: {name: acme}
  number: \"+493099887\"
  range: {first: \"00\", last: \"09\"}
  internalNumber: {lastDigits: 2, prepend: \"10\"}
  trunkRef: {name: first}
  destination: {kind: IvrMenu, name: welcome}
---
apiVersion: centrex.dev/v1alpha1
kind: Number
metadata: {name: own, namespace: acme}
spec: {tenantRef: {name: acme}, number: \"+49309988704\", trunkRef: {name: first}, destination: {kind: Extension, name: bob}}
";

#[test]
fn the_last_digits_of_a_block_are_an_extension() {
    let office = Office::open(&format!("{ACME}{BLOCK}"));
    let target = |number: &str| {
        let (name, row) = office.view.inbound_number("acme/first", number)?;
        let Target { kind, name: to } = office.view.number_target(row, number);
        Some(format!("{name}: {kind:?} {to}"))
    };
    assert_eq!(target("+49309988701").as_deref(), Some("block: Extension alice"));
    assert_eq!(target("+49309988702").as_deref(), Some("block: Extension bob"));
    assert_eq!(target("+49309988704").as_deref(), Some("own: Extension bob"), "one of its own comes first");
    assert_eq!(target("+49309988709"), Some("block: IvrMenu welcome".to_owned()), "no extension is 1009");
    for outside in ["+49309988710", "+4930998870", "+493099887001", "+493099887"] {
        assert_eq!(target(outside), None, "{outside}");
    }
    assert_eq!(office.comes_in("+49309988702").rule, "Number.block");
    // Dialled inside, and as a destination, it stays inside.
    assert_eq!(office.dial("alice", "+49309988702").rule, "Extension.bob");
    // Bob's own number comes before the one that he has in the block.
    assert_eq!(office.view.direct_number("alice"), Some("+49309988701"));
    assert_eq!(office.view.direct_number("dora"), Some("+49309988705"));
}

#[test]
fn an_extension_shows_its_own_number_if_it_has_one() {
    let manifests = ACME
        .replace("callerId: {name: Acme, number", "callerId: {name: Acme, direct: true, number")
        .replace("  callerId: {number: \"+493012345601\"}\n", "");
    let office = Office::open(&format!("{manifests}{BLOCK}"));
    let shown = |caller: &str| {
        let said = office.said(&office.dial(caller, "030123456"));
        let shown = said.iter().find_map(|action| action.strip_prefix("set effective_caller_id_number=+"));
        shown.map(|number| format!("+{number}")).unwrap()
    };
    assert_eq!(shown("carol"), "+49309988703");
    assert_eq!(Office::open(&manifests).view.direct_number("carol"), None);
}
