//! Emergency calls: before all other rules, without limits, and by every available trunk.

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
