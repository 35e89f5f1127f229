//! What calls do under a compiled tenant: who dials what, when, and which actions follow.

use std::borrow::Cow;

use centrex::compile;
use centrex::plan::{NationalDialling, PlatformPlan, Target, TenantPlan};
use centrex::resources::common::{DestinationKind, NumberFormat};
use centrex::route::token::{Step, sign_step};
use centrex::route::{Answer, Call, Caller, SigningKey, TenantView, digits};
use centrex::source::World;
use centrex::source::folder::Folder;
use jiff::Timestamp;
use regex::Regex;
use uuid::Uuid;

/// A tenant with one of everything, two carriers, and rules of the platform before and after.
const ACME: &str = include_str!("routing.yaml");

/// Compiles manifests that hold one tenant; nothing may be wrong with them.
fn compiled(manifests: &str) -> (PlatformPlan, TenantPlan) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.yaml");
    std::fs::write(&file, manifests).unwrap();
    let reading = Folder::read_once(&[file]).unwrap();
    assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
    let mut world = World::default();
    for change in reading.changes {
        world.apply(change);
    }
    let mut compiled = compile::world(&world);
    assert!(compiled.problems.is_empty(), "{:#?}", compiled.problems);
    (compiled.platform, compiled.tenants.remove(0).1)
}

/// What calls need, held for a test.
struct Office {
    platform: PlatformPlan,
    view: TenantView,
    key: SigningKey,
    now: Timestamp,
    disposition: &'static str,
    queue_cause: &'static str,
    random: u64,
}

impl Office {
    fn open(manifests: &str) -> Self {
        let (platform, plan) = compiled(manifests);
        Self {
            platform,
            view: TenantView::new(plan),
            key: SigningKey::new([7; 32]),
            now: "2026-11-25T12:00:00+01:00".parse().unwrap(), // a Wednesday
            disposition: "",
            queue_cause: "",
            random: 1,
        }
    }

    fn acme() -> Self {
        Self::open(ACME)
    }

