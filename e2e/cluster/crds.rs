//! The published CRDs on a real API server: both ways to install them work without a warning.

use std::collections::BTreeSet;

use centrex::resources::crd;
use serde_json::Value;

use super::{Cluster, Writes};

/// All names that `kubectl get -o name` prints, in order.
fn installed(cluster: &Cluster) -> Vec<String> {
    let printed = cluster.kubectl_ok(&["get", "crds", "-o", "name"]);
    printed.lines().map(str::to_owned).filter(|name| name.ends_with(".centrex.dev")).collect()
}

/// Installs the CRDs with these arguments, and checks what the API server stored.
fn install(cluster: &Cluster, how: &[&str]) {
    // `kubectl_ok` panics on warnings, which are on standard error.
    cluster.kubectl_ok(&[&["apply", "-f", "crds"], how].concat());
    cluster.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=300s", "-f", "crds"]);
    assert_eq!(installed(cluster).len(), crd::KINDS.len());
    let all: Value = serde_json::from_str(&cluster.kubectl_ok(&["get", "-o", "json", "-f", "crds"])).unwrap();
    for definition in all["items"].as_array().unwrap() {
        let name = definition["metadata"]["name"].as_str().unwrap();
        let conditions = definition["status"]["conditions"].as_array().unwrap();
        let is = |kind: &str| conditions.iter().find(|c| c["type"] == kind).map(|c| c["status"] == "True");
        assert_eq!(is("Established"), Some(true), "{name}: {conditions:#?}");
        assert_eq!(is("NamesAccepted"), Some(true), "{name}: {conditions:#?}");
        assert_ne!(is("NonStructuralSchema"), Some(true), "{name}: {conditions:#?}");
    }
    // A second apply changes nothing: the API server stores what is published.
    for line in cluster.kubectl_ok(&[&["apply", "-f", "crds"], how].concat()).lines() {
        assert!(line.ends_with(if how.is_empty() { "unchanged" } else { "serverside-applied" }), "{line}");
    }
}

#[test]
fn the_crds_install_and_kubectl_explains_them() {
    let Some(cluster) = Cluster::own("cluster: CRDs") else { return };
    install(&cluster, &[]);
    cluster.kubectl_ok(&["delete", "-f", "crds"]);
    assert_eq!(installed(&cluster), [""; 0]);
    install(&cluster, &["--server-side"]);
    let versions = |cluster: &Cluster| {
        cluster.kubectl_ok(&["get", "-f", "crds", "-o", "jsonpath={..metadata.resourceVersion}"])
    };
    let before = versions(&cluster);
    cluster.kubectl_ok(&["apply", "--server-side", "-f", "crds"]);
    assert_eq!(versions(&cluster), before, "applied again, they are written again");

    every_kind_is_explained(&cluster);
    no_profile_has_a_websocket(&cluster);
    the_whole_phone_system_is_listed(&cluster);
}

fn every_kind_is_explained(cluster: &Cluster) {
    for definition in crd::all() {
        let plural = &definition.spec.names.plural;
        let said = cluster.kubectl_ok(&["explain", &format!("{plural}.spec")]);
        assert!(said.contains("DESCRIPTION") && !said.contains("<empty>"), "{said}");
    }
    let said = cluster.kubectl_ok(&["explain", "extension.spec.ringSeconds"]);
    assert!(said.contains("<integer>") && said.to_lowercase().contains("seconds"), "{said}");
}

/// Its port was once a field: a manifest that still sets the field is refused with an explanation.
fn no_profile_has_a_websocket(cluster: &Cluster) {
    let manifest = "{apiVersion: centrex.dev/v1alpha1, kind: SipProfile, metadata: {name: web},
        spec: {role: Phones, sipPort: 5070, wssPort: 7443}}";
    let output = cluster.kubectl_with(&["apply", "-f", "-"], manifest);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("unknown field \"spec.wssPort\""), "{said}");
}

fn the_whole_phone_system_is_listed(cluster: &Cluster) {
    let kinds = cluster.kubectl_ok(&["api-resources", "--categories=pbx", "-o", "name"]);
    assert_eq!(kinds.lines().count(), crd::KINDS.len(), "{kinds}");
    // kubectl reports on standard error that no object exists yet.
    let output = cluster.kubectl(&["get", "pbx", "-A"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("No resources found"), "{errors}");

    // One apply is enough: the files are in the order in which they can be created.
    let samples = ["-f", "deploy/samples"];
    let apply = [&["apply"], &samples[..]].concat();
    cluster.kubectl_ok(&apply);
    let ours = |names: String| -> BTreeSet<String> {
        names.lines().filter(|name| name.contains(".centrex.dev/")).map(str::to_owned).collect()
    };
    let wanted = ours(cluster.kubectl_ok(&[&["get", "-o", "name"], &samples[..]].concat()));
    let listed = ours(cluster.kubectl_ok(&["get", "pbx", "-A", "-o", "name"]));
    assert!(wanted.len() > 20, "{wanted:?}");
    assert_eq!(listed, wanted);

    // A second sync of the same tree shows no difference, and changes nothing.
    assert_eq!(cluster.kubectl_ok(&[&["diff"], &samples[..]].concat()), "");
    let before = cluster.writes();
    let again = cluster.kubectl_ok(&apply);
    let changed = again.lines().find(|line| line.contains(".centrex.dev/") && !line.ends_with("unchanged"));
    assert_eq!(changed, None);
    assert_eq!(cluster.writes().since(&before).of("centrex.dev"), Writes::default());
}
