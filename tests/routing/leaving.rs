//! Outbound calls: trunks, digits, caller id and limits.

use centrex::route::Answer;

use super::{ACME, Office, assert_body, compiled, forwarding_to};

/// The causes after which the next gateway is tried.
fn carrier_failures(said: &[String]) -> &str {
    let list = said.iter().find_map(|action| action.strip_prefix("set continue_on_fail=NORMAL_"));
    let list = list.unwrap_or_else(|| panic!("no failover in {said:#?}"));
    for ends in ["USER_BUSY", "NO_ANSWER", "CALL_REJECTED", "UNALLOCATED_NUMBER", "ORIGINATOR_CANCEL"] {
        assert!(!list.contains(ends), "{ends} is the called party's answer");
    }
    said.iter()
        .find_map(|action| action.strip_prefix("set continue_on_fail=").filter(|l| *l != "false"))
        .unwrap()
}

/// The number, caller name and caller number at the last gateway.
fn sent(office: &Office, answer: &Answer) -> (String, String, String) {
    let said = office.said(answer);
    let last = |start: &str| {
        let found = said.iter().rev().find_map(|action| action.strip_prefix(start));
        found.unwrap_or_else(|| panic!("no {start} in {said:#?}")).to_owned()
    };
    let bridge = said.iter().rev().find(|action| action.contains("sofia/gateway/")).unwrap();
    let number = bridge.rsplit('/').next().unwrap().to_owned();
    (number, last("set effective_caller_id_name="), last("set effective_caller_id_number="))
}

#[test]
fn a_blocked_number_is_blocked_in_every_way_of_dialling() {
    let germany = ACME.replace("  timeZone: Europe/Berlin", "  country: DE\n  timeZone: Europe/Berlin");
    let office = Office::open(&germany);
    for dialled in ["0190123456", "0049190123456"] {
        assert_eq!(office.dial("carol", dialled).rule, "Refused.Blocked", "{dialled}");
    }
    // Neither another number inside nor a similar one abroad.
    for dialled in ["030190123", "0044190123456"] {
        assert_ne!(office.dial("carol", dialled).rule, "Refused.Blocked", "{dialled}");
    }
}

#[test]
fn a_call_with_a_plus_sign_to_an_own_number_stays_inside() {
    let office = Office::acme();
    assert_eq!(office.dial("alice", "+493012345602").rule, "Extension.bob");
    assert_eq!(office.dial("outside", "+493012345602").rule, "Refused.Outside");
    assert_eq!(office.dial("alice", "+493012345699").rule, "Unknown");
}

#[test]
fn outbound_calls_try_each_trunk_in_its_number_format() {
    let office = Office::acme();
    let said = office.said(&office.dial("alice", "030123456"));
    let expected = "sched_hangup +3600 ALLOTTED_TIMEOUT
         set effective_caller_id_name=Acme
         set call_timeout=120
         set continue_on_fail=CARRIER
         set effective_caller_id_number=+493012345601
         limit_execute hash acme/first calls 7 bridge {^^;outbound_redirect_fatal=true;leg_progress_timeout=8}sofia/gateway/acme/first#0/+4930123456
         limit_execute hash acme/first calls 7 bridge {^^;outbound_redirect_fatal=true;leg_progress_timeout=8}sofia/gateway/acme/first#1/+4930123456
         set effective_caller_id_number=03012345601
         bridge {^^;outbound_redirect_fatal=true;leg_progress_timeout=3;absolute_codec_string=PCMA,PCMU}sofia/gateway/acme/second#0/030123456
         hangup NORMAL_TEMPORARY_FAILURE";
    assert_body(
        &office,
        &office.dial("alice", "030123456"),
        &expected.replace("CARRIER", carrier_failures(&said)),
    );
}

#[test]
fn digits_are_edited_and_the_most_specific_caller_id_is_shown() {
    let office = Office::acme();
    for (caller, dialled, number, name, shown) in [
        // The route edits the number to E.164, and the last trunk's format applies.
        ("alice", "030123456", "030123456", "Acme", "03012345601"),
        ("alice", "0044207946", "0044207946", "Acme", "03012345601"),
        ("alice", "0049301234", "0301234", "Acme", "03012345601"),
        // A caller without a caller id shows the tenant's. A number that no rule edits is sent as dialled.
        ("carol", "0900123", "0900123", "Acme", "03012345600"),
        ("bob", "118000", "118000", "Acme", "03012345600"),
        // The route's caller id takes precedence over the caller's own.
        ("alice", "80012345", "80012345", "Acme Hotline", "00442079460123"),
    ] {
        let expected = (number.to_owned(), name.to_owned(), shown.to_owned());
        assert_eq!(sent(&office, &office.dial(caller, dialled)), expected, "{caller} dials {dialled}");
    }
    // Without a caller id, the internal number is shown, and never the name.
    let bare = ACME.replace("  callerId: {name: Acme, number: \"+493012345600\"}\n", "");
    let office = Office::open(&bare);
    let (_, name, shown) = sent(&office, &office.dial("bob", "118000"));
    assert_eq!((name.as_str(), shown.as_str()), ("1002", "1002"));
}

