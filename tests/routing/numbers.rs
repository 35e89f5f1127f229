//! Numbers as people dial them and carriers send them, through compile and dialplan.

use super::Office;

/// A tenant of a country with these routes, behind a carrier in E.164 and one in the national format of its country.
fn office(country: &str, number: &str, routes: &str, more: &str) -> Office {
    Office::open(&format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: carriers}}
---
apiVersion: centrex.dev/v1alpha1
kind: SipProfile
metadata: {{name: external}}
spec: {{role: Trunks, sipPort: 5080, codecs: [PCMA]}}
---
apiVersion: centrex.dev/v1alpha1
kind: Trunk
metadata: {{name: e164, namespace: carriers, uid: 0a0a0a0a-0000-4000-8000-000000000001}}
spec: {{sipProfileRef: {{name: external}}, gateways: [{{host: 198.51.100.10}}], allowedNamespaces: {{from: All}}}}
---
apiVersion: centrex.dev/v1alpha1
kind: Trunk
metadata: {{name: national, namespace: carriers, uid: 0a0a0a0a-0000-4000-8000-000000000002}}
spec:
  sipProfileRef: {{name: external}}
  gateways: [{{host: 203.0.113.61}}]
  numberFormat: National
  country: {country}
  allowedNamespaces: {{from: All}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: office}}
---
apiVersion: v1
kind: Secret
metadata: {{name: sip, namespace: office}}
stringData: {{password: for-all-of-them}}
---
apiVersion: centrex.dev/v1alpha1
kind: Tenant
metadata: {{name: office, namespace: office, uid: 0a0a0a0a-0000-4000-8000-000000000003}}
spec: {{domains: [office.example.com], country: {country}}}
---
apiVersion: centrex.dev/v1alpha1
kind: Extension
metadata: {{name: desk, namespace: office}}
spec:
  tenantRef: {{name: office}}
  number: "301"
  credentials: {{secretRef: {{name: sip}}}}
  tollClasses: [National]
---
apiVersion: centrex.dev/v1alpha1
kind: Extension
metadata: {{name: boss, namespace: office}}
spec:
  tenantRef: {{name: office}}
  number: "302"
  credentials: {{secretRef: {{name: sip}}}}
  tollClasses: [National, International]
  countriesAbroad: [AT, CH]
---
apiVersion: centrex.dev/v1alpha1
kind: Number
metadata: {{name: main, namespace: office}}
spec:
  tenantRef: {{name: office}}
  number: "{number}"
  trunkRef: {{name: national, namespace: carriers}}
  destination: {{kind: Extension, name: desk}}
---
{routes}
{more}
"#
    ))
}

fn route(name: &str, priority: i32, class: &str, matches: &str, trunk: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!("tollClass: {class}, ") };
    format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: OutboundRoute\nmetadata: {{name: {name}, namespace: office}}\n\
         spec: {{tenantRef: {{name: office}}, priority: {priority}, {class}match: [{matches}], \
         trunks: [{{name: {trunk}, namespace: carriers}}]}}\n---\n"
    )
}

fn block(matches: &str) -> String {
    format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: DialRule\nmetadata: {{name: block}}\n\
         spec: {{phase: Before, priority: 1, match: [{matches}], action: {{kind: Block}}}}\n"
    )
}

/// What the carrier is sent, or why the call ends.
fn outcome(office: &Office, caller: &str, dialled: &str) -> String {
    let said = office.said(&office.dial(caller, dialled));
    let bridge = said.iter().find(|action| action.contains("sofia/gateway/"));
    let number = bridge.and_then(|action| action.rsplit('/').next()).map(str::to_owned);
    number.unwrap_or_else(|| said.last().cloned().unwrap_or_default())
}

