//! Emergency calls: before all other rules, without limits, and by every available trunk.

use std::path::Path;

use centrex::route::TenantView;

use super::{ACME, Office, assert_body};

/// Actions of an emergency call of a tenant that may use both trunks, in the order of `trunks`.
fn expected(trunks: [&str; 2]) -> String {
    let way = |trunk: &str, first: bool| {
        match trunk {
        "first" => {
            let seconds = if first { 6 } else { 8 };
            format!(
                "set effective_caller_id_number=+493012345600
                 bridge {{^^;outbound_redirect_fatal=true;leg_progress_timeout={seconds}}}sofia/gateway/acme/first#0/112
                 bridge {{^^;outbound_redirect_fatal=true;leg_progress_timeout={seconds}}}sofia/gateway/acme/first#1/112\n"
            )
        }
        _ => "set effective_caller_id_number=03012345600
              bridge {^^;outbound_redirect_fatal=true;leg_progress_timeout=3;absolute_codec_string=PCMA,PCMU}sofia/gateway/acme/second#0/112\n"
            .to_owned(),
    }
    };
    let round = |first| trunks.map(|trunk| way(trunk, first)).concat();
    format!(
        "set effective_caller_id_name=+493012345600
         set call_timeout=120
         set continue_on_fail=true
         set ringback=%(1000,4000,425)
         {}sleep 2000
         {}sleep 4000
         {}set last_bridge_proto_specific_hangup_cause=
         hangup NORMAL_TEMPORARY_FAILURE",
        round(true),
        round(false),
        round(false)
    )
}

/// Acme with another emergency trunk, or without a route.
fn acme(edits: &[(&str, &str)]) -> Office {
    let manifests = edits.iter().fold(ACME.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    Office::open(&manifests)
}

#[test]
fn emergency_calls_are_first_and_unlimited() {
    let office = Office::acme();
    // The platform's rule blocks every number that the tenant's own plan does not know, before the tenant's
    // plan.
    let blocked = acme(&[("match: [{prefix: \"0190\"}]", "match: [{}]")]);
    assert_eq!(blocked.dial("alice", "1002").rule, "Refused.Blocked");
    for office in [&office, &blocked] {
        let answer = office.dial("bob", "112");
        assert_eq!(answer.rule, "Emergency");
        let said = office.said(&answer);
        for forbidden in ["limit", "sched_hangup"] {
            assert!(!said.iter().any(|action| action.starts_with(forbidden)), "{said:#?}");
        }
        assert_body(office, &answer, &expected(["first", "second"]));
    }
}

#[test]
fn an_emergency_call_tries_the_emergency_trunk_before_any_route() {
    let second = ("trunkRef: {name: first}}", "trunkRef: {name: second}}");
    let office = acme(&[second]);
    assert_body(&office, &office.dial("bob", "112"), &expected(["second", "first"]));
}

#[test]
fn the_only_gateway_has_the_whole_timeout() {
    let mut office = Office::acme();
    office.platform.trunks.retain(|name, _| name == "acme/first");
    office.platform.trunks.get_mut("acme/first").unwrap().gateways.truncate(1);
    let said = office.body(&office.dial("bob", "112"));
    let bridges: Vec<_> = said.iter().filter(|action| action.starts_with("bridge")).collect();
    assert_eq!(bridges.len(), 3, "{said:#?}");
    assert!(bridges.iter().all(|bridge| bridge.contains("leg_progress_timeout=8")), "{bridges:#?}");
}

#[test]
fn digit_edits_that_produce_an_emergency_number_make_an_emergency_call() {
    // Nine for an outside line, as in many offices, and a toll class that Bob does not have.
    let nine = ACME.replace("match: [{prefix: \"118\", maxDigits: 6}]", "match: [{prefix: \"8\", strip: 1}]");
    let office = Office::open(&nine.replacen(
        "kind: OutboundRoute\n",
        "kind: OutboundRoute\nmetadata: {name: nine, namespace: acme}\nspec: {tenantRef: {name: acme}, priority: 1, \
         match: [{prefix: \"9\", strip: 1}], tollClass: Nobody, trunks: [{name: second}]}\n---\n\
         apiVersion: centrex.dev/v1alpha1\nkind: OutboundRoute\n",
        1,
    ));
    assert_eq!(office.dial("bob", "9030123456").rule, "Refused.TollClass");
    for dialled in ["9112", "8112"] {
        let answer = office.dial("bob", dialled);
        assert_eq!(answer.rule, "Emergency", "{dialled}");
        let said = office.body(&answer);
        assert!(said.iter().any(|action| action.ends_with("sofia/gateway/acme/first#0/112")), "{said:#?}");
        assert!(!said.iter().any(|action| action.starts_with("limit")), "{said:#?}");
    }
}

#[test]
fn an_emergency_number_works_while_its_trunk_is_missing() {
    let mut office = Office::acme();
    office.view.plan.tenant.emergency.as_mut().unwrap().trunk = None;
    let answer = office.dial("bob", "112");
    assert_eq!(answer.rule, "Emergency");
    let bridges = office.body(&answer).into_iter().filter(|action| action.starts_with("bridge")).count();
    // By every other trunk, three times.
    assert_eq!(bridges, 3, "{:#?}", office.body(&answer));
    office.view.plan.tenant.emergency.as_mut().unwrap().others.clear();
    let office = Office { view: TenantView::new(office.view.plan), ..office };
    assert_eq!(office.body(&office.dial("bob", "112")), ["hangup NORMAL_TEMPORARY_FAILURE"]);
}

/// Manifests of a golden case.
fn golden(case: &str) -> String {
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case).join("input.yaml");
    std::fs::read_to_string(input).unwrap()
}

