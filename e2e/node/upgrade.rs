//! The end of a switch's pod, as the kubelet performs it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::probe::invite;
use super::site::{DRAIN, HOST, NODE, PHONES, Site};
use crate::chart::release::NAME;

/// Time to end a pod after its last call: 5 seconds for FreeSWITCH, its sidecar and the kubelet, and several
/// times that on a busy machine. A pod that waited for its whole grace period, `LONG`, would take longer.
const END: Duration = Duration::from_secs(30);
/// Grace period of the second pod, whose calls end earlier.
const LONG: [&str; 2] = ["switch.drainSeconds=60", "switch.terminationGracePeriodSeconds=90"];
/// Duration of a call that ends before its pod's grace period.
const SHORT: Duration = Duration::from_secs(2);

pub fn drained(site: &mut Site) {
    site.forget_events();
    let before = site.switch_uid();
    let mut talk = site.call_that_is_up(Duration::from_secs(60));
    site.release(&[HOST, LONG].concat());
    let mut asked = None;
    site.wait_until("that the pod is to end", || {
        asked = site.pods("switch").iter().find_map(asked_to_end);
        asked.is_some()
    });
    let since = || Timestamp::now().duration_since(asked.expect("its time")).unsigned_abs();
    site.wait_until("503 to a new call", || talk.has_ended() || invite(NODE) == Some(503));
    assert!(!talk.has_ended(), "the call was cut after {:?}; {:?}", since(), site.failed_hooks());
    let refused = site.carol.play("call", PHONES, &[("dial", "1002")]);
    assert_eq!(refused.status(), Some(503), "{}", refused.trace);
    site.wait_until("the call's end", || talk.has_ended());
    let lived = since();
    assert!(lived + Duration::from_secs(2) > DRAIN && lived < DRAIN + END, "the call lived for {lived:?}");
    site.wait_until("another pod", || site.switch_uid() != before);
    site.rolled_out();
    eprintln!(
        "from the pod's end: the call lived for {:.1} s; another pod was ready after {:.1} s",
        lived.as_secs_f32(),
        since().as_secs_f32()
    );
    site.calls_are_answered();
    assert_eq!(site.failed_hooks(), [""; 0]);
}

pub fn ended_early(site: &mut Site) {
    let mut talk = site.call_that_is_up(SHORT);
    let gone = end_of_pod(site, || talk.has_ended());
    eprintln!("the pod was gone {:.1} s after its last call", gone.as_secs_f32());
    assert!(gone < END, "{gone:?} after the last call");
}

pub fn idle(site: &mut Site) {
    let gone = end_of_pod(site, || true);
    eprintln!("a pod without calls was gone after {:.1} s", gone.as_secs_f32());
    assert!(gone < END, "{gone:?}");
}

/// Deletes the switch's pod, and returns how long the pod existed after an action. No hook may fail.
fn end_of_pod(site: &Site, mut happened: impl FnMut() -> bool) -> Duration {
    site.forget_events();
    let before = site.switch_uid();
    site.cluster.kubectl_ok(&["delete", "pod", "-n", NAME, "centrex-switch-0", "--wait=false"]);
    site.wait_until("what the pod waits for", &mut happened);
    let gone = site.wait_until("the pod's end", || site.switch_uid() != before);
    site.rolled_out();
    site.calls_are_answered();
    assert_eq!(site.failed_hooks(), [""; 0]);
    gone
}

/// When the deletion of a pod was requested, in seconds; `None` if it was not.
fn asked_to_end(pod: &Value) -> Option<Timestamp> {
    let killed: Timestamp = pod["metadata"]["deletionTimestamp"].as_str()?.parse().expect("a time");
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64()?;
    Some(killed - SignedDuration::from_secs(grace))
}
