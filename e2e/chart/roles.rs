//! `docs/rights.md` on a real API server: its tables match the rights of each account, and the users of a
//! tenant have rights only in their own namespace.

use std::collections::{BTreeMap, BTreeSet};

use centrex::resources::crd;
use futures::StreamExt;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::release::{Helm, NAME};
use super::rights::{Account, CREATE};
use crate::cluster::Cluster;
use crate::program::repository;

/// Verbs by resource, and by resource name if the rule has one.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

/// The tables of the page, by the headings above them.
fn documented() -> BTreeMap<String, Rights> {
    let text = std::fs::read_to_string(repository("docs/rights.md")).unwrap();
    let mut tables: BTreeMap<String, Rights> = BTreeMap::new();
    let mut heading = String::new();
    for line in text.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, resources, name, verbs, why, _] = cells[..] else { continue };
        let table = tables.entry(heading.clone()).or_default();
        if resources == "resource" || resources.starts_with("---") {
            continue;
        }
        assert!(why.len() > 5, "no reason: {line}");
        for resource in resources.split(',') {
            let key = (plain(resource), plain(name));
            let verbs = verbs.split(',').map(|verb| verb.trim().to_owned()).collect();
            assert_eq!(table.insert(key, verbs), None, "twice: {line}");
        }
    }
    tables
}

fn plain(text: &str) -> String {
    text.trim().trim_matches('`').to_owned()
}

/// Rights of an account in a namespace, without those that every account has.
fn listed(cluster: &Cluster, who: &str, namespace: &str) -> Rights {
    let mut rights = listed_with_defaults(cluster, who, namespace);
    for (right, verbs) in listed_with_defaults(cluster, "system:serviceaccount:default:nobody", namespace) {
        if rights.get(&right) == Some(&verbs) {
            rights.remove(&right);
        }
    }
    rights
}

/// Rights of an account in a namespace, as `kubectl auth can-i --list` prints them.
fn listed_with_defaults(cluster: &Cluster, who: &str, namespace: &str) -> Rights {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace}});
    let asking = format!("--as={who}");
    let asked = [&CREATE[..], &[&asking, "-o", "json"]].concat();
    let output = cluster.kubectl_with(&asked, &review.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let review: Value = serde_json::from_slice(&output.stdout).unwrap();
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let texts = rule[field].as_array().cloned().unwrap_or_default();
        texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Rights::new();
    for rule in review["status"]["resourceRules"].as_array().unwrap() {
        let mut names = texts(rule, "resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                let (resource, part) = match resource.split_once('/') {
                    Some((resource, part)) => (resource, format!("/{part}")),
                    None => (&*resource, String::new()),
                };
                let dot = if group.is_empty() { "" } else { "." };
                for name in &names {
                    let key = (format!("{resource}{dot}{group}{part}"), name.clone());
                    rights.entry(key).or_default().extend(texts(rule, "verbs"));
                }
            }
        }
    }
    rights
}

#[test]
fn the_table_of_roles_matches_the_api_server() {
    let test = "chart: docs/rights.md";
    let Some(cluster) = &Cluster::own(test) else { return };
    let Some(helm) = Helm::on(cluster, test) else { return };
    cluster.install_crds();
    for name in [NAME, "acme"] {
        cluster.kubectl_ok(&["create", "namespace", name]);
    }
    helm.release(&["install"], &["crds.install=false"]);
    let roles = ["centrex-tenant-admin", "centrex-trunk-admin", "centrex-tenant-viewer"];
    for role in roles {
        let (of, to) = (format!("--clusterrole={role}"), format!("--user={role}"));
        cluster.kubectl_ok(&["create", "rolebinding", role, &of, &to, "-n", "acme"]);
    }
    let operator = "system:serviceaccount:centrex:centrex-operator";
    let everywhere = listed(cluster, operator, "acme");
    let mut own = listed(cluster, operator, NAME);
    own.retain(|right, verbs| everywhere.get(right) != Some(verbs));
    let mut found = BTreeMap::from([
        ("The operator, in every namespace".to_owned(), everywhere),
        ("The operator, in its own namespace too".to_owned(), own),
        ("A switch".to_owned(), listed(cluster, "system:serviceaccount:centrex:centrex-switch", NAME)),
    ]);
    for role in roles {
        found.insert(format!("`{role}`"), listed(cluster, role, "acme"));
    }
    helm.helm_ok(&["uninstall", NAME]);
    helm.release(&["install"], &["namespaces={acme}", "crds.install=false", "webhook.enabled=false"]);
    found.insert(
        "The operator with `namespaces`, in each of them".to_owned(),
        listed(cluster, operator, "acme"),
    );
    let documented = documented();
    for (heading, rights) in &documented {
        assert_eq!(found.get(heading), Some(rights), "{heading}");
    }
    assert_eq!(found.len(), documented.len());
}

/// All our kinds with all verbs.
fn requests() -> Vec<(String, bool, &'static str)> {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let kinds = crd::all().into_iter().map(|crd| (crd.spec.names.plural, crd.spec.scope == "Namespaced"));
    kinds.flat_map(|(kind, namespaced)| verbs.map(|verb| (kind.clone(), namespaced, verb))).collect()
}