/// The number by which an emergency call leaves first, and the number that is shown.
#[track_caller]
fn leaves(office: &Office, caller: &str, dialled: &str) -> (String, String) {
    let answer = office.dial(caller, dialled);
    assert_eq!(answer.rule, "Emergency", "{dialled}");
    let said = office.body(&answer);
    let after = |prefix: &str| said.iter().find_map(|action| Some(action.split_once(prefix)?.1.to_owned()));
    let number = after("sofia/gateway/carriers/main#0/").unwrap_or_else(|| panic!("{said:#?}"));
    (number, after("effective_caller_id_number=").unwrap_or_default())
}

#[test]
fn a_route_for_an_outside_line_stays_beside_emergency_numbers() {
    let office = Office::open(&golden("outbound-route-for-an-outside-line"));
    for dialled in ["911", "9911", "933", "9933", "112", "9112"] {
        let number = dialled.strip_prefix('9').filter(|rest| rest.len() == 3).unwrap_or(dialled);
        assert_eq!(leaves(&office, "desk", dialled), (number.to_owned(), "+12125550100".to_owned()));
    }
    let answer = office.dial("desk", "912125550123");
    assert_eq!(answer.rule, "Out.outside-line");
    assert!(office.body(&answer).iter().any(|action| action.ends_with("/12125550123")));

    let office = Office::open(&golden("outbound-route-before-british-emergency-numbers"));
    for (dialled, rule) in
        [("112", "Emergency"), ("999", "Emergency"), ("101", "Out.services"), ("118500", "Out.services")]
    {
        assert_eq!(office.dial("desk", dialled).rule, rule, "{dialled}");
    }
}