#[test]
fn a_block_of_premium_numbers_holds_for_every_spelling() {
    let all = route(
        "all",
        10,
        "",
        r#"{prefix: "+"}, {prefix: "0011", strip: 4, prepend: "+"}, {prefix: "19"}"#,
        "e164",
    );
    for rule in
        [r#"{prefix: "190"}"#, "{numberTypes: [PremiumRate]}", r#"{prefix: "+61190"}"#, r#"{prefix: "0190"}"#]
    {
        let office = office("AU", "+61355501234", &all, &block(rule));
        for premium in ["1902555123", "+611902555123", "0011611902555123", "01902555123", "611902555123"] {
            assert_eq!(outcome(&office, "desk", premium), "hangup CALL_REJECTED", "{premium} by {rule}");
        }
        assert_eq!(outcome(&office, "desk", "+61355509876"), "+61355509876", "{rule}");
    }
}

#[test]
fn a_block_of_short_numbers_holds_with_the_country_code() {
    let all = route(
        "all",
        10,
        "",
        r#"{prefix: "+"}, {prefix: "00", strip: 2, prepend: "+"}, {prefix: "1"}"#,
        "e164",
    );
    let office = office("DE", "+493023125100", &all, &block(r#"{prefix: "118", maxDigits: 6}"#));
    for dialled in ["11880", "+4911880", "004911880", "118000"] {
        assert_eq!(outcome(&office, "desk", dialled), "hangup CALL_REJECTED", "{dialled}");
    }
    assert_eq!(outcome(&office, "desk", "+493011880000"), "+493011880000");
}

#[test]
fn national_carriers_get_service_numbers_as_they_are_dialled() {
    let all = route("all", 10, "", r#"{prefix: "+"}, {prefix: "1"}"#, "national");
    let office = office("AU", "+61355501234", &all, "");
    for (dialled, sent) in [
        ("+611800555123", "1800555123"),
        ("+61131234", "131234"),
        ("1800555123", "1800555123"),
        ("131234", "131234"),
        ("+61398765432", "0398765432"),
        ("+442079460123", "0011442079460123"),
    ] {
        assert_eq!(outcome(&office, "desk", dialled), sent, "{dialled}");
    }
}

#[test]
fn own_numbers_stay_inside_however_they_are_dialled() {
    let all = route(
        "all",
        10,
        "",
        r#"{prefix: "9", strip: 1}, {prefix: "1"}, {prefix: "0"}, {prefix: "+"}"#,
        "e164",
    );
    let office = office("US", "+13125550100", &all, "");
    for own in ["+13125550100", "13125550100", "3125550100", "01113125550100", "913125550100", "93125550100"]
    {
        let answer = office.dial("boss", own);
        assert_eq!(answer.rule, "Extension.desk", "{own}: {answer:?}");
    }
    assert_eq!(outcome(&office, "boss", "+12125550123"), "+12125550123");
}

#[test]
fn a_carrier_that_sends_the_country_code_finds_the_number() {
    let all = route("all", 10, "", r#"{prefix: "+"}"#, "e164");
    let office = office("ES", "+34944000100", &all, "");
    let trunk = office.platform.trunks.get("carriers/national").unwrap();
    for sent in ["34944000100", "944000100", "+34944000100", "0034944000100"] {
        let answer = office.call("outside").inbound_from_trunk("carriers/national", trunk, sent);
        assert_eq!(answer.rule, "Number.main", "{sent}");
    }
    let stranger = office.call("outside").inbound_from_trunk("carriers/national", trunk, "944000101");
    assert_eq!(stranger.rule, "Unknown");
}

#[test]
fn the_number_of_a_caller_can_be_called_back() {
    let routes = route("all", 10, "", r#"{prefix: "00"}, {prefix: "0"}"#, "national");
    let office = office("NL", "+31201234567", &routes, "");
    let trunk = office.platform.trunks.get("carriers/national").unwrap();
    for (received, shown) in
        [("31612345678", "+31612345678"), ("0612345678", "+31612345678"), ("0049301234567", "+49301234567")]
    {
        let mut call = office.call("outside");
        (call.caller_number, call.caller_name) = (received.into(), received.into());
        let said = office.said(&call.inbound_from_trunk("carriers/national", trunk, "0201234567"));
        for variable in ["number", "name"] {
            let set = format!("set effective_caller_id_{variable}={shown}");
            assert!(said.contains(&set), "{set} is missing in {said:#?}");
        }
    }
    // The routes are about numbers as people dial them; a call list has them with a plus sign.
    assert_eq!(outcome(&office, "desk", "+31612345678"), "0612345678");
    assert_eq!(outcome(&office, "desk", "+49301234567"), "0049301234567");
    // A caller who shows no number is shown as received.
    let mut call = office.call("outside");
    (call.caller_number, call.caller_name) = ("anonymous".into(), "Anonymous".into());
    let said = office.said(&call.inbound_from_trunk("carriers/national", trunk, "0201234567"));
    assert!(!said.iter().any(|action| action.contains("effective_caller_id_number")), "{said:#?}");
}

#[test]
fn every_spelling_of_a_number_asks_for_one_toll_class() {
    let routes = [
        route("abroad", 10, "International", r#"{prefix: "00"}"#, "national"),
        route("national", 20, "National", r#"{prefix: "0"}"#, "national"),
        route("plus", 30, "", r#"{prefix: "+"}"#, "national"),
    ];
    let office = office("DE", "+493023125100", &routes.concat(), "");
    // Berlin is national in every spelling, also by the route that is about international ones.
    for dialled in ["03098765432", "00493098765432", "+493098765432"] {
        assert!(outcome(&office, "desk", dialled).ends_with("3098765432"), "{dialled}");
    }
    // Vienna is abroad in every spelling, also by a route that asks for nothing.
    for dialled in ["00431234567890", "+431234567890"] {
        assert_eq!(outcome(&office, "desk", dialled), "hangup OUTGOING_CALL_BARRED", "{dialled}");
        assert_eq!(outcome(&office, "boss", dialled), "00431234567890", "{dialled}");
    }
    // London is not among the countries that the boss may call.
    for dialled in ["00442079460123", "+442079460123"] {
        assert_eq!(outcome(&office, "boss", dialled), "hangup OUTGOING_CALL_BARRED", "{dialled}");
    }
}

#[test]
fn routes_are_chosen_by_type_and_country() {
    let routes = [
        route("mobile", 10, "", r#"{numberTypes: [Mobile]}"#, "e164"),
        route("neighbours", 20, "", r#"{prefix: "00", countries: [AT, CH]}"#, "e164"),
        route("rest", 30, "", r#"{prefix: "0"}"#, "national"),
    ];
    let office = office("DE", "+493023125100", &routes.concat(), "");
    for (dialled, rule) in [
        ("015112345678", "Out.mobile"),
        ("00436641234567", "Out.mobile"),
        ("0043171100", "Out.neighbours"),
        ("00442079460123", "Out.rest"),
        ("03012345678", "Out.rest"),
    ] {
        assert_eq!(office.dial("desk", dialled).rule, rule, "{dialled}");
    }
}

/// Seven digits with the area's code before them, ten and eleven digits: what people in North America dial.
const NORTH_AMERICA: &str = r#"{prefix: "9", strip: 1, prepend: "+", minDigits: 12, maxDigits: 12}, {prefix: "1", prepend: "+", minDigits: 11, maxDigits: 11}, {prepend: "+1", minDigits: 10, maxDigits: 10}, {prepend: "+1312", minDigits: 7, maxDigits: 7}"#;

#[test]
fn numbers_of_three_lengths_leave_in_full_and_own_ones_stay() {
    let office = office("US", "+13125550100", &route("all", 10, "", NORTH_AMERICA, "e164"), "");
    for (dialled, sent) in [
        ("2125550123", "+12125550123"),
        ("12125550123", "+12125550123"),
        ("912125550123", "+12125550123"),
        ("5551234", "+13125551234"),
    ] {
        assert_eq!(outcome(&office, "boss", dialled), sent, "{dialled}");
    }
    for own in ["5550100", "3125550100", "13125550100", "913125550100"] {
        let answer = office.dial("boss", own);
        assert_eq!(answer.rule, "Extension.desk", "{own}: {answer:?}");
    }
}

#[test]
fn an_extension_may_have_the_digits_of_its_public_number() {
    let rental = "apiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {name: rental, namespace: office}\n\
                  spec: {tenantRef: {name: office}, number: \"2125550100\", credentials: {secretRef: {name: sip}}}\n---\n\
                  apiVersion: centrex.dev/v1alpha1\nkind: Number\nmetadata: {name: rental, namespace: office}\n\
                  spec: {tenantRef: {name: office}, number: \"+12125550100\", destination: {kind: Extension, name: rental}, \
                  trunkRef: {name: e164, namespace: carriers}}\n";
    let office = office("US", "+13125550100", &route("all", 10, "", NORTH_AMERICA, "e164"), rental);
    for dialled in ["2125550100", "12125550100", "+12125550100", "912125550100"] {
        assert_eq!(office.dial("desk", dialled).rule, "Extension.rental", "{dialled}");
    }
    let trunk = office.platform.trunks.get("carriers/e164").unwrap();
    let inbound = office.call("outside").inbound_from_trunk("carriers/e164", trunk, "+12125550100");
    assert_eq!(inbound.rule, "Number.rental");
}

#[test]
fn a_number_of_a_call_list_without_plus_is_dialled_back() {
    let routes = route("all", 10, "", r#"{prefix: "00"}, {prefix: "0"}"#, "national");
    let office = office("NL", "+31201234567", &routes, "");
    assert_eq!(outcome(&office, "desk", "31612345678"), "0612345678");
}

/// Every spelling of +49 900 1234567 with an addition that a carrier may leave out.
#[test]
fn additions_to_a_blocked_number_do_not_let_it_out() {
    let routes = route("all", 10, "", r#"{prefix: "0"}, {prefix: "+"}, {prefix: "4"}"#, "e164");
    for matches in ["{numberTypes: [PremiumRate]}", r#"{prefix: "0900"}"#] {
        let office = office("DE", "+493023125000", &routes, &block(matches));
        for dialled in [
            "09001234567#",
            "+499001234567#",
            "00499001234567#12",
            "+49900*1234567",
            "+499001234567890123",
            "004990012345678901234",
            "+00499001234567",
            "+09001234567",
        ] {
            assert_eq!(outcome(&office, "boss", dialled), "hangup CALL_REJECTED", "{matches}: {dialled}");
        }
        assert_eq!(outcome(&office, "boss", "+493012345678#"), "+493012345678#");
    }
}

#[test]
fn additions_do_not_make_a_call_abroad_one_within_the_country() {
    let routes = route("all", 10, "National", r#"{prefix: "0"}, {prefix: "+"}"#, "e164");
    let office = office("DE", "+493023125000", &routes, "");
    for dialled in ["+331234567890123456", "0033123456789#", "+0033123456789"] {
        assert_eq!(outcome(&office, "boss", dialled), "hangup OUTGOING_CALL_BARRED", "{dialled}");
    }
}

#[test]
fn a_rule_that_routes_passes_no_rule_before_it() {
    let out = "---\napiVersion: centrex.dev/v1alpha1\nkind: DialRule\nmetadata: {name: out}\nspec: {phase: Before, \
               priority: PRIORITY, match: [{prefix: \"+\"}], action: {kind: Route, trunks: [{name: e164, namespace: carriers}]}}\n";
    let rules =
        |priority: &str| format!("{}{}", block(r#"{prefix: "0900"}"#), out.replace("PRIORITY", priority));
    let after = office("DE", "+493023125000", "", &rules("20"));
    assert_eq!(outcome(&after, "boss", "+499001234567"), "hangup CALL_REJECTED");
    assert_eq!(outcome(&after, "boss", "+493012345678"), "+493012345678");
    // Before the block it is an exception to it.
    let before = office("DE", "+493023125000", "", &rules("0"));
    assert_eq!(outcome(&before, "boss", "+499001234567"), "+499001234567");
}

#[test]
fn a_number_with_two_readings_asks_for_both_toll_classes() {
    let routes = route("national", 10, "National", r#"{prefix: "1", prepend: "+"}"#, "e164")
        + &route("abroad", 20, "International", r#"{minDigits: 8, prepend: "+"}"#, "e164");
    let office = office("US", "+13125550100", &routes, "");
    // 431 is an area of Canada, and +43 is Austria.
    assert_eq!(outcome(&office, "desk", "4312345678"), "hangup OUTGOING_CALL_BARRED");
    assert_eq!(outcome(&office, "desk", "12125551234"), "+12125551234");
}

#[test]
fn a_destination_may_spell_an_own_number_in_any_way() {
    let forwarding = "apiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {name: away, namespace: office}\n\
                      spec: {tenantRef: {name: office}, number: \"303\", credentials: {secretRef: {name: sip}}, \
                      forwarding: {always: {kind: ExternalNumber, number: \"+4903023125000\"}}}\n";
    let office = office("DE", "+493023125000", &route("all", 10, "", r#"{prefix: "+"}"#, "e164"), forwarding);
    assert!(office.said(&office.dial("boss", "303")).iter().any(|action| action.contains("user/301@")));
}

#[test]
fn a_name_of_which_nothing_can_be_sent_gives_way_to_the_number() {
    let blank = "apiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {name: blank, namespace: office}\n\
                 spec: {tenantRef: {name: office}, number: \"303\", credentials: {secretRef: {name: sip}}, \
                 callerId: {name: \"\u{a0}\", number: \"+493023125000\"}}\n";
    let office = office("DE", "+493023125000", &route("all", 10, "", r#"{prefix: "0"}"#, "e164"), blank);
    let said = office.said(&office.dial("blank", "030123456"));
    assert!(said.contains(&"set effective_caller_id_name=+493023125000".to_owned()), "{said:#?}");
}
