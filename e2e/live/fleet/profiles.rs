//! When a profile may restart, and that no other change waits for the restart.

use super::site::{Fleet, Member};
use crate::live::lab::Call;

const PROFILE: &str = "sipprofile/internal";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_profile_restarts_when_its_policy_allows_it() {
    let Some(mut fleet) = Fleet::start("live::fleet::a_profile_is_started_anew", 1).await else { return };
    when_idle(&mut fleet);
    by_hand(&mut fleet);
    at_once(&mut fleet);
}

/// Changes the port of the phones' profile.
fn move_to(fleet: &Fleet, port: u16, policy: &str) {
    let patch = format!(r#"{{"spec": {{"sipPort": {port}, "updatePolicy": "{policy}"}}}}"#);
    fleet.site.cluster.kubectl_ok(&["patch", PROFILE, "--type=merge", "-p", &patch]);
}

/// Whether the phones' profile answers at a port.
fn listens(member: &Member, port: u16) -> bool {
    member.alice.play("register", port, &[]).completed
}

fn waits(fleet: &Fleet, why: &str) {
    fleet.site.wait_for("default", PROFILE, "Live=False RestartPending");
    fleet.says("default", PROFILE, "Live", &format!("a: SIP profile internal must be restarted: {why}"));
}

/// Two more comparisons run meanwhile.
fn compared(fleet: &Fleet) {
    let count = || fleet.switches[0].metric("centrex_switch_comparisons_total").unwrap_or_default();
    let before = count();
    fleet.eventually("two comparisons", || count() >= before + 2.0);
}

fn call(fleet: &Fleet) -> Call {
    fleet.switches[0].call(fleet.phones)
}

fn when_idle(fleet: &mut Fleet) {
    let (from, to) = (fleet.phones, fleet.phones + 1);
    let mut talk = call(fleet);
    move_to(fleet, to, "WhenIdle");
    waits(fleet, "it has calls, and updatePolicy is WhenIdle");

    // Changes that need no restart become live meanwhile, including those that make the profile rescan.
    let site = &fleet.site;
    site.cluster.apply(
        "apiVersion: centrex.dev/v1alpha1\nkind: Trunk\nmetadata: {name: second, namespace: carriers}\n\
         spec: {sipProfileRef: {name: external}, gateways: [{host: 127.0.0.43, port: 15997}]}\n",
    );
    site.wait_for("carriers", "trunk/second", "Live=True Live");
    assert!(fleet.switches[0].has_gateway("sip:127.0.0.43:15997"));
    let domains = r#"{"spec": {"domains": ["globex.example.com", "globex.example.net"]}}"#;
    site.cluster.patch("globex", "tenant/globex", domains);
    fleet.eventually("the domain", || {
        fleet.switches[0].switch.api("sofia status").contains("globex.example.net")
    });
    site.wait_for("globex", "tenant/globex", "Live=True Live");
    compared(fleet);
    waits(fleet, "it has calls, and updatePolicy is WhenIdle");
    talk.is_up(&fleet.switches[0]);
    assert!(listens(&fleet.switches[0], from) && !listens(&fleet.switches[0], to));

    talk.end(&fleet.switches[0]);
    fleet.site.wait_for("default", PROFILE, "Live=True Live");
    assert!(listens(&fleet.switches[0], to) && !listens(&fleet.switches[0], from));
    fleet.phones = to;
}

fn by_hand(fleet: &mut Fleet) {
    let (from, to) = (fleet.phones, fleet.phones + 1);
    let mut talk = call(fleet);
    move_to(fleet, to, "Manual");
    waits(fleet, "updatePolicy is Manual");
    talk.is_up(&fleet.switches[0]);
    talk.end(&fleet.switches[0]);
    compared(fleet);
    waits(fleet, "updatePolicy is Manual");
    fleet.site.wait_for("default", "switch/a", "Drifted=True Differs");
    assert!(listens(&fleet.switches[0], from));
    // Sofia refuses to stop a profile that has just started.
    fleet.eventually("a restart", || {
        fleet.switches[0].switch.api("sofia profile internal restart").contains("restarting")
    });
    fleet.site.wait_for("default", PROFILE, "Live=True Live");
    fleet.site.wait_for("default", "switch/a", "Drifted=False AsPlanned");
    assert!(listens(&fleet.switches[0], to));
    fleet.phones = to;
}

fn at_once(fleet: &mut Fleet) {
    let to = fleet.phones + 1;
    let talk = call(fleet);
    move_to(fleet, to, "Immediately");
    fleet.site.wait_for("default", PROFILE, "Live=True Live");
    assert!(listens(&fleet.switches[0], to));
    talk.ends(&fleet.switches[0]);
    fleet.phones = to;
}
