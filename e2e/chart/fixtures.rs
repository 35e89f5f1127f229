//! The states of `e2e/argocd` on a real API server: each can exist, and `kubectl wait` reads it alike.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::program::repository;

#[derive(Deserialize)]
struct State {
    fixture: String,
    wait: bool,
}

#[test]
fn kubectl_wait_sees_the_same_conditions() {
    let Some(cluster) = Cluster::shared("chart: kubectl wait") else { return };
    cluster.install_crds();
    let namespace = "chart-fixtures";
    cluster.kubectl(&["create", "namespace", namespace]);
    let read = |file: &str| std::fs::read_to_string(repository("e2e/argocd").join(file)).unwrap();
    let states: Vec<State> = serde_saphyr::from_str(&read("states.yaml")).unwrap();
    let mut waited = 0;
    for State { fixture, wait } in states {
        let mut object: Value = serde_saphyr::from_str(&read(&format!("fixtures/{fixture}.yaml"))).unwrap();
        if object["metadata"].get("deletionTimestamp").is_some() {
            continue; // no client can set it
        }
        let status = object.as_object_mut().unwrap().remove("status");
        let edited = object["metadata"]["generation"] == 2;
        object["metadata"] = json!({"name": fixture, "namespace": namespace});
        let name = format!("{}/{fixture}", object["kind"].as_str().unwrap());
        let patch = |patch: Value, how: &[&str]| {
            let patch = patch.to_string();
            let arguments = ["patch", &name, "-n", namespace, "--type=merge", "-p", &patch];
            cluster.kubectl_ok(&[&arguments, how].concat());
        };
        cluster.apply(&object.to_string());
        if edited {
            patch(json!({"spec": {"displayName": "Anna B."}}), &[]);
        }
        if let Some(status) = status {
            patch(json!({"status": status}), &["--subresource=status"]);
            // The API server dropped no field: the CRD knows all of them.
            let kept = cluster.kubectl_ok(&["get", &name, "-n", namespace, "-o", "json"]);
            assert_eq!(serde_json::from_str::<Value>(&kept).unwrap()["status"], status);
        }
        let ready =
            cluster.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", &name, "-n", namespace]);
        assert_eq!(ready.status.success(), wait, "{fixture}: {}", String::from_utf8_lossy(&ready.stderr));
        waited += 1;
    }
    assert!(waited > 10, "{waited}");
    cluster.kubectl_ok(&["delete", "namespace", namespace, "--wait=false"]);
}
