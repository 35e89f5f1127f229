//! Three switches: a live resource is applied on all of them, and no resource waits long for a lost switch.

use super::site::{Fleet, gateways};
use crate::freeswitch::phone::{Listener, Peer};
use crate::operator::Site;
use crate::wait::{DEADLINE, until};

/// A carrier that requires registration.
fn trunk(port: u16) -> String {
    format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: second, namespace: carriers}}, stringData: {{password: registrar-dummy}}}}\n---\n\
         apiVersion: centrex.dev/v1alpha1\nkind: Trunk\nmetadata: {{name: second, namespace: carriers}}\n\
         spec:\n  sipProfileRef: {{name: external}}\n  gateways: [{{host: 127.0.0.140, port: {port}}}]\n\
         \x20 registration: {{username: acme, secretRef: {{name: second}}, expirySeconds: 30}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_live_resource_is_applied_on_every_switch() {
    let Some(mut fleet) = Fleet::start("live::fleet::a_live_resource_is_applied_on_every_switch", 3).await
    else {
        return;
    };
    one_is_stuck(&fleet);
    let registrar = registrar(&fleet);
    gateway_comes_and_goes(&fleet, &registrar);
    one_is_lost(&mut fleet);
}

/// FreeSWITCH at c hangs: its sidecar has received the change, which is not live there.
fn one_is_stuck(fleet: &Fleet) {
    let (site, c) = (&fleet.site, &fleet.switches[2].switch);
    c.signal("-STOP");
    site.wait_for("default", "switch/c", "Ready=False Disconnected");
    site.cluster.apply(&site.extension("acme", 1101));
    fleet.says("acme", "extension/e1101", "Live", "2/3 switches answer with it; missing: c");
    // The same for resources of the platform.
    lets_in(site, "192.0.2.9");
    fleet.says("carriers", "trunk/carrier", "Live", "2/3 switches answer with it; missing: c");
    // A minute later no resource waits for c, although its sidecar still reports.
    let left_out =
        || fleet.message("default", "switch/c", "Ready").contains("no resource waits for it any more");
    assert!(until(DEADLINE, || left_out().then_some(())).is_some(), "c still counts\n{}", fleet.logs());
    site.wait_for("acme", "extension/e1101", "Live=True Live");
    site.wait_for("carriers", "trunk/carrier", "Live=True Live");
    c.signal("-CONT");
    fleet.eventually("the address at c", || c.api("acl 192.0.2.9 trunks") == "true");
    for member in &fleet.switches {
        assert_eq!(member.switch.api("acl 192.0.2.9 trunks"), "true", "{}", member.name);
    }
    site.wait_for("default", "switch/c", "Ready=True Reporting");
}

/// The carrier's only address.
fn lets_in(site: &Site, address: &str) {
    let patch = format!(r#"{{"spec": {{"sourceAddresses": ["{address}/32"]}}}}"#);
    let carrier = ["-n", "carriers", "trunk", "carrier"];
    site.cluster.kubectl_ok(&[&["patch"], &carrier[..], &["--type=merge", "-p", &patch]].concat());
}

fn registrar(fleet: &Fleet) -> Peer {
    Peer::new("acme", "127.0.0.140", "none", 140, &fleet.dir.path().join("registrar"))
}

/// A gateway registers at every switch; Live means that the gateway exists.
fn gateway_comes_and_goes(fleet: &Fleet, registrar: &Peer) {
    let site = &fleet.site;
    let proxy = format!("sip:127.0.0.140:{}", registrar.port);
    let listens = || -> Listener { registrar.listen("registrar", fleet.trunks) };
    let answers = listens();
    let mut calls = fleet.calls();
    site.cluster.apply(&trunk(registrar.port));
    site.wait_for("carriers", "trunk/second", "Live=True Live");
    for member in &fleet.switches {
        assert!(member.has_gateway(&proxy), "live, and not at {}", member.name);
    }
    fleet.are_up(&mut calls);
    fleet.hang_up(calls);
    site.wait_for("carriers", "trunk/second", "Registered=True Registered");
    let trunk = site.get("carriers", "trunk/second").expect("the trunk");
    assert_eq!(trunk["status"]["registered"], "3/3", "{trunk}");
    assert_eq!(gateways(&trunk), ["a REGED", "b REGED", "c REGED"]);

    // The registrar stops: each switch reports it, and recovers by itself.
    answers.end();
    site.wait_for("carriers", "trunk/second", "Registered=False NotRegistered");
    let failing = || {
        let trunk = site.get("carriers", "trunk/second").unwrap_or_default();
        trunk["status"]["registered"] == "0/3"
            && gateways(&trunk).iter().all(|row| row.ends_with(" FAIL_WAIT"))
    };
    fleet.eventually("that the trunk is registered nowhere", failing);
    let told = fleet.message("carriers", "trunk/second", "Registered");
    assert!(told.contains("0/3 registered") && told.contains("a at 127.0.0.140: FAIL_WAIT"), "{told}");
    let conditions = site.conditions("carriers", "trunk/second");
    assert!(
        conditions.contains(&"Ready=True Ready".to_owned()),
        "the carrier is no part of it: {conditions:?}"
    );
    let answers = listens();
    site.wait_for("carriers", "trunk/second", "Registered=True Registered");
    let mut calls = fleet.calls();
    site.cluster.kubectl_ok(&["delete", "trunk", "-n", "carriers", "second"]);
    for member in &fleet.switches {
        fleet.eventually("no gateway", || !member.has_gateway(&proxy));
    }
    fleet.are_up(&mut calls);
    fleet.hang_up(calls);
    answers.end();
}

/// One machine is lost: the statuses name it, and after a while ignore it; when it is back, it counts again.
fn one_is_lost(fleet: &mut Fleet) {
    let mut calls = fleet.calls();
    drop(calls.pop());
    let c = &mut fleet.switches[2];
    c.kill_sidecar();
    c.switch.kill();
    let site = &fleet.site;
    site.cluster.apply(&site.extension("acme", 1102));
    fleet.says("acme", "extension/e1102", "Live", "2/3 switches answer with it; missing: c");
    site.wait_for("acme", "extension/e1102", "Live=True Live");
    fleet.are_up(&mut calls);
    fleet.hang_up(calls);
    site.wait_for("default", "switch/c", "Ready=Unknown Silent");
    lets_in(site, "192.0.2.10");
    site.wait_for("carriers", "trunk/carrier", "Live=True Live");

    fleet.switches[2].start_sidecar(&fleet.site);
    fleet.switches[2].start_switch();
    let (site, c) = (&fleet.site, &fleet.switches[2]);
    site.wait_for("default", "switch/c", "Ready=True Reporting");
    site.wait_for("default", "switch/c", "Drifted=False AsPlanned");
    assert_eq!(c.switch.api("acl 192.0.2.10 trunks"), "true");
    let new = c.switch.api("user_exists id 1102 acme.example.com");
    assert_eq!(new, "true");
    site.cluster.apply(&site.extension("acme", 1103));
    site.wait_for("acme", "extension/e1103", "Live=True Live");
}