#[test]
fn no_route_rewrites_an_emergency_number_of_the_country() {
    let office = Office::open(&golden("tenant-without-emergency-numbers"));
    for (dialled, number) in [("911", "911"), ("112", "112"), ("9911", "911"), ("9112", "112")] {
        assert_eq!(leaves(&office, "desk", dialled).0, number, "{dialled}");
    }
    // 933 is none: a test number of one carrier.
    assert!(office.body(&office.dial("desk", "933")).iter().any(|action| action.ends_with("/33")));
    let office = Office::open(&golden("tenant-without-emergency-numbers-and-country"));
    assert_eq!(leaves(&office, "desk", "911").0, "911");
    assert_eq!(office.dial("desk", "999").rule, "Out.all");
    // An internal number is what the tenant says, until it lists the number.
    let office = Office::open(&golden("extension-number-is-an-emergency-number-of-the-country"));
    assert_eq!(office.dial("desk", "101").rule, "Extension.desk");
    assert_eq!(leaves(&office, "desk", "102").0, "102");
}

#[test]
fn a_rule_of_the_platform_rewrites_no_emergency_number_either() {
    let rule = "---\napiVersion: centrex.dev/v1alpha1\nkind: DialRule\nmetadata: {name: out}\nspec: {phase: PHASE, \
                priority: 1, match: [{prefix: \"9\", strip: 1}], action: {kind: Route, trunks: [{name: main, \
                namespace: carriers}]}}\n";
    let manifests = golden("tenant-without-emergency-numbers");
    let (without_route, _) = manifests.rsplit_once("---\n").unwrap();
    // The tenant may use no trunk of its own.
    for phase in ["Before", "After"] {
        let office = Office::open(&format!("{without_route}{}", rule.replace("PHASE", phase)));
        let answer = office.dial("desk", "911");
        assert!(office.body(&answer).iter().any(|action| action.ends_with("/911")), "{answer:#?}");
    }
}

#[test]
fn the_number_of_the_callers_location_is_shown() {
    // What is wrong in the golden case is left out of it here.
    let manifests = golden("tenant-emergency-locations").replace(", {name: nobody}", "");
    let manifests =
        manifests.replace("emergencyLocationRef: {name: paris}", "emergencyLocationRef: {name: hq}");
    let office = Office::open(&manifests);
    let shown = |caller| leaves(&office, caller, "911").1;
    // The place of the Device that calls comes before its extension's, and counts for its own calls only.
    let device = office.view.plan.devices.get_key_value("phone").map(|(name, row)| (name.as_str(), row));
    assert!(device.is_some());
    let by_device = centrex::route::Call { device, ..office.call("boston") }.dialled("911");
    assert_eq!(by_device.emergency.unwrap().shown.as_deref(), Some("+12125550101"));
    assert_eq!([shown("boston"), shown("reception")], ["+16175550100", "+12125550101"]);
    let call = office.dial("boston", "911").emergency.unwrap();
    assert_eq!(call.location.as_deref(), Some("boston"));
    let bare = manifests.replace("    defaultLocationRef: {name: hq}\n", "");
    assert_eq!(leaves(&Office::open(&bare), "reception", "911").1, "+12125550100");
}

#[test]
fn a_suspended_tenant_makes_emergency_calls_only() {
    let mut office = Office::open(&golden("outbound-route-for-an-outside-line"));
    office.view.plan.tenant.suspended = true;
    assert_eq!(leaves(&office, "desk", "9911").0, "911");
    for dialled in ["201", "912125550123"] {
        let answer = office.dial("desk", dialled);
        assert_eq!(answer.rule, "Refused.Suspended", "{dialled}");
        assert_eq!(office.body(&answer), ["hangup OUTGOING_CALL_BARRED"]);
    }
}

#[test]
fn neither_an_own_number_nor_a_sign_behind_it_hides_an_emergency_number() {
    let manifests = golden("tenant-without-emergency-numbers");
    let steal = "---\napiVersion: centrex.dev/v1alpha1\nkind: Number\nmetadata: {name: steal, namespace: office}\n\
                 spec: {tenantRef: {name: office}, number: \"+1911911\", trunkRef: {name: main, namespace: carriers}, \
                 destination: {kind: Extension, name: desk}}\n";
    let office = Office::open(&format!("{manifests}{steal}"));
    for dialled in ["911#", "9911", "112#"] {
        leaves(&office, "desk", dialled);
    }
}
