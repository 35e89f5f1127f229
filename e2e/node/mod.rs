//! A real node: the chart on the test's own kubelet, containerd and kube-proxy, with Postgres and phones on
//! the network outside the node.
//!
//! One node serves all steps, in order. A step that fails is reported at once, and the others run
//! nevertheless. Skipped if this machine cannot run a node, or FreeSWITCH, sipp or Postgres is missing.

mod faults;
mod install;
mod machine;
mod pods;
mod policies;
mod probe;
mod provision;
mod site;
mod truth;
mod upgrade;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use machine::{Node, outside};
use site::Site;

use crate::freeswitch::switch::installed;
use crate::postgres::Database;
use crate::skip::skip;

const TEST: &str = "node::the_chart_on_a_real_node";

/// A step: the expected behaviour, and its test.
type Step = (&'static str, fn(&mut Site));

const STEPS: &[Step] = &[
    ("the chart is installed, and everything is ready", install::installed),
    ("manifests and Namespaces applied right after the install are accepted", install::samples),
    ("phones register and call on the node's network", install::phones),
    (
        "a phone fetches its configuration from the chart's API, registers with it, and is told of a new one",
        provision::fetched,
    ),
    ("FreeSWITCH's log is in kubectl logs", install::logs),
    ("an upgrade waits for a call, and accepts no new ones", upgrade::drained),
    ("a pod ends as soon as its last call has", upgrade::ended_early),
    ("a pod without calls ends at once", upgrade::idle),
    ("an operator that is killed is replaced", faults::operator),
    ("a kubelet that is killed ends no call", faults::kubelet),
    ("a containerd that is killed ends no call", faults::containerd),
    ("a sidecar that is killed ends no call", faults::sidecar),
    ("a FreeSWITCH that is killed starts again", faults::freeswitch),
    ("a node comes back from a power cut", faults::reboot),
    ("a node comes back from a power cut while Postgres is away", faults::reboot_without_postgres),
    ("in pods, the chart satisfies the strictest level of Pod Security", pods::restricted),
    ("the chart's NetworkPolicies allow only the needed connections", policies::enforced),
    ("during an upgrade of two switches one always accepts calls", pods::rolling),
    ("a sidecar that is restarted leaves its switch to calls", pods::sidecar_restarted),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_on_a_real_node() {
    if let Err(why) = installed() {
        return skip(TEST, &why);
    }
    let Some(database) = Database::start(TEST).await else { return };
    let options = database.options();
    let socket = options.get_socket().expect("a socket").join(format!(".s.PGSQL.{}", options.get_port()));
    let name = database.name().to_owned();
    let steps = tokio::task::spawn_blocking(move || {
        let node = match Node::prepare() {
            Ok(node) => node,
            Err(why) => return Err(why),
        };
        outside(&node.network(), || run_steps(Site::start(node, &name, socket)));
        Ok(())
    });
    match steps.await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => skip(TEST, &why),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Runs all steps, and panics with the names of those that failed.
fn run_steps(mut site: Site) {
    let mut failed = Vec::new();
    for (what, step) in STEPS {
        let start = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(|| step(&mut site))).is_ok();
        let word = if ok { "ok" } else { "FAILED" };
        eprintln!("{word}: {what} ({:.1} s)", start.elapsed().as_secs_f32());
        if !ok {
            failed.push(*what);
            // The next step needs ready pods.
            let _ = catch_unwind(AssertUnwindSafe(|| site.rolled_out()));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