    fn call(&self, caller: &str) -> Call<'_> {
        let caller = match caller {
            "outside" => Caller::Outside,
            name => Caller::Extension(name.to_owned()),
        };
        Call {
            view: &self.view,
            platform: &self.platform,
            key: &self.key,
            caller,
            leg: Cow::Borrowed("leg-1"),
            caller_name: Cow::Borrowed("Somebody"),
            disposition: Cow::Borrowed(self.disposition),
            queue_cause: Cow::Borrowed(self.queue_cause),
            now: self.now,
            random: self.random,
        }
    }

    fn dial(&self, caller: &str, number: &str) -> Answer {
        self.call(caller).dialled(number)
    }

    fn step(&self, step: Step, kind: DestinationKind, name: &str) -> String {
        let target = Target { kind, name: name.to_owned() };
        sign_step(&self.key, self.view.plan.tenant.id, step, &target).unwrap().as_str().to_owned()
    }

    /// An extension did not take a call, for a reason.
    fn after(&mut self, extension: &str, disposition: &'static str) -> Answer {
        self.disposition = disposition;
        self.dial("bob", &self.step(Step::After, DestinationKind::Extension, extension))
    }

    fn comes_in(&self, number: &str) -> Answer {
        let (name, row) = self.view.public_number(number).unwrap();
        self.call("outside").came_in(name, row)
    }

    /// The actions as `application data`, with names in the place of identities and signatures.
    fn said(&self, answer: &Answer) -> Vec<String> {
        let tenant = self.view.plan.tenant.id.to_string();
        let signature = Regex::new("cx-[0-9a-f]{32}-").unwrap();
        let said = answer.actions.iter().map(|action| {
            let mut data = action.data.replace(&tenant, "TENANT");
            for (name, trunk) in &self.platform.trunks {
                data = data.replace(&trunk.id.to_string(), name);
                for index in 0..trunk.gateways.len() {
                    let gateway = self.key.gateway_name(trunk.id, index);
                    data = data.replace(&gateway, &format!("{name}#{index}"));
                }
            }
            format!("{} {}", action.application, signature.replace(&data, "cx-")).trim_end().to_owned()
        });
        said.collect()
    }

    /// The same, without what every call begins with.
    fn body(&self, answer: &Answer) -> Vec<String> {
        let said = self.said(answer);
        let first = said.iter().rposition(|action| {
            action.starts_with("limit hash TENANT ") || action == "set timezone=Europe/Berlin"
        });
        said[first.map_or(0, |first| first + 1)..].to_vec()
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[track_caller]
fn assert_body(office: &Office, answer: &Answer, expected: &str) {
    assert_eq!(office.body(answer), lines(expected), "{}", answer.rule);
}

#[test]
fn every_call_begins_with_who_it_is_and_what_bounds_it() {
    let office = Office::acme();
    let said = office.said(&office.dial("alice", "1002"));
    let token = Regex::new("^export centrex_call=TENANT/extension.alice/leg-1/[0-9a-f]{32}$").unwrap();
    assert!(token.is_match(&said[0]), "{}", said[0]);
    let expected = lines(
        "export media_timeout=120000
         export media_hold_timeout=1800000
         set hangup_after_bridge=true
         set continue_on_fail=false
         set transfer_ringback=%(1000,4000,425)
         set timezone=Europe/Berlin
         set effective_caller_id_name=Alice Example
         set effective_caller_id_number=1001
         limit hash TENANT calls 40 !NORMAL_CIRCUIT_CONGESTION
         set call_timeout=30
         bridge user/1002@acme.example.com",
    );
    assert_eq!(said[1..], expected);
}

#[test]
fn what_a_number_means() {
    let office = Office::acme();
    for (caller, number, rule) in [
        ("alice", "112", "Emergency"),
        ("bob", "112", "Emergency"),
        // A caller from outside gets no emergency call out of a menu, and nothing else either.
        ("outside", "112", "Refused.Outside"),
        ("alice", "1002", "Extension.bob"),
        ("alice", "2001", "RingGroup.sales"),
        ("alice", "3001", "Queue.support"),
        ("alice", "4001", "Conference.standup"),
        ("alice", "5001", "IvrMenu.welcome"),
        ("outside", "1002", "Extension.bob"),
        ("outside", "5001", "IvrMenu.welcome"),
        // Forwarding of every call is followed before anything rings.
        ("alice", "1003", "Voicemail.alice"),
        ("alice", "1004", "RingGroup.sales"),
        ("alice", "*97", "FeatureCode.messages"),
        ("alice", "*981001", "FeatureCode.leave"),
        ("alice", "*57", "FeatureCode.park"),
        ("outside", "*97", "Refused.Outside"),
        ("outside", "*981001", "Refused.Outside"),
        // A code that takes digits is none without, one that takes none is none with them.
        ("alice", "*98", "Unknown"),
        ("alice", "*971", "Unknown"),
        // Routes: by priority, and the first that matches decides.
        ("alice", "030123456", "Out.national"),
        ("bob", "030123456", "Refused.TollClass"),
        ("alice", "0900123456", "Refused.TollClass"),
        ("alice", "0044123456789", "Out.national"),
        ("bob", "80012345", "Out.free"),
        ("outside", "80012345", "Refused.Outside"),
        ("nobody", "030123456", "Refused.TollClass"),
        // On-net: the tenant's own number does not leave, and asks no toll class.
        ("bob", "03012345602", "Extension.bob"),
        ("bob", "004930123456020", "Refused.TollClass"),
        // The platform, before and after.
        ("alice", "0190123456", "Refused.Blocked"),
        ("outside", "0190123456", "Refused.Blocked"),
        ("alice", "11833", "Out.information"),
        ("outside", "11833", "Refused.Outside"),
        // Nobody has it.
        ("alice", "999", "Unknown"),
        ("alice", "", "Unknown"),
        ("alice", "alice", "Unknown"),
        ("alice", "1002,1003", "Unknown"),
        ("alice", "+49 30 123", "Unknown"),
        ("outside", "999", "Refused.Outside"),
    ] {
        assert_eq!(office.dial(caller, number).rule, rule, "{caller} dials {number:?}");
    }
}

#[test]
fn what_is_not_placed_ends_with_the_right_cause() {
    let office = Office::acme();
    for (caller, number, cause) in [
        ("alice", "0190123456", "CALL_REJECTED"),
        ("bob", "030123456", "OUTGOING_CALL_BARRED"),
        ("outside", "80012345", "OUTGOING_CALL_BARRED"),
        ("alice", "999", "UNALLOCATED_NUMBER"),
    ] {
        // Nothing else: no limit is counted, nothing is exported.
        assert_eq!(office.said(&office.dial(caller, number)), [format!("hangup {cause}")], "{number}");
    }
}

#[test]
fn emergency_calls_are_first_and_unlimited() {
    let office = Office::acme();
    // The platform's rule blocks every number that the tenant's own plan does not know, before it.
    let everything = ACME.replace("match: [{prefix: \"0190\"}]", "match: [{}]");
    assert_ne!(everything, ACME);
    let blocked = Office::open(&everything);
    assert_eq!(blocked.dial("alice", "1002").rule, "Refused.Blocked");
    for office in [&office, &blocked] {
        let answer = office.dial("bob", "112");
        assert_eq!(answer.rule, "Emergency");
        let said = office.said(&answer);
        for forbidden in ["limit", "sched_hangup"] {
            assert!(!said.iter().any(|action| action.starts_with(forbidden)), "{said:#?}");
        }
        assert_body(
            office,
            &answer,
            "set effective_caller_id_name=Bob Example
             set effective_caller_id_number=1002
             set effective_caller_id_name=+493012345600
             set call_timeout=120
             set continue_on_fail=CARRIER
             set effective_caller_id_number=+493012345600
             bridge {^^;outbound_redirect_fatal=true;leg_progress_timeout=8}sofia/gateway/acme/first#0/112
             bridge {^^;outbound_redirect_fatal=true;leg_progress_timeout=8}sofia/gateway/acme/first#1/112
             hangup NORMAL_TEMPORARY_FAILURE"
                .replace("CARRIER", carrier_failures(&said))
                .as_str(),
        );
    }
}

/// The list of causes after which the next gateway is tried, as it was said.
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

#[test]
fn destinations_ring_and_go_on() {
    let mut office = Office::acme();
    for (number, body) in [
        (
            "1001",
            "set call_timeout=25
             set continue_on_fail=true
             bridge user/1001@acme.example.com
             transfer cx-after-extension-alice XML TENANT",
        ),
        (
            "2001",
            "set call_timeout=30
             set continue_on_fail=true
             bridge [^^;leg_timeout=20]user/1001@acme.example.com,[^^;leg_timeout=25;leg_delay_start=5]user/1002@acme.example.com
             transfer cx-to-queue-support XML TENANT",
        ),
        (
            "2002",
            "set call_timeout=30
             set continue_on_fail=true
             bridge [^^;leg_timeout=30]user/1002@acme.example.com|[^^;leg_timeout=10]user/1001@acme.example.com
             hangup NO_ANSWER",
        ),
        (
            "3001",
            "answer
             callcenter support@TENANT
             transfer cx-after-queue-support XML TENANT",
        ),
        (
            "4001",
            "answer
             conference standup-TENANT@standup-TENANT",
        ),
        (
            "5001",
            "answer
             sleep 500
             ivr welcome.TENANT
             transfer cx-to-schedule-hours XML TENANT",
        ),
        (
            "1003",
            "answer
             sleep 500
             voicemail default acme.example.com 1001",
        ),
        (
            "*97",
            "answer
             sleep 500
             voicemail check auth default acme.example.com 1001",
        ),
        (
            "*981001",
            "answer
             sleep 500
             voicemail default acme.example.com 1001",
        ),
        ("*981002", "hangup UNALLOCATED_NUMBER"),
        (
            "*57",
            "answer
             valet_park TENANT 7",
        ),
    ] {
        assert_body(&office, &office.dial("alice", number), body);
    }
    // By chance, and the same for the same chance.
    let order = |office: &Office| office.body(&office.dial("alice", "2003"))[2].clone();
    let mut orders = std::collections::BTreeSet::new();
    for call in 0..64_u64 {
        office.random = call.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(order(&office), order(&office));
        orders.insert(order(&office));
    }
    assert_eq!(orders.len(), 2, "{orders:?}");
}

#[test]
fn a_box_with_a_pin_asks_for_it_and_one_without_is_opened_by_its_phone_only() {
    let office = Office::acme();
    let said = |caller| office.body(&office.dial(caller, "*97")).pop().unwrap();
    assert_eq!(said("dora"), "voicemail check default acme.example.com 1005");
    assert_eq!(said("alice"), "voicemail check auth default acme.example.com 1001");
    assert_eq!(said("bob"), "hangup UNALLOCATED_NUMBER");
    // The PIN is named but not there: a box that should ask does not open.
    let mut plan = office.view.plan.clone();
    plan.extensions.get_mut("dora").unwrap().secrets = Default::default();
    let office = Office { view: TenantView::new(plan), ..office };
    assert_eq!(office.body(&office.dial("dora", "*97")), ["hangup NORMAL_TEMPORARY_FAILURE"]);
}

#[test]
fn forwarding_goes_by_why_the_phone_did_not_take_the_call() {
    let mut office = Office::acme();
    for (disposition, rings) in [
        ("USER_BUSY", "bridge user/1002@acme.example.com"),
        ("CALL_REJECTED", "bridge user/1002@acme.example.com"),
        ("NO_ANSWER", "voicemail default acme.example.com 1001"),
        ("NO_USER_RESPONSE", "voicemail default acme.example.com 1001"),
        ("USER_NOT_REGISTERED", "callcenter support@TENANT"),
        ("SUBSCRIBER_ABSENT", "callcenter support@TENANT"),
        ("", "callcenter support@TENANT"),
    ] {
        let answer = office.after("alice", disposition);
        let said = office.body(&answer);
        assert!(said.iter().any(|action| action == rings), "{disposition}: {said:#?}");
    }
    // Only `unavailable` is set: the other cases end as they are.
    for (disposition, cause) in [("USER_BUSY", "USER_BUSY"), ("NO_ANSWER", "NO_ANSWER")] {
        let answer = office.after("dora", disposition);
        assert_eq!(office.body(&answer), [format!("hangup {cause}")]);
    }
    // Only `noAnswer` is set: who is not there does not answer either.
    let answer = office.after("erik", "USER_NOT_REGISTERED");
    assert!(office.body(&answer).contains(&"voicemail default acme.example.com 1001".to_owned()));
}

#[test]
fn a_queue_goes_on_only_when_nobody_served_the_caller() {
    let mut office = Office::acme();
    let after = |office: &Office| {
        let step = office.step(Step::After, DestinationKind::Queue, "support");
        office.body(&office.dial("bob", &step))
    };
    office.queue_cause = "answered";
    assert_eq!(after(&office), ["hangup NORMAL_CLEARING"]);
    for cause in ["timeout", "cancel", "break_out", ""] {
        office.queue_cause = cause;
        assert_eq!(after(&office).last().unwrap(), "voicemail default acme.example.com 1001", "{cause}");
    }
}

#[test]
fn schedules_are_read_on_the_tenants_clock() {
    let mut office = Office::acme();
    for (time, rule) in [
        ("2026-11-25T08:59:59+01:00", "Voicemail.alice"),
        ("2026-11-25T09:00:00+01:00", "RingGroup.sales"),
        ("2026-11-25T17:59:59+01:00", "RingGroup.sales"),
        ("2026-11-25T18:00:00+01:00", "Voicemail.alice"),
        // Over midnight, from the day it starts on.
        ("2026-11-27T23:30:00+01:00", "RingGroup.sales"),
        ("2026-11-28T05:59:00+01:00", "RingGroup.sales"),
        ("2026-11-28T06:00:00+01:00", "Voicemail.alice"),
        // Holidays: every year, and once.
        ("2027-01-01T10:00:00+01:00", "Extension.bob"),
        ("2028-01-01T10:00:00+01:00", "Extension.bob"),
        ("2027-06-18T10:00:00+02:00", "Extension.bob"),
        ("2026-06-18T10:00:00+02:00", "RingGroup.sales"),
        ("2028-02-29T10:00:00+01:00", "Extension.bob"),
        ("2027-03-01T10:00:00+01:00", "RingGroup.sales"),
        // The clocks go forward on Sunday 28 March 2027 and back on 31 October: 07:30 UTC is 08:30
        // before and 09:30 after.
        ("2027-03-27T07:30:00Z", "Voicemail.alice"),
        ("2027-03-28T07:30:00Z", "RingGroup.sales"),
        ("2027-10-30T07:30:00Z", "RingGroup.sales"),
        ("2027-10-31T07:30:00Z", "Voicemail.alice"),
        // The hour that comes twice on that night is in the window both times; where the last hour
        // of a window is skipped, it ends with the one before.
        ("2027-10-31T00:30:00Z", "RingGroup.sales"),
        ("2027-10-31T01:30:00Z", "RingGroup.sales"),
        ("2027-03-28T00:59:59Z", "RingGroup.sales"),
        ("2027-03-28T01:00:00Z", "Voicemail.alice"),
    ] {
        office.now = time.parse().unwrap();
        let step = office.step(Step::To, DestinationKind::Schedule, "hours");
        assert_eq!(office.dial("bob", &step).rule, rule, "{time}");
    }
}

#[test]
fn calls_leave_trunk_after_trunk_as_each_wants_its_numbers() {
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

/// The number and the caller's name and number that the last gateway is given.
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
fn digits_are_edited_and_the_nearest_caller_id_is_shown() {
    let office = Office::acme();
    for (caller, dialled, number, name, shown) in [
        // Edited to E.164 by the route, then written as the last trunk wants it.
        ("alice", "030123456", "030123456", "Acme", "03012345601"),
        ("alice", "0044207946", "0044207946", "Acme", "03012345601"),
        ("alice", "0049301234", "0301234", "Acme", "03012345601"),
        // No number of its own: the tenant's. Not edited: as dialled.
        ("carol", "0900123", "0900123", "Acme", "03012345600"),
        ("bob", "118000", "118000", "Acme", "03012345600"),
        // The route's stands before the caller's own.
        ("alice", "80012345", "80012345", "Acme Hotline", "00442079460123"),
    ] {
        let expected = (number.to_owned(), name.to_owned(), shown.to_owned());
        assert_eq!(sent(&office, &office.dial(caller, dialled)), expected, "{caller} dials {dialled}");
    }
    // Nobody has one: the number inside is all that is shown, never the name.
    let bare = ACME.replace("  callerId: {name: Acme, number: \"+493012345600\"}\n", "");
    let office = Office::open(&bare);
    let (_, name, shown) = sent(&office, &office.dial("bob", "118000"));
    assert_eq!((name.as_str(), shown.as_str()), ("1002", "1002"));
}

#[test]
fn limits_stand_where_they_should_and_nowhere_else() {
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
    // A call that comes in is a call through a trunk too.
    let said = limited.said(&limited.comes_in("+493012345602"));
    assert_eq!(said[0], "sched_hangup +3600 ALLOTTED_TIMEOUT");
    assert_eq!(said.iter().filter(|action| action.starts_with("limit hash TENANT calls 40")).count(), 1);
}

#[test]
fn calls_come_in_on_behalf_of_nobody() {
    let office = Office::acme();
    let answer = office.comes_in("+493012345600");
    assert_eq!(answer.rule, "Number.main");
    let said = office.said(&answer);
    assert!(said.contains(&"set effective_caller_id_name=Main Somebody".to_owned()), "{said:#?}");
    assert!(said.iter().any(|action| action.starts_with("export centrex_call=TENANT/outside/leg-1/")));
    // The caller's number is the caller's, not one of ours.
    assert!(!said.iter().any(|action| action.starts_with("set effective_caller_id_number=")), "{said:#?}");
    let said = office.said(&office.comes_in("+493012345602"));
    assert!(!said.iter().any(|action| action.starts_with("set effective_caller_id_name=")), "{said:#?}");
    assert_eq!(said.last().unwrap(), "bridge user/1002@acme.example.com");
}

#[test]
fn destinations_are_signed_for_one_tenant() {
    let office = Office::acme();
    let target = Target { kind: DestinationKind::Extension, name: "bob".into() };
    let own = office.step(Step::To, DestinationKind::Extension, "bob");
    assert_eq!(office.dial("outside", &own).rule, "Extension.bob");
    let foreign = sign_step(&office.key, Uuid::from_u128(5), Step::To, &target).unwrap();
    assert_eq!(office.dial("alice", foreign.as_str()).rule, "Unknown");
    let other_key = sign_step(&SigningKey::new([8; 32]), office.view.plan.tenant.id, Step::To, &target);
    assert_eq!(office.dial("alice", other_key.unwrap().as_str()).rule, "Unknown");
    assert_eq!(office.dial("alice", &own.replace("-bob", "-alice")).rule, "Unknown");
    assert_eq!(office.dial("alice", &own.replace("-to-", "-after-")).rule, "Unknown");
    assert_eq!(office.dial("alice", "cx-to-extension-bob").rule, "Unknown");
    // Signed once, gone since: the call is not placed, and nothing else happens.
    let gone = office.step(Step::To, DestinationKind::RingGroup, "gone");
    assert_eq!(office.said(&office.dial("alice", &gone)), ["hangup NORMAL_TEMPORARY_FAILURE"]);
}

/// `bob` forwards to a public number; a rule of the platform blocks some of those.
fn forwarding_to(number: &str) -> Office {
    let forwarding = format!("forwarding: {{always: {{kind: ExternalNumber, number: \"{number}\"}}}}");
    let manifests =
        ACME.replace("displayName: Bob Example", &format!("displayName: Bob Example, {forwarding}"));
    assert_ne!(manifests, ACME);
    Office::open(&manifests)
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
        // Not the seconds that a phone of ours would have rung.
        assert!(said.contains(&"set call_timeout=120".to_owned()), "{said:#?}");
    }
    // The platform blocks it since, and compile has not run again.
    let blocking = ACME.replace("prefix: \"0190\"", "prefix: \"+4420\"");
    let blocked = Office { platform: compiled(&blocking).0, ..office };
    assert_eq!(blocked.body(&blocked.dial("alice", "1002")), ["hangup CALL_REJECTED"]);
}

#[test]
fn an_own_number_as_destination_does_not_leave() {
    let office = forwarding_to("+493012345603");
    assert_eq!(office.dial("outside", "1002").rule, "RingGroup.sales");
}

/// Compile refuses circles; a plan that has one all the same must not end the process.
#[test]
fn a_circle_in_a_plan_ends_the_call() {
    let office = forwarding_to("+493012345603");
    let mut plan = office.view.plan.clone();
    plan.numbers.get_mut("sales").unwrap().target =
        Target { kind: DestinationKind::Extension, name: "bob".into() };
    plan.schedules.get_mut("hours").unwrap().open =
        Target { kind: DestinationKind::Schedule, name: "hours".into() };
    let office = Office { view: TenantView::new(plan), ..office };
    let answers =
        [office.dial("alice", "1002"), office.dial("alice", "1004"), office.comes_in("+493012345603")];
    for answer in answers {
        let said = office.said(&answer);
        let rings = said.iter().any(|action| action.starts_with("bridge user/"));
        assert!(rings || said.last().unwrap() == "hangup NORMAL_TEMPORARY_FAILURE", "{said:#?}");
    }
}

#[test]
fn numbers_are_written_as_each_carrier_wants_them() {
    let dialling = |code: &str, national: &str, abroad: &str| NationalDialling {
        calling_code: code.into(),
        national_prefix: national.into(),
        international_prefix: abroad.into(),
    };
    let (de, us, it) = (dialling("49", "0", "00"), dialling("1", "1", "011"), dialling("39", "", "00"));
    use NumberFormat::*;
    for (number, format, country, written) in [
        ("+493012345600", E164, None, "+493012345600"),
        ("+493012345600", E164WithoutPlus, None, "493012345600"),
        ("+493012345600", National, Some(&de), "03012345600"),
        ("+12125550100", National, Some(&de), "0012125550100"),
        ("+12125550100", National, Some(&us), "12125550100"),
        ("+442079460123", National, Some(&us), "011442079460123"),
        // An Italian number keeps its zero, inside and from abroad.
        ("+390612345678", National, Some(&it), "0612345678"),
        ("+393331234567", National, Some(&it), "3331234567"),
    ] {
        assert_eq!(digits::to_carrier(number, format, country), written);
        assert_eq!(digits::from_carrier(written, format, country).as_deref(), Some(number), "{written}");
        // A plus sign is believed whatever was agreed.
        assert_eq!(digits::from_carrier(number, format, country).as_deref(), Some(number));
    }
    // Short numbers go out as they are.
    for format in [E164, E164WithoutPlus, National] {
        assert_eq!(digits::to_carrier("112", format, Some(&de)), "112");
    }
    // Some carriers leave the national prefix out, or write 00 for the plus sign.
    for (written, format, country, number) in [
        ("2125550100", National, Some(&us), "+12125550100"),
        ("3012345600", National, Some(&de), "+493012345600"),
        ("00493012345600", E164WithoutPlus, None, "+493012345600"),
        ("00493012345600", E164, None, "+493012345600"),
    ] {
        assert_eq!(digits::from_carrier(written, format, country).as_deref(), Some(number), "{written}");
    }
    for nonsense in ["", "+", "12a", "+49;gw=x", "++49", "4 9", "١٢٣", "1".repeat(33).as_str()] {
        for format in [E164, E164WithoutPlus, National] {
            assert_eq!(digits::from_carrier(nonsense, format, Some(&de)), None, "{nonsense}");
        }
    }
}
