//! Menus, queues without agents, and groups that a member calls, on a real FreeSWITCH.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, run};
use crate::program::repository;
use crate::wait::{DEADLINE, until};

/// Rooms in which a call stays, so that the test sees where it went; menus, queues and a group.
const MANIFESTS: &str = r##"
apiVersion: centrex.dev/v1alpha1
kind: Conference
metadata: {name: chosen, namespace: acme}
spec: {tenantRef: {name: acme}}
---
apiVersion: centrex.dev/v1alpha1
kind: Conference
metadata: {name: quiet, namespace: acme}
spec: {tenantRef: {name: acme}}
---
apiVersion: centrex.dev/v1alpha1
kind: Conference
metadata: {name: wrong, namespace: acme}
spec: {tenantRef: {name: acme}}
---
apiVersion: centrex.dev/v1alpha1
kind: Conference
metadata: {name: short, namespace: acme}
spec: {tenantRef: {name: acme}, number: "10"}
---
apiVersion: centrex.dev/v1alpha1
kind: Conference
metadata: {name: medium, namespace: acme}
spec: {tenantRef: {name: acme}, number: "12"}
---
apiVersion: centrex.dev/v1alpha1
kind: Conference
metadata: {name: long, namespace: acme}
spec: {tenantRef: {name: acme}, number: "2009"}
---
apiVersion: centrex.dev/v1alpha1
kind: IvrMenu
metadata: {name: choices, namespace: acme}
spec:
  tenantRef: {name: acme}
  number: "5100"
  timeoutSeconds: 5
  maxFailures: 1
  directDial: true
  options:
    - {digits: "1", destination: {kind: Conference, name: chosen}}
    - {digits: "10", destination: {kind: Conference, name: chosen}}
    - {digits: "20", destination: {kind: Conference, name: chosen}}
    - {digits: "*9", destination: {kind: Conference, name: chosen}}
    - {digits: "9#", destination: {kind: Conference, name: chosen}}
    - {digits: "77777", destination: {kind: Conference, name: chosen}}
  noInput: {kind: Conference, name: quiet}
  invalidInput: {kind: Conference, name: wrong}
---
apiVersion: centrex.dev/v1alpha1
kind: Queue
metadata: {name: at-once, namespace: acme}
spec: {tenantRef: {name: acme}, number: "3100", agents: [], overflow: {kind: Conference, name: chosen}}
---
apiVersion: centrex.dev/v1alpha1
kind: Queue
metadata: {name: patient, namespace: acme}
spec: {tenantRef: {name: acme}, number: "3200", agents: [], whenNoAgents: {waitSeconds: 5}, overflow: {kind: Conference, name: chosen}}
---
apiVersion: centrex.dev/v1alpha1
kind: Queue
metadata: {name: staffed, namespace: acme}
spec: {tenantRef: {name: acme}, number: "3300", agents: [{extensionRef: {name: carol}}], overflow: {kind: Conference, name: chosen}}
---
apiVersion: centrex.dev/v1alpha1
kind: RingGroup
metadata: {name: own, namespace: acme}
spec:
  tenantRef: {name: acme}
  number: "2100"
  members: [{extensionRef: {name: alice}}, {extensionRef: {name: bob}}]
---
apiVersion: centrex.dev/v1alpha1
kind: RingGroup
metadata: {name: alone, namespace: acme}
spec:
  tenantRef: {name: acme}
  number: "2200"
  members: [{extensionRef: {name: alice}}]
  noAnswer: {kind: Conference, name: chosen}
"##;

#[test]
fn menus_queues_and_groups_on_a_real_freeswitch() {
    run(
        "live::menus::menus_queues_and_groups_on_a_real_freeswitch",
        &[],
        &[
            ("menus, queues and groups come", arrive),
            ("an option goes before an internal number, whatever their lengths", options),
            ("what is no option is dialled, if it is a number", direct_dial),
            ("nothing and wrong keys lead to different places", failures),
            ("a queue without agents overflows at once", overflow_at_once),
            ("a queue without agents overflows after its wait", overflow_after_wait),
            ("an agent whose phone is not registered is an agent, one who left is none", agents),
            ("a member who calls its group does not ring", own_group),
        ],
    );
}

fn arrive(lab: &mut Lab) {
    lab.add(MANIFESTS);
    lab.eventually("the queue", || lab.switch.api("callcenter_config queue list").contains("staffed@"));
    lab.register(&[&lab.alice, &lab.bob]);
}

/// What a leg does: where it was sent last, and its application.
fn doing(lab: &Lab, leg: &str) -> Option<(String, String)> {
    let answer: Value = serde_json::from_str(&lab.switch.api("show channels as json")).ok()?;
    let row = answer["rows"].as_array()?.iter().find(|row| row["uuid"] == leg)?.clone();
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    Some((text("dest"), text("application")))
}

/// Alice calls a number; gives the leg to `work` when an application of hers runs, and ends the call.
fn calling<T>(lab: &Lab, number: &str, application: &str, work: impl FnOnce(&str) -> T) -> T {
    calling_by(lab, "call", number, application, work)
}

