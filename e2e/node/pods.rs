//! Two switches in pods with their own network, behind the chart's Service.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::probe::{Watch, accepts_calls};
use super::site::{PODS, Site};
use crate::chart::release::NAME;

/// A gap that late answers on a busy machine can simulate.
const MOMENT: Duration = Duration::from_secs(5);
/// How long the Service may still route to a switch that accepts no more calls.
const SERVICE: Duration = Duration::from_secs(6);

pub fn restricted(site: &mut Site) {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    // A warning is expected: the previous pods are on the node's network.
    let output = site.cluster.kubectl(&["label", "namespace", NAME, label, "--overwrite"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    site.release(&PODS);
    site.rolled_out();
    site.wait_until("both switches", || site.pods("switch").len() == 2 && site.pods_ready("switch"));
    for address in addresses(site) {
        assert!(accepts_calls(address), "{address} is ready, and accepts no calls\n{}", site.state());
    }
    assert!(accepts_calls(service(site)), "not through the Service\n{}", site.state());
}

pub fn rolling(site: &mut Site) {
    site.forget_events();
    let all = Arc::new(Mutex::new(addresses(site)));
    // New pods have new addresses.
    let mut follow = Command::new(site.cluster.program())
        .args(["get", "pods", "-n", NAME, "-l", "app.kubernetes.io/component=switch", "--watch"])
        .args(["-o", "jsonpath={.status.podIP}{\"\\n\"}"])
        .env("KUBECONFIG", site.cluster.kubeconfig())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let lines = BufReader::new(follow.stdout.take().expect("its output")).lines();
    let found = all.clone();
    std::thread::spawn(move || {
        for address in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
            let mut found = found.lock().expect("addresses");
            if !found.contains(&address) {
                found.push(address);
            }
        }
    });
    let pods = Watch::begin(all.clone());
    let through = Watch::begin(Arc::new(Mutex::new(vec![service(site)])));
    site.release(&PODS);
    site.rolled_out();
    let (pods, through) = (pods.end(), through.end());
    let _ = follow.kill();
    let _ = follow.wait();
    eprintln!(
        "while two switches were replaced, none took calls for {:.1} s at most, through the Service {:.1} s",
        pods.as_secs_f32(),
        through.as_secs_f32()
    );
    assert!(all.lock().expect("addresses").len() >= 4, "new pods were not seen");
    assert!(pods < MOMENT, "no switch took calls for {pods:?}");
    assert!(through < SERVICE, "through the Service, none took calls for {through:?}");
    assert_eq!(site.failed_hooks(), [""; 0]);
}

pub fn sidecar_restarted(site: &mut Site) {
    let path = |field: &str, value: u8| {
        let path = format!("/spec/template/spec/initContainers/0/livenessProbe/{field}");
        format!(r#"{{"op": "replace", "path": "{path}", "value": {value}}}"#)
    };
    let patch = format!("[{},{}]", path("failureThreshold", 2), path("periodSeconds", 2));
    let switches = ["statefulset", "centrex-switch", "-n", NAME];
    site.cluster.kubectl_ok(&[&["patch"], &switches[..], &["--type=json", "-p", &patch]].concat());
    site.rolled_out();
    let pod = site.pods("switch")[0].clone();
    let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
    let address: Ipv4Addr = pod["status"]["podIP"].as_str().expect("an address").parse().expect("an address");
    let restarts = |container: &str, list: &str| {
        let pods = site.pods("switch");
        let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name.as_str())?.clone();
        let statuses = pod["status"][list].as_array()?.clone();
        statuses.iter().find(|status| status["name"] == container)?["restartCount"].as_u64()
    };
    let before = restarts("centrex", "initContainerStatuses");
    // The kubelet cannot reach the sidecar, and treats it as dead.
    let rule = ["add", "rule", "inet", "test", "output", "ip", "daddr", &address.to_string()];
    let nft = |arguments: &[&str]| {
        let output = site.node.run(&[&["nft"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    nft(&["add", "table", "inet", "test"]);
    nft(&["add", "chain", "inet", "test", "output", "{ type filter hook output priority 0; }"]);
    nft(&[&rule[..], &["tcp", "dport", "8081", "drop"]].concat());
    site.wait_until("the sidecar's restart", || restarts("centrex", "initContainerStatuses") > before);
    nft(&["delete", "table", "inet", "test"]);
    site.wait_until("that the pod is ready", || site.pods_ready("switch"));
    assert_eq!(restarts("freeswitch", "containerStatuses"), Some(0), "FreeSWITCH was restarted too");
    site.wait_until("that the switch accepts calls", || accepts_calls(address));
}

/// Addresses of the switches' pods.
fn addresses(site: &Site) -> Vec<Ipv4Addr> {
    let pods = site.pods("switch");
    pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str()?.parse().ok()).collect()
}

/// Address of the Service for SIP.
fn service(site: &Site) -> Ipv4Addr {
    let path = "jsonpath={.spec.clusterIP}";
    site.cluster
        .kubectl_ok(&["get", "service", "centrex-sip", "-n", NAME, "-o", path])
        .parse()
        .expect("an address")
}
