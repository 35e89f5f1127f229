//! Calls to each kind of destination, and where they continue.

use centrex::plan::Target;
use centrex::resources::common::DestinationKind;
use centrex::route::TenantView;
use centrex::route::token::Step;

use super::{Office, assert_body, forwarding_to};

#[test]
fn destinations_ring_and_continue() {
    let office = Office::acme();
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
            "set cc_export_vars=centrex_call,media_timeout,media_hold_timeout
             answer
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
            "set ivr_menu_terminator=#
             answer
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
        // Alice is a member of the groups, and does not ring when she calls them.
        let caller = if number.starts_with('2') { "dora" } else { "alice" };
        assert_body(&office, &office.dial(caller, number), body);
    }
    // In random order, which is the same each time for one call.
    let order = |leg: &str| {
        let call = centrex::route::Call { leg: leg.into(), ..office.call("dora") };
        office.body(&call.dialled("2003"))[2].clone()
    };
    let mut orders = std::collections::BTreeMap::<String, u32>::new();
    for call in 0..64_u128 {
        let leg = uuid::Uuid::from_u128(call).to_string();
        assert_eq!(order(&leg), order(&leg));
        *orders.entry(order(&leg)).or_default() += 1;
    }
    assert!(orders.len() == 2 && orders.values().all(|times| *times > 16), "{orders:?}");
}

#[test]
fn a_caller_does_not_ring_itself_in_a_group() {
    let office = Office::acme();
    let rings = |caller, number| {
        let said = office.body(&office.dial(caller, number));
        said.into_iter().find(|action| action.starts_with("bridge")).unwrap()
    };
    assert_eq!(
        rings("alice", "2001"),
        "bridge [^^;leg_timeout=25;leg_delay_start=5]user/1002@acme.example.com"
    );
    assert_eq!(rings("bob", "2001"), "bridge [^^;leg_timeout=20]user/1001@acme.example.com");
    assert_eq!(rings("alice", "2002"), "bridge [^^;leg_timeout=30]user/1002@acme.example.com");
    assert_eq!(rings("bob", "2003"), "bridge [^^;leg_timeout=30]user/1001@acme.example.com");
    // A call from outside rings everybody.
    let said = office.body(&office.comes_in("+493012345603"));
    assert!(said.iter().any(|action| action.contains("user/1001@") && action.contains("user/1002@")));
}

#[test]
fn a_group_whose_only_member_calls_goes_on_at_once() {
    let office = Office::acme();
    let mut plan = office.view.plan.clone();
    plan.ring_groups.get_mut("sales").unwrap().members.retain(|member| member.extension == "alice");
    plan.ring_groups.get_mut("in-turn").unwrap().members.retain(|member| member.extension == "alice");
    let office = Office { view: TenantView::new(plan), ..office };
    // `noAnswer` is a queue; the other group has none.
    let answer = office.dial("alice", "2001");
    assert_eq!(answer.rule, "Queue.support");
    assert_eq!(office.body(&office.dial("alice", "2002")), ["hangup NO_ANSWER"]);
    assert_eq!(office.dial("bob", "2001").rule, "RingGroup.sales");
    // So does a call that is forwarded there.
    let step = office.step(Step::To, DestinationKind::RingGroup, "sales");
    assert_eq!(office.dial("alice", &step).rule, "Queue.support");
}

#[test]
fn a_queue_without_agents_overflows_at_once_or_after_its_wait() {
    let office = Office::acme();
    let with = |seconds, overflow: bool| {
        let mut plan = office.view.plan.clone();
        let queue = plan.queues.get_mut("support").unwrap();
        queue.agents.clear();
        queue.no_agent_wait_seconds = seconds;
        queue.overflow = queue.overflow.take().filter(|_| overflow);
        TenantView::new(plan)
    };
    let dial = |view| {
        let office = Office { view, ..Office::acme() };
        (office.dial("bob", "3001").rule, office.body(&office.dial("bob", "3001")))
    };
    assert_eq!(dial(with(0, true)).0, "Voicemail.alice");
    assert_eq!(dial(with(0, false)).1, ["hangup NO_ANSWER"]);
    let (rule, said) = dial(with(30, true));
    assert_eq!((rule.as_str(), said[2].as_str()), ("Queue.support", "callcenter support@TENANT"));
}

#[test]
fn a_menu_with_a_pound_option_takes_it_as_a_key() {
    let office = Office::acme();
    let mut plan = office.view.plan.clone();
    let target = Target { kind: DestinationKind::Extension, name: "bob".into() };
    plan.ivr_menus
        .get_mut("welcome")
        .unwrap()
        .options
        .push(centrex::plan::IvrOptionRow { digits: "9#".into(), target });
    let office = Office { view: TenantView::new(plan), ..office };
    assert_eq!(office.body(&office.dial("alice", "5001"))[0], "set ivr_menu_terminator=none");
}

#[test]
fn a_box_with_a_pin_asks_for_it_and_one_without_opens_for_its_phone_only() {
    let office = Office::acme();
    let said = |caller| office.body(&office.dial(caller, "*97")).pop().unwrap();
    assert_eq!(said("dora"), "voicemail check default acme.example.com 1005");
    assert_eq!(said("alice"), "voicemail check auth default acme.example.com 1001");
    assert_eq!(said("bob"), "hangup UNALLOCATED_NUMBER");
    // The PIN is configured but missing: a box that must ask for it does not open.
    let mut plan = office.view.plan.clone();
    plan.extensions.get_mut("dora").unwrap().secrets = Default::default();
    let office = Office { view: TenantView::new(plan), ..office };
    assert_eq!(office.body(&office.dial("dora", "*97")), ["hangup NORMAL_TEMPORARY_FAILURE"]);
}

#[test]
fn forwarding_depends_on_why_the_phone_did_not_answer() {
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
    // Only `unavailable` is set: other failures end as they are.
    for (disposition, cause) in [("USER_BUSY", "USER_BUSY"), ("NO_ANSWER", "NO_ANSWER")] {
        let answer = office.after("dora", disposition);
        assert_eq!(office.body(&answer), [format!("hangup {cause}")]);
    }
    // Only `noAnswer` is set: an unavailable phone does not answer, either.
    let answer = office.after("erik", "USER_NOT_REGISTERED");
    assert!(office.body(&answer).contains(&"voicemail default acme.example.com 1001".to_owned()));
}

#[test]
fn a_queue_continues_only_if_no_agent_served_the_caller() {
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
fn schedules_use_the_tenants_time_zone() {
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
        // The hour that occurs twice on that night is in the window both times; a window whose last hour is
        // skipped ends with the previous hour.
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
fn an_own_number_as_destination_stays_inside() {
    let office = forwarding_to("+493012345603");
    assert_eq!(office.dial("outside", "1002").rule, "RingGroup.sales");
}

/// Compile refuses loops; a plan that has one nevertheless must not end the process.
#[test]
fn a_loop_in_a_plan_ends_the_call() {
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
fn the_presence_of_a_parking_place_is_dialled_as_its_feature_code() {
    let office = Office::acme();
    // The key of a phone whose lamp shows place 7.
    assert_eq!(office.dial("alice", "park+7"), office.dial("alice", "*57"));
    let unknown = office.dial("alice", "no such number");
    for other in ["park+", "park+x", "park+7 ", "park+*97", "Park+7"] {
        assert_eq!(office.dial("alice", other).actions, unknown.actions, "{other}");
    }
}