/// The same by a scenario.
fn calling_by<T>(
    lab: &Lab,
    scenario: &str,
    number: &str,
    application: &str,
    work: impl FnOnce(&str) -> T,
) -> T {
    let talk = lab.alice.begin(scenario, lab.phones, &[("dial", number)], Duration::from_secs(60));
    let runs = || {
        let leg = lab.switch.legs().pop()?;
        (doing(lab, &leg)?.1 == application).then_some(leg)
    };
    let Some(leg) = until(DEADLINE, runs) else {
        panic!("{number} does not come to {application}: {:?}\n{}", lab.switch.legs(), lab.logs())
    };
    let result = work(&leg);
    lab.switch.api(&format!("uuid_kill {leg}"));
    drop(talk);
    lab.eventually("the end of the call", || lab.switch.legs().is_empty());
    result
}

/// Where a leg is once it is in a room: its last destination, without signature.
fn room(lab: &Lab, leg: &str) -> String {
    let there = until(DEADLINE, || doing(lab, leg).filter(|(_, application)| application == "conference"));
    let dest = there.unwrap_or_else(|| panic!("in no room: {:?}\n{}", doing(lab, leg), lab.logs())).0;
    dest.split_once("-to-").map_or(dest.clone(), |(_, target)| target.to_owned())
}

/// Where keys lead that are pressed in the menu, one after the other.
fn pressed(lab: &Lab, keys: &str) -> String {
    let scenario = lab.dir.path().join("keys");
    std::fs::write(scenario.with_extension("xml"), scenario_of(keys)).expect("a scenario");
    calling_by(lab, scenario.to_str().expect("a path"), "5100", "ivr", |leg| room(lab, leg))
}

/// The scenario of a phone that presses one key, with as many as these.
fn scenario_of(keys: &str) -> String {
    let one =
        std::fs::read_to_string(repository("e2e/freeswitch/menu.xml")).expect("the scenario of one key");
    let (call, press) = one.split_once("  <send retrans=\"500\"><![CDATA[\n\n      INFO").expect("an INFO");
    let (press, end) = press.split_once("  <pause milliseconds=\"5000\"/>").expect("a pause after it");
    let presses = keys.chars().enumerate().map(|(index, key)| {
        let press = press.replace("[digit]", &key.to_string());
        let press = press.replace("CSeq: 3 ", &format!("CSeq: {} ", 3 + index));
        format!("  <send retrans=\"500\"><![CDATA[\n\n      INFO{press}  <pause milliseconds=\"200\"/>\n")
    });
    let end = end.replace("CSeq: 4 ", &format!("CSeq: {} ", 3 + keys.len()));
    format!("{call}{}  <pause milliseconds=\"60000\"/>{end}", presses.collect::<String>())
}

fn options(lab: &mut Lab) {
    for keys in ["1", "10", "20", "*9", "9#", "77777"] {
        assert_eq!(pressed(lab, keys), "conference-chosen", "{keys}");
    }
}

fn direct_dial(lab: &mut Lab) {
    for keys in ["12", "2009", "4000"] {
        assert_eq!(pressed(lab, keys), keys);
    }
}

fn failures(lab: &mut Lab) {
    assert_eq!(pressed(lab, ""), "conference-quiet");
    // Of the length of internal numbers, and not one of them.
    for keys in ["13", "2010", "8"] {
        assert_eq!(pressed(lab, keys), "conference-wrong", "{keys}");
    }
}

fn overflow_at_once(lab: &mut Lab) {
    calling(lab, "3100", "conference", |leg| assert_eq!(room(lab, leg), "3100"));
}

fn overflow_after_wait(lab: &mut Lab) {
    calling(lab, "3200", "callcenter", |leg| {
        let start = Instant::now();
        room(lab, leg);
        let waited = start.elapsed();
        assert!((3..=9).contains(&waited.as_secs()), "{waited:?}");
    });
}

fn agents(lab: &mut Lab) {
    calling(lab, "3300", "callcenter", |leg| {
        // Carol's phone is not registered: FreeSWITCH goes on trying it.
        std::thread::sleep(Duration::from_secs(7));
        assert_eq!(doing(lab, leg).unwrap().1, "callcenter");
        let agents = lab.switch.api("callcenter_config agent list");
        let carol = agents.lines().find(|line| line.starts_with("1003@")).expect("Carol");
        let name = carol.split('|').next().unwrap().to_owned();
        let set = lab.switch.api(&format!("callcenter_config agent set status {name} 'Logged Out'"));
        assert!(set.starts_with("+OK"), "{set}");
        room(lab, leg);
        lab.switch.api(&format!("callcenter_config agent set status {name} Available"));
    });
}

fn own_group(lab: &mut Lab) {
    let (alice, bob) = (lab.alice.listen("answer", lab.phones), lab.bob.listen("answer", lab.phones));
    let call = lab.alice.play("call", lab.phones, &[("dial", "2100")]);
    let (alice, bob) = (alice.end(), bob.end());
    assert!(call.completed, "{}", call.trace);
    assert_eq!(bob.received("INVITE").len(), 1, "{}", bob.trace);
    assert_eq!(alice.received("INVITE").len(), 0, "{}", alice.trace);
    lab.eventually("the end of the call", || lab.switch.legs().is_empty());
    calling(lab, "2200", "conference", |leg| assert_eq!(room(lab, leg), "2200"));
}
