//! The sidecar is killed during many changes: the next sidecar reaches exactly the wanted state.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::site::{Fleet, Member};
use crate::freeswitch::phone::Peer;
use crate::live::lab::Call;

/// Trunks and queues that are created together.
const MANY: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sync_interrupted_by_a_crash_is_completed() {
    let Some(mut fleet) = Fleet::start("live::fleet::what_was_broken_off", 1).await else { return };
    let phones = fleet.phones;
    let member = &fleet.switches[0];
    let carol = |password, host| {
        let traces = fleet.dir.path().join("carol");
        Peer::new("1003", "acme.example.com", password, host, &traces).at(Ipv4Addr::new(127, 0, 0, 101))
    };
    let (before, after) = (carol("carol-dummy-password", 151), carol("carol-other-password", 152));
    let mut call = member.call(phones);
    member.register(&before, phones);
    member.register(&member.hank, phones);

    // All changes at once, including a password, which cannot be read back from the switch.
    let sidecar = i32::try_from(member.sidecar.as_ref().expect("a sidecar").id()).unwrap();
    let signal = |signal| kill_process(Pid::from_raw(sidecar).unwrap(), signal).unwrap();
    signal(Signal::STOP);
    fleet.site.cluster.apply(&many());
    let last = format!("queue/q{}", MANY - 1);
    fleet.site.wait_for("acme", &last, "Programmed=True Programmed");
    fleet.site.wait_for("carriers", &format!("trunk/t{}", MANY - 1), "Programmed=True Programmed");
    // The sidecar runs for short moments between stops, so that it is killed halfway on fast and slow
    // machines.
    let deadline = Instant::now() + Duration::from_secs(60);
    while queues(&fleet.switches[0]) == 1 {
        assert!(Instant::now() < deadline, "the first queue never came");
        signal(Signal::CONT);
        sleep(Duration::from_micros(500));
        signal(Signal::STOP);
    }
    let member = &mut fleet.switches[0];
    member.kill_sidecar();
    assert!(queues(member) < 1 + MANY, "nothing was broken off");
    assert!(member.is_registered(&before), "this change is applied last");
    call.is_up(member);

    member.start_sidecar(&fleet.site);
    as_it_should_be(&fleet, &mut call);
    let member = &fleet.switches[0];
    fleet.eventually("that Carol's registration is dropped", || !member.is_registered(&before));
    assert!(member.is_registered(&member.hank));
    member.register(&after, phones);

    // FreeSWITCH is killed: the next process gets the whole state, too.
    drop(call);
    let member = &mut fleet.switches[0];
    member.switch.kill();
    member.start_switch();
    let connected = || fleet.switches[0].metric("centrex_esl_connected") == Some(1.0);
    fleet.eventually("Centrex is connected again", connected);
    let mut call = fleet.switches[0].call(phones);
    as_it_should_be(&fleet, &mut call);
}

/// Trunks, queues with an agent each, and a new password of Carol's.
fn many() -> String {
    let mut all = "{apiVersion: v1, kind: Secret, metadata: {name: carol-sip, namespace: acme}, \
                   stringData: {password: carol-other-password}}\n"
        .to_owned();
    for at in 0..MANY {
        all.push_str(&format!(
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Trunk\nmetadata: {{name: t{at}, namespace: carriers}}\n\
             spec: {{sipProfileRef: {{name: external}}, gateways: [{{host: 127.0.0.44, port: {}}}]}}\n",
            15_000 + at
        ));
        all.push_str(&format!(
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Queue\nmetadata: {{name: q{at}, namespace: acme}}\n\
             spec: {{tenantRef: {{name: acme}}, number: \"{}\", strategy: RingAll, agents: [{{extensionRef: {{name: bob}}}}]}}\n",
            3100 + at
        ));
    }
    all
}

fn queues(member: &Member) -> usize {
    member.switch.api("callcenter_config queue list").lines().filter(|line| line.contains('@')).count()
}

fn as_it_should_be(fleet: &Fleet, call: &mut Call) {
    let member = &fleet.switches[0];
    let rows = |command: &str, text: &str| member.switch.api(command).matches(text).count();
    fleet.eventually("all queues, agents and gateways", || {
        queues(member) == 1 + MANY
            && rows("callcenter_config tier list", "|1002@") == MANY
            && rows("sofia xmlstatus gateway", "<gateway>") == 2 + MANY
    });
    call.is_up(member);
    fleet.site.wait_for("default", "switch/a", "Drifted=False AsPlanned");
    for (namespace, object) in [("acme", "queue/q0"), ("carriers", "trunk/t0"), ("globex", "tenant/globex")] {
        fleet.site.wait_for(namespace, object, "Live=True Live");
    }
}
