//! Attacks by a phone with valid credentials: each of them harmed some switch.

use std::time::Duration;

use super::lab::Lab;
use super::nothing_left;
use crate::program::repository;
use crate::wait::{DEADLINE, until};

/// Contract §10.1: such a message ran a shell on a switch with chat enabled.
pub fn message(lab: &Lab) {
    let file = lab.switch_dir().join("temp/by-a-message");
    let command = format!("api+system%20touch%20{}", file.display());
    lab.alice.play("message", lab.phones, &[("dial", &command)]);
    std::thread::sleep(Duration::from_millis(500)); // a shell would start, and touch the file, later
    assert!(!file.exists(), "a phone ran a command on the switch");
}

pub fn subscriptions(lab: &Lab) {
    let by = |watched: &str, host: &str| {
        lab.alice.play("subscribe", lab.phones, &[("watched", watched), ("watched_host", host)])
    };
    for watched in ["1002", "park+5"] {
        let own = by(watched, "acme.example.com");
        assert!(own.completed, "{}", own.trace);
    }
    // The subscription code treats the second header like the first.
    for (watched, host) in
        [("1001", "globex.example.com"), ("sip+1001+globex.example.com", "acme.example.com")]
    {
        let foreign = by(watched, host);
        assert!(!foreign.completed && foreign.status() == Some(401), "{}", foreign.trace);
    }
}

/// Contract §12.1: this request ran a shell on v1.10.12, through a leg that it created.
pub fn refer(lab: &Lab) {
    let recording = repository("e2e/recorded/attack-sip-refer-originate-injection-1.10.12.sip.txt");
    let recording = std::fs::read_to_string(recording).expect("the recording");
    let refer_to = recording.lines().find_map(|line| line.strip_prefix("Refer-To: ")).expect("its target");
    let file = lab.switch_dir().join("temp/by-a-refer");
    let refer_to = refer_to
        .replace("127.0.0.1:55215", &format!("{}:{}", lab.carol.address, lab.carol.port))
        .replace("/tmp/refer_marker", &file.display().to_string());
    let (bob, carol) = (lab.bob.listen("answer", lab.phones), lab.carol.listen("answer", lab.phones));
    // The request is refused with 405, or the scenario ends; then both phones talk on.
    let talk = Duration::from_secs(2);
    let call =
        lab.alice.play_talking("refer", lab.phones, &[("dial", "1002"), ("refer_to", &refer_to)], talk);
    let (bob, carol) = (bob.end(), carol.end());
    assert!(call.completed && call.trace.contains("execute_on_originate"), "{}", call.trace);
    assert_eq!((bob.received("INVITE").len(), bob.received("BYE").len()), (1, 1), "{}", bob.trace);
    assert_eq!(carol.received("INVITE").len(), 0, "{}", carol.trace);
    assert!(!file.exists(), "a phone ran a command on the switch");
}

/// FreeSWITCH answers such a call and runs `intercept` for it without a dialplan lookup.
pub fn takeover(lab: &Lab) {
    // A leg of the previous call would become the victim, and the attack would not be tested.
    nothing_left(lab);
    let bob = lab.bob.listen("answer", lab.phones);
    let mut call = lab.alice.begin("call", lab.phones, &[("dial", "1002")], Duration::from_secs(20));
    let variable =
        |leg: &str, name: &str| lab.switch.api(&format!("uuid_getvar {leg} {name}")).trim().to_owned();
    // Both legs are answered: before that no tag exists that Carol could name.
    let is_answered = |leg: &String| variable(leg, "sip_to_tag") != "_undef_";
    let up = || Some(lab.switch.legs()).filter(|legs| legs.len() == 2 && legs.iter().all(is_answered));
    let legs = until(DEADLINE, up).expect("a call");
    // Alice's leg: only its tags have the right order.
    let alice = legs.iter().find(|leg| variable(leg, "direction") == "inbound").expect("the leg that called");
    let replaces = format!(
        "{};to-tag={};from-tag={}",
        variable(alice, "sip_call_id"),
        variable(alice, "sip_to_tag"),
        variable(alice, "sip_from_tag")
    );
    let carol = lab.carol.play("takeover", lab.phones, &[("dial", "1002"), ("replaces", &replaces)]);
    assert!(carol.completed, "{}", carol.trace);
    // Carol's own leg is listed for a moment after its BYE.
    let as_before = || (lab.switch.legs() == legs).then_some(());
    let as_before = until(DEADLINE, as_before);
    assert!(as_before.is_some(), "{legs:?} became {:?}: {}", lab.switch.legs(), carol.trace);
    assert!(!call.has_ended());
    // If the header had named no call, Bob's phone would have rung again.
    let bob = bob.end();
    assert_eq!((bob.received("INVITE").len(), bob.received("BYE").len()), (1, 0), "{}", bob.trace);
    drop(call);
    for leg in legs {
        lab.switch.api(&format!("uuid_kill {leg}"));
    }
    nothing_left(lab);
}

/// Contract §9: a number on the switch itself ran in the caller's dialplan.
pub fn moved(lab: &Lab) {
    for contact in [
        format!("sip:9000@{}:{}", lab.stranger.address, lab.stranger.port),
        "sip:1003@127.0.0.1".to_owned(),
        format!("sip:1003@{}", lab.carol.domain),
    ] {
        let bob = lab.bob.listen_with("moved", lab.phones, &[("contact", &contact)]);
        let (stranger, carol) =
            (lab.stranger.listen("answer", lab.phones), lab.carol.listen("answer", lab.phones));
        let call = lab.alice.play("call", lab.phones, &[("dial", "1002")]);
        // FreeSWITCH passes the answer on, without a contact to follow.
        assert!(!call.completed && call.status() == Some(302), "{contact}: {}", call.trace);
        assert!(
            call.trace.contains("REQUESTED_CHAN_UNAVAIL") && !call.trace.contains(&contact),
            "{}",
            call.trace
        );
        for (seen, invites) in [(bob.end(), 1), (stranger.end(), 0), (carol.end(), 0)] {
            assert_eq!(seen.received("INVITE").len(), invites, "{contact}: {}", seen.trace);
        }
    }
}