#[test]
fn each_limit_applies_only_to_its_kind_of_call() {
    let unlimited = ACME.replace("{maxConcurrentCalls: 40, maxCallDurationSeconds: 3600}", "{}");
    let (limited, unlimited) = (Office::acme(), Office::open(&unlimited));
    for (number, duration, trunk) in [
        ("1002", false, false),
        ("2001", false, false),
        ("4001", false, false),
        ("*97", false, false),
        ("030123456", true, true),
        ("118000", true, false),
        ("112", false, false),
    ] {
        let said = limited.said(&limited.dial("alice", number));
        let count = |start: &str| said.iter().filter(|action| action.starts_with(start)).count();
        assert_eq!(count("limit hash TENANT calls 40"), usize::from(number != "112"), "{number}");
        assert_eq!(count("sched_hangup +3600"), usize::from(duration), "{number}");
        assert_eq!(count("limit_execute hash acme/first calls 7"), if trunk { 2 } else { 0 }, "{number}");
        let said = unlimited.said(&unlimited.dial("alice", number));
        assert!(!said.iter().any(|a| a.starts_with("limit hash") || a.starts_with("sched_hangup")));
    }
    // An inbound call uses the trunk, too.
    let said = limited.said(&limited.comes_in("+493012345602"));
    assert_eq!(said[0], "sched_hangup +3600 ALLOTTED_TIMEOUT");
    assert_eq!(said.iter().filter(|action| action.starts_with("limit hash TENANT calls 40")).count(), 1);
}

#[test]
fn calls_abroad_have_their_own_limit() {
    let abroad = "limit hash TENANT abroad 5/86400 !OUTGOING_CALL_BARRED";
    let of = |most: &str, edit: &dyn Fn(String) -> String| {
        let limited = ACME.replace("maxConcurrentCalls: 40", &format!("maxCallsAbroadPerDay: {most}"));
        Office::open(&edit(
            limited.replace("  timeZone: Europe/Berlin", "  country: DE\n  timeZone: Europe/Berlin"),
        ))
    };
    let (five, none) = (of("5", &|text| text), of("0", &|text| text));
    for (number, counts) in
        [("0044207946", true), ("0049301234", false), ("030123456", false), ("118000", false), ("112", false)]
    {
        let answer = five.dial("alice", number);
        let said = five.said(&answer);
        assert_eq!(said.iter().filter(|action| **action == abroad).count(), usize::from(counts), "{said:#?}");
        let barred = none.body(&none.dial("alice", number)) == ["hangup OUTGOING_CALL_BARRED"];
        assert_eq!(barred, counts, "{number}: {:#?}", none.said(&none.dial("alice", number)));
    }
    // A carrier that wants neither plus sign nor prefix gets none; the call still counts as one abroad.
    let bare = of("5", &|text| {
        text.replace("strip: 2, prepend: \"+\"", "strip: 2")
            .replace("numberFormat: National", "numberFormat: E164WithoutPlus")
    });
    let said = bare.said(&bare.dial("alice", "0044207946"));
    assert!(said.iter().any(|action| action == abroad), "{said:#?}");
    assert!(said.iter().any(|action| action.ends_with("/44207946")), "{said:#?}");
    // A forwarded call abroad counts for the phone that forwards, and not for its caller.
    let forwarding =
        "displayName: Bob Example, forwarding: {always: {kind: ExternalNumber, number: \"+442079460123\"}}";
    let forwards = of("5", &|text| text.replace("displayName: Bob Example", forwarding));
    let said = forwards.said(&forwards.dial("outside", "1002"));
    assert!(said.iter().any(|action| action == abroad), "{said:#?}");
}

#[test]
fn a_destination_outside_needs_no_toll_class_but_keeps_every_other_rule() {
    // Alice and a caller from outside, who has no toll class, are sent out alike.
    let office = forwarding_to("+442079460123");
    for caller in ["alice", "erik", "outside"] {
        let (number, name, shown) = sent(&office, &office.dial(caller, "1002"));
        assert_eq!((number.as_str(), name.as_str()), ("00442079460123", "Acme"), "{caller}");
        assert_eq!(shown, if caller == "alice" { "03012345601" } else { "03012345600" });
        let said = office.said(&office.dial(caller, "1002"));
        assert!(said.contains(&"sched_hangup +3600 ALLOTTED_TIMEOUT".to_owned()), "{said:#?}");
        // Not the ring time of one of our phones.
        assert!(said.contains(&"set call_timeout=120".to_owned()), "{said:#?}");
    }
    // The platform blocks the number since, and compile has not run again.
    let blocking = ACME.replace("prefix: \"0190\"", "prefix: \"+4420\"");
    let blocked = Office { platform: compiled(&blocking).0, ..office };
    assert_eq!(blocked.body(&blocked.dial("alice", "1002")), ["hangup CALL_REJECTED"]);
}