#[tokio::test]
async fn a_tenants_administrator_works_in_one_namespace_only() {
    let test = "chart: tenants' roles";
    let Some(cluster) = &Cluster::own(test) else { return };
    let Some(helm) = Helm::on(cluster, test) else { return };
    cluster.install_crds();
    cluster.kubectl_ok(&["create", "namespace", NAME]);
    helm.release(&["install"], &["crds.install=false"]);
    let samples = cluster.kubectl(&["apply", "-f", "deploy/samples"]);
    assert!(samples.status.success(), "{}", String::from_utf8_lossy(&samples.stderr));
    cluster.kubectl_ok(&["create", "serviceaccount", "anna", "-n", "acme"]);
    let bind = |role: &str| {
        let arguments = ["create", "rolebinding", role, "--serviceaccount=acme:anna", "-n", "acme"];
        cluster.kubectl_ok(&[&arguments[..], &[&format!("--clusterrole={role}")]].concat());
    };
    bind("centrex-tenant-admin");

    // Each kind with each verb: in the account's namespace, in others, and cluster-wide.
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client().await);
    let may = async |kind: &str, verb: &str, part: &str, namespace: &str| {
        let review = json!({"metadata": {}, "spec": {"user": "system:serviceaccount:acme:anna",
            "groups": ["system:serviceaccounts", "system:authenticated"], "resourceAttributes": {"namespace": namespace,
            "verb": verb, "group": "centrex.dev", "resource": kind, "subresource": part}}});
        let review = serde_json::from_value(review).unwrap();
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    let may = &may;
    let asked: Vec<_> = futures::stream::iter(requests())
        .map(async |(kind, namespaced, verb)| {
            let reads = ["get", "list", "watch"].contains(&verb);
            let is_theirs = namespaced && (reads || !["tenants", "trunks"].contains(&&*kind));
            let mut wrong = Vec::new();
            for (namespace, part) in
                [("acme", ""), ("acme", "status"), ("globex", ""), ("carriers", ""), (NAME, ""), ("", "")]
            {
                let expected = namespace == "acme" && part.is_empty() && is_theirs;
                if may(&kind, verb, part, namespace).await != expected {
                    wrong.push(format!("{verb} {kind}/{part} in {namespace:?}: expected {expected}"));
                }
            }
            wrong
        })
        .buffer_unordered(16)
        .collect()
        .await;
    assert_eq!(asked.concat(), [""; 0]);
    assert!(asked.len() > 100, "{}", asked.len());

    // The same rights in practice, with everything else within reach.
    let anna = Account::new(cluster, "acme", "anna");
    let extension = |namespace: &str| {
        format!(
            "{{apiVersion: centrex.dev/v1alpha1, kind: Extension, metadata: {{name: own, namespace: {namespace}}}, \
             spec: {{tenantRef: {{name: {namespace}}}, number: \"777\"}}}}"
        )
    };
    let trunk = |namespace: &str| {
        format!(
            "{{apiVersion: centrex.dev/v1alpha1, kind: Trunk, metadata: {{name: own, namespace: {namespace}}}, \
             spec: {{sipProfileRef: {{name: external}}, gateways: [{{host: sip.example.net}}]}}}}"
        )
    };

    anna.may(&CREATE, &extension("acme"));
    anna.may(&["label", "extension", "own", "-n", "acme", "a=b"], "");
    anna.may(&["delete", "extension", "own", "-n", "acme"], "");
    let theirs = ["tenant", "globex", "-n", "globex"];
    for (refused, input) in [
        (&CREATE[..], extension("globex")),
        (&CREATE, trunk("acme")),
        (&CREATE, trunk("globex")),
        (&["get", "extensions", "-n", "globex"], String::new()),
        (&["get", "extensions", "-A"], String::new()),
        (&["get", "secrets", "-n", "globex"], String::new()),
        (&["get", "secrets", "-n", "carriers"], String::new()),
        (&["get", "secrets", "-n", NAME], String::new()),
        (&["get", "trunks", "-n", "carriers"], String::new()),
        (&["delete", "extensions", "--all", "-n", "globex"], String::new()),
        (&["delete", "trunk", "carrier", "-n", "carriers"], String::new()),
        (&["delete", "tenant", "acme", "-n", "acme"], String::new()),
        (&["label", "tenant", "acme", "-n", "acme", "a=b"], String::new()),
        (&[&["label"][..], &theirs, &["a=b"]].concat(), String::new()),
        (&[&["delete"][..], &theirs].concat(), String::new()),
        (&["label", "namespace", "acme", "centrex.dev/carrier=default", "--overwrite"], String::new()),
        (&["get", "tenantprofiles"], String::new()),
        (&["get", "sipprofiles"], String::new()),
        (&["get", "dialrules"], String::new()),
        (&["get", "switches"], String::new()),
        (&["delete", "dialrules", "--all"], String::new()),
        (&["create", "token", "centrex-operator", "-n", NAME], String::new()),
        (
            &["create", "rolebinding", "x", "--clusterrole=centrex-trunk-admin", "--user=anna", "-n", "acme"],
            String::new(),
        ),
        (&["get", "pods", "-n", NAME], String::new()),
        (&["delete", "deployment", "centrex-operator", "-n", NAME], String::new()),
    ] {
        anna.may_not(refused, &input, "cannot");
    }
    // Trunks too, if the platform allows it.
    bind("centrex-trunk-admin");
    anna.may(&CREATE, &trunk("acme"));
    anna.may(&["delete", "trunk", "own", "-n", "acme"], "");
    anna.may_not(&CREATE, &trunk("carriers"), "cannot");
}
