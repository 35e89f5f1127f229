//! The end of a pod during a call: the answers to its hooks and probes. And a sidecar that restarts alone,
//! which ends the pod's drain and not one that a person requested.

use std::time::{Duration, Instant};

use super::lab::{Lab, run};
use super::repair::centrex;

#[test]
fn a_pod_drains_its_calls_and_starts_again() {
    run(
        "live::ending::a_pod_drains_its_calls_and_starts_again",
        &[],
        &[
            ("a switch is ready when phones can register, and not before", ready),
            ("a requested drain survives a restart of the sidecar", asked_for),
            ("a pod that ends lets calls end, and its hook does not fail", ending),
            ("a restarted sidecar accepts calls again", anew),
            ("the end of a pod does not undo a requested drain", both),
            ("the end of a pod does not wait for a FreeSWITCH that has ended", gone),
        ],
    );
}

/// The answer to the probe of FreeSWITCH's container.
fn probe(lab: &Lab) -> String {
    lab.centrex.get("/readyz/freeswitch").expect("an answer")
}

fn is_ready(lab: &Lab) -> bool {
    probe(lab).starts_with("HTTP/1.1 200")
}

/// Whether the switch accepts a new call.
fn accepts_calls(lab: &Lab) -> bool {
    let played = lab.alice.play("call", lab.phones, &[("dial", "4000")]);
    assert!(played.completed || played.status() == Some(503), "{}", played.trace);
    played.completed
}

fn ready(lab: &mut Lab) {
    lab.eventually("the switch is ready", || is_ready(lab));
    lab.switch.signal("-KILL");
    lab.eventually("the probe reports that FreeSWITCH has ended", || {
        probe(lab).contains("503") && probe(lab).contains("the event socket of FreeSWITCH is not connected")
    });
    lab.restart_switch();
    lab.eventually("the probe knows that FreeSWITCH listens", || is_ready(lab));
    // The switch is not ready too early: the first phone is served.
    lab.register(&[&lab.alice, &lab.bob]);
    // A profile that stops does not make the switch unready; a switch without any profile is unready.
    lab.switch.api("sofia profile external stop");
    assert!(is_ready(lab), "{}", probe(lab));
}

fn asked_for(lab: &mut Lab) {
    let (done, text) = centrex(lab, &["drain", "--limit", "20"]);
    assert!(done, "{text}");
    assert!(probe(lab).contains("the switch is drained"), "{}", probe(lab));
    lab.restart_sidecar();
    assert!(!accepts_calls(lab) && probe(lab).contains("the switch is drained"), "{}", probe(lab));
    let (done, text) = centrex(lab, &["resume"]);
    assert!(done, "{text}");
    lab.eventually("the switch is ready again", || is_ready(lab));
    assert!(accepts_calls(lab));
}

fn ending(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob]);
    let mut call = lab.call();
    let start = Instant::now();
    let waits = std::thread::scope(|scope| {
        let waits =
            scope.spawn(|| (lab.centrex.get("/drained?seconds=4").expect("an answer"), start.elapsed()));
        let (done, text) = centrex(lab, &["drain", "--ending", "--limit", "2"]);
        assert!(
            done && text.contains("2 call legs are still up after 2 seconds; they end with the pod"),
            "{text}"
        );
        waits.join().expect("a waiter")
    });
    assert!(
        waits.0.contains("calls are up, and the time is over") && waits.1 >= Duration::from_secs(4),
        "{waits:?}"
    );
    call.is_up(lab);
    assert!(!accepts_calls(lab));
    // The Service sends no new traffic to the pod; phones in a call must still reach the switch.
    assert!(is_ready(lab), "{}", probe(lab));
    // The pod ends as soon as the call does.
    let start = Instant::now();
    std::thread::scope(|scope| {
        let hook = scope.spawn(|| centrex(lab, &["drain", "--ending", "--limit", "50"]));
        let waits = scope.spawn(|| lab.centrex.get("/drained?seconds=50").expect("an answer"));
        std::thread::sleep(Duration::from_secs(1));
        call.end(lab);
        let (done, text) = hook.join().expect("the hook");
        assert!(done && text.contains("no new calls; 0 call legs are up"), "{text}");
        assert!(waits.join().expect("a waiter").contains("no call is up"));
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

fn anew(lab: &mut Lab) {
    assert!(!accepts_calls(lab));
    lab.restart_sidecar();
    lab.eventually("new calls are accepted", || accepts_calls(lab));
    lab.eventually("the switch is ready", || is_ready(lab));
    lab.restart_sidecar();
    assert!(accepts_calls(lab));
}

fn both(lab: &mut Lab) {
    for order in [&["drain", "--limit", "20"][..], &["drain", "--ending", "--limit", "20"]] {
        let (done, text) = centrex(lab, order);
        assert!(done, "{text}");
    }
    lab.restart_sidecar();
    assert!(!accepts_calls(lab) && !is_ready(lab), "{}", probe(lab));
    let (done, text) = centrex(lab, &["resume"]);
    assert!(done && accepts_calls(lab), "{text}");
}

/// A switch that ended while its calls were awaited, and one that had ended before.
fn gone(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob]);
    let call = lab.call();
    for order in [&["drain", "--limit", "60"][..], &["drain", "--ending", "--limit", "60"]] {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| lab.centrex.get("/drained?seconds=50").expect("an answer"));
            let hook = scope.spawn(|| centrex(lab, order));
            std::thread::sleep(Duration::from_secs(2));
            lab.switch.signal("-KILL");
            let (done, text) = hook.join().expect("the hook");
            assert!(done && text.contains("FreeSWITCH has ended: no call is waited for"), "{text}");
            assert!(waits.join().expect("a waiter").contains("no call is up"));
        });
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    }
    drop(call);
}
