//! The chart's NetworkPolicies, enforced. The node's network plugin enforces none, so this file generates nft
//! rules for the features that the chart uses; any other feature fails the test.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::machine::outside;
use super::probe::accepts_calls;
use super::site::{OUTSIDE, Site};
use crate::chart::release::NAME;

/// Timeout of a connection attempt.
const TRY: Duration = Duration::from_secs(2);

/// Result of a connection attempt.
#[derive(Debug, PartialEq)]
enum Connection {
    Made,
    Refused,
    /// No answer.
    Dropped,
}

pub fn enforced(site: &mut Site) {
    let listener = TcpListener::bind((OUTSIDE, 0)).expect("a port");
    let stranger = listener.local_addr().expect("its address");
    let [switch, operator, api] = ["switch", "operator", "api"].map(|of| address(&site.pods(of)[0]));
    let leaves = |site: &Site, to: SocketAddr| {
        let pid = site.node.processes("centrex", "operator")[0];
        outside(Path::new(&format!("/proc/{pid}/ns/net")), || connect(to))
    };
    // On loopback: without a policy these connections are refused, not answered.
    let loopback = [8080, 8021].map(|port| SocketAddr::from((switch, port)));
    for address in loopback {
        assert_eq!(connect(address), Connection::Refused, "{address}");
    }
    assert_eq!(leaves(site, stranger), Connection::Made);

    let rules = rules(site);
    let file = site.node.directory().join("policies.nft");
    std::fs::write(&file, &rules).expect("rules");
    let output = site.node.run(&["nft", "-f", &file.display().to_string()]);
    assert!(output.status.success(), "{}\n{rules}", String::from_utf8_lossy(&output.stderr));

    for address in loopback.into_iter().chain([(operator, 8080), (api, 8082)].map(SocketAddr::from)) {
        assert_eq!(connect(address), Connection::Dropped, "{address}");
    }
    assert!(accepts_calls(switch), "no call gets in\n{rules}");
    for port in [
        (switch, 5060),
        (switch, 5080),
        (switch, 8081),
        (operator, 8081),
        (operator, 9443),
        (api, 8443),
        (api, 8081),
    ] {
        assert_eq!(connect(port.into()), Connection::Made, "{port:?}");
    }
    // The operator reaches Postgres and the API server, and no other address.
    assert_eq!(leaves(site, stranger), Connection::Dropped);
    for port in [(OUTSIDE, 5432), (Ipv4Addr::new(10, 0, 0, 1), 443)] {
        assert_eq!(leaves(site, port.into()), Connection::Made, "{port:?}");
    }
    site.wait_until("that all are ready", || site.pods_ready("switch") && site.pods_ready("operator"));
    site.node.run(&["nft", "delete", "table", "inet", "policies"]);
}

fn connect(to: SocketAddr) -> Connection {
    match TcpStream::connect_timeout(&to, TRY) {
        Ok(_) => Connection::Made,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Connection::Refused,
        Err(error) if error.kind() == ErrorKind::TimedOut => Connection::Dropped,
        Err(error) => panic!("{to}: {error}"),
    }
}

fn address(pod: &Value) -> Ipv4Addr {
    pod["status"]["podIP"].as_str().and_then(|address| address.parse().ok()).expect("an address")
}

/// Rules for the packets of all pods that a policy selects. Packets from the node are allowed, as in every
/// network.
fn rules(site: &Site) -> String {
    let list = site.cluster.kubectl_ok(&["get", "networkpolicies", "-n", NAME, "-o", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let pods = [site.pods("operator"), site.pods("switch"), site.pods("api")].concat();
    let mut rules = String::from("ct state established,related accept\n");
    for policy in list["items"].as_array().expect("policies") {
        let spec = &policy["spec"];
        let labels = spec["podSelector"]["matchLabels"].as_object().expect("labels");
        assert!(spec["podSelector"]["matchExpressions"].is_null(), "{policy}");
        let selected = pods
            .iter()
            .filter(|pod| labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value));
        for pod in selected {
            for direction in spec["policyTypes"].as_array().expect("policyTypes") {
                let (list, side) =
                    if direction == "Ingress" { ("ingress", "daddr") } else { ("egress", "saddr") };
                let packets = format!("ip {side} {}", address(pod));
                for rule in spec[list].as_array().into_iter().flatten() {
                    assert!(rule["from"].is_null() && rule["to"].is_null(), "{policy}");
                    for port in rule["ports"].as_array().expect("ports") {
                        let protocol = port["protocol"].as_str().expect("a protocol").to_lowercase();
                        let last =
                            port["endPort"].as_u64().map(|last| format!("-{last}")).unwrap_or_default();
                        let first = number(pod, &port["port"]);
                        writeln!(rules, "{packets} {protocol} dport {first}{last} accept").expect("a String");
                    }
                }
                writeln!(rules, "{packets} drop").expect("a String");
            }
        }
    }
    // Packets to the node itself, such as to the API server, are not forwarded.
    let chain = |hook: &str| format!("chain {hook} {{\ntype filter hook {hook} priority 0;\n{rules}}}\n");
    format!("table inet policies {{\n{}{}}}\n", chain("forward"), chain("input"))
}

/// A port by its number, or by its name in the pod.
fn number(pod: &Value, port: &Value) -> u64 {
    port.as_u64().unwrap_or_else(|| {
        let containers = pod["spec"]["containers"].as_array().expect("containers");
        let mut ports =
            containers.iter().flat_map(|container| container["ports"].as_array().into_iter().flatten());
        let named = ports.find(|candidate| candidate["name"] == *port).expect("a port of that name");
        named["containerPort"].as_u64().expect("a number")
    })
}
