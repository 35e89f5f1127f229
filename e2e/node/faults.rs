//! Killed programs and power cuts: which functions continue, and how long the others are unavailable.

use std::time::{Duration, Instant};

use super::probe::accepts_calls;
use super::site::{HOST, NODE, Site};
use super::truth::Truth;

/// Longest duration of a test's call.
const TALK: Duration = Duration::from_secs(50);

pub fn operator(site: &mut Site) {
    let outage = killed(site, "centrex", "operator", "operator", |site| site.calls_are_answered());
    eprintln!("a killed operator: its pod was ready again after {outage:.1} s; calls went on");
}

pub fn kubelet(site: &mut Site) {
    let outage = killed(site, "kubelet", "", "switch", |site| site.calls_are_answered());
    eprintln!("a killed kubelet: pods ready after {outage:.1} s; calls went on");
}

pub fn containerd(site: &mut Site) {
    let outage = killed(site, "containerd", "", "switch", |site| site.calls_are_answered());
    eprintln!("a killed containerd: pods ready after {outage:.1} s; calls went on");
}

pub fn sidecar(site: &mut Site) {
    let outage = killed(site, "centrex", "switch", "switch", |site| {
        let outage = site.until_calls_are_answered();
        eprintln!("a killed sidecar: a new call was answered after {:.1} s", outage.as_secs_f32());
    });
    eprintln!("a killed sidecar: its pod was ready again after {outage:.1} s; a call that was up went on");
}

/// Kills a program during a call, which must continue; returns the seconds until the pods are ready.
fn killed(site: &mut Site, program: &str, word: &str, component: &str, meanwhile: impl Fn(&Site)) -> f32 {
    let mut talk = site.call_that_is_up(TALK);
    let truth = Truth::begin(site, Duration::ZERO);
    let start = Instant::now();
    site.node.kill(program, word, || meanwhile(site));
    site.wait_until("that its pods are ready", || site.pods_ready(component));
    let outage = start.elapsed().as_secs_f32();
    assert!(!talk.has_ended(), "the call that was up has ended");
    site.calls_are_answered();
    truth.end(format!("a killed {program} {word}").trim_end());
    outage
}

pub fn freeswitch(site: &mut Site) {
    let truth = Truth::begin(site, Duration::ZERO);
    let start = Instant::now();
    site.node.kill("freeswitch", "", || ());
    site.wait_until("407 to a new call", || accepts_calls(NODE));
    let takes = start.elapsed().as_secs_f32();
    site.until_calls_are_answered();
    let answered = start.elapsed().as_secs_f32();
    site.wait_until("that its pod is ready", || site.pods_ready("switch"));
    let ready = start.elapsed().as_secs_f32();
    eprintln!(
        "a killed FreeSWITCH: took calls after {takes:.1} s, a registered phone was called after {answered:.1} s, \
         ready after {ready:.1} s"
    );
    truth.end("a killed FreeSWITCH");
}

/// How long a switch may answer from its last good state after a power cut, before it has read Postgres.
const LAST_GOOD: Duration = Duration::from_secs(10);

pub fn reboot(site: &mut Site) {
    let truth = Truth::begin(site, LAST_GOOD);
    rebooted(site, "a power cut");
    site.wait_until("the operator", || site.pods_ready("operator"));
    site.calls_are_answered();
    truth.end("a power cut");
}

pub fn reboot_without_postgres(site: &mut Site) {
    site.gate.shut(true);
    rebooted(site, "a power cut without Postgres");
    site.gate.shut(false);
    site.wait_until("the operator", || site.pods_ready("operator"));
    // A change reaches the switch.
    let patch = "{\"spec\": {\"displayName\": \"Bob After\"}}";
    site.cluster.patch("acme", "extension/bob", patch);
    let generation = "jsonpath={.metadata.generation}";
    let generation = site.cluster.kubectl_ok(&["get", "extension", "bob", "-n", "acme", "-o", generation]);
    let path = "--for=jsonpath={.status.conditions[?(@.type=='Ready')].observedGeneration}";
    let wait = ["wait", "-n", "acme", "extension/bob", "--timeout=300s", &format!("{path}={generation}")];
    let output = site.cluster.kubectl(&wait);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    site.cluster.kubectl_ok(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=300s",
        "-n",
        "acme",
        "extension/bob",
    ]);
    site.release(&HOST);
    site.rolled_out();
    site.calls_are_answered();
}

fn rebooted(site: &mut Site, what: &str) {
    let start = Instant::now();
    site.node.cut();
    let boot = site.node.boot().as_secs_f32();
    site.wait_until("407 to a new call", || accepts_calls(NODE));
    let takes = start.elapsed().as_secs_f32();
    site.until_calls_are_answered();
    let answered = start.elapsed().as_secs_f32();
    site.wait_until("the switch", || site.pods_ready("switch"));
    let ready = start.elapsed().as_secs_f32();
    eprintln!(
        "{what}: the node was ready after {boot:.1} s, took calls after {takes:.1} s, a call was answered after \
         {answered:.1} s, the switch was ready after {ready:.1} s"
    );
}
