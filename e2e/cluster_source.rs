//! The cluster source on a real API server: samples applied by `kubectl`, then changed, broken and deleted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use centrex::source::cluster::{ClusterOptions, Update, Watches, start};
use centrex::source::folder::Folder;
use centrex::source::{Change, Object};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::Cluster;
use crate::program::repository;
use crate::wait::DEADLINE;

/// A running source, with the objects and changes of the updates it sent.
struct Source {
    watches: Watches,
    updates: mpsc::Receiver<Update>,
    objects: BTreeMap<String, Object>,
    invalid: BTreeMap<String, String>,
    /// One line for each change, in order.
    changes: Vec<String>,
    complete: bool,
    _stop: DropGuard,
}

impl Source {
    fn start(client: kube::Client, namespaces: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let (sender, updates) = mpsc::channel(16);
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let watches = start(ClusterOptions { client, namespaces }, sender, stop.clone());
        let (objects, invalid) = (BTreeMap::new(), BTreeMap::new());
        let _stop = stop.drop_guard();
        Self { watches, updates, objects, invalid, changes: Vec::new(), complete: false, _stop }
    }

    fn apply(&mut self, update: Update) {
        self.complete = update.complete;
        for change in update.changes {
            let (status, key, object) = match change {
                Change::Upsert(object) => ('+', object.key().to_string(), Some(object)),
                Change::Remove(key) => ('-', key.to_string(), None),
                Change::Unreadable(unreadable) => {
                    self.invalid.insert(unreadable.key.to_string(), unreadable.message);
                    continue;
                }
            };
            self.changes.push(format!("{status} {key}"));
            self.invalid.remove(&key);
            match object {
                Some(object) => self.objects.insert(key, object),
                None => self.objects.remove(&key),
            };
        }
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            // The watches' status changes without an update.
            if let Ok(update) = timeout(Duration::from_millis(100), self.updates.recv()).await {
                self.apply(update.expect("the source ended"));
            }
            let last = self.changes.iter().rev().take(20).collect::<Vec<_>>();
            let missing = self.watches.missing();
            assert!(Instant::now() < deadline, "{what}: not in {DEADLINE:?}; {last:?} {missing:?}");
        }
    }

    /// All changes within a time; forgets those before.
    async fn changes_within(&mut self, time: Duration) -> Vec<String> {
        self.changes.clear();
        let deadline = tokio::time::Instant::now() + time;
        while let Ok(update) = timeout_at(deadline, self.updates.recv()).await {
            self.apply(update.expect("the source ended"));
        }
        std::mem::take(&mut self.changes)
    }

    fn json(&self, key: &str) -> Value {
        self.objects.get(key).unwrap_or_else(|| panic!("no {key}")).to_json().unwrap()
    }
}

/// The part of an object that is equal in both sources: everything but the metadata that a cluster adds.
fn essence(object: &Object) -> Value {
    let mut value = object.to_json().unwrap();
    let map = value.as_object_mut().unwrap();
    let mut labels = serde_json::Map::new();
    if let (Object::Namespace(_), Some(Value::Object(found))) = (object, map["metadata"].get("labels")) {
        labels.extend(found.clone());
        labels.remove("kubernetes.io/metadata.name"); // set by the API server
    }
    map.retain(|field, _| matches!(field.as_str(), "spec" | "data" | "binaryData"));
    map.insert("labels".into(), labels.into());
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_source_reads_samples_as_the_folder_source_does_and_follows_changes() {
    let Some(cluster) = Cluster::own("cluster source: samples on a control plane of their own") else {
        return;
    };
    let mut source = Source::start(cluster.client().await, &[]);

    // Started before the CRDs are installed: Namespaces are read, and the missing kinds are reported.
    source.until("namespaces", |source| source.objects.contains_key("Namespace kube-system")).await;
    let missing = source.watches.missing().join("\n");
    assert!(!source.complete && missing.contains("Extension: not listed yet: 404"), "{missing}");
    cluster.install_crds();
    source.until("complete", |source| source.complete).await;
    assert_eq!(source.watches.missing(), [""; 0]);
    assert!(source.objects.keys().all(|key| key.starts_with("Namespace ")), "{:?}", source.objects.keys());

    cluster.kubectl_ok(&["apply", "-f", "deploy/samples"]);
    let folder = Folder::read_once(&[repository("deploy/samples")]).unwrap();
    assert_eq!(folder.problems, []);
    let upserts = folder.changes.iter().filter_map(|change| match change {
        Change::Upsert(object) => Some(object),
        Change::Remove(_) | Change::Unreadable(_) => None,
    });
    let expected: BTreeMap<String, &Object> =
        upserts.map(|object| (object.key().to_string(), object)).collect();
    source.until("samples", |source| expected.keys().all(|key| source.objects.contains_key(key))).await;
    for (key, object) in &expected {
        let seen = essence(&source.objects[key]);
        assert_eq!(seen, essence(object), "{key}");
    }
    let unexpected = source.objects.keys().filter(|key| !expected.contains_key(*key));
    assert!(
        unexpected.clone().all(|key| key.starts_with("Namespace ")),
        "{:?}",
        unexpected.collect::<Vec<_>>()
    );
    let kept = source.json("Extension acme/alice")["metadata"].clone();
    let kept: Vec<&String> = kept.as_object().unwrap().keys().collect();
    assert_eq!(kept, ["creationTimestamp", "generation", "name", "namespace", "resourceVersion", "uid"]);

    edits(&cluster, &mut source).await;
    unreadable(&cluster, &mut source).await;
    outage(&cluster, &mut source).await;

    // Deleting a namespace deletes everything in it.
    cluster.kubectl_ok(&["delete", "namespace", "globex", "--timeout=300s"]);
    source
        .until("all of globex gone", |source| !source.objects.keys().any(|key| key.contains("globex")))
        .await;
}

/// Edits, renames, deletions, rotations.
async fn edits(cluster: &Cluster, source: &mut Source) {
    source.changes_within(Duration::from_millis(500)).await;
    let patch = r#"{"spec": {"displayName": "Alice Other"}}"#;
    let began = Instant::now();
    cluster.patch("acme", "extension/alice", patch);
    source.until("an edit", |source| !source.changes.is_empty()).await;
    println!("kubectl patch, started to seen: {:?}", began.elapsed());
    assert_eq!(source.json("Extension acme/alice")["spec"]["displayName"], "Alice Other");
    assert_eq!(source.changes_within(Duration::from_millis(300)).await, [""; 0]);

    // A changed Secret that is referenced, and one that is not.
    let turned = r#"{"stringData": {"password": "another-dummy-password"}}"#;
    cluster.kubectl_ok(&["create", "secret", "generic", "unused", "-n", "acme", "--from-literal=a=b"]);
    cluster.patch("acme", "secret/alice-sip", turned);
    source.until("a rotation", |source| !source.changes.is_empty()).await;
    assert_eq!(source.changes, ["+ Secret acme/alice-sip"]);
    let Object::Secret(secret) = &source.objects["Secret acme/alice-sip"] else { panic!() };
    assert_eq!(secret.data.as_ref().unwrap()["password"].0, b"another-dummy-password");

    // Renaming deletes one object and its Secret and creates another object.
    let bob = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
        "metadata": {"name": "robert", "namespace": "acme"}, "spec": source.json("Extension acme/bob")["spec"]});
    source.changes.clear();
    cluster.kubectl_ok(&["delete", "extension", "bob", "-n", "acme"]);
    cluster.apply(&bob.to_string());
    source.until("a new name", |source| source.changes.len() == 3).await;
    assert_eq!(source.changes, ["- Extension acme/bob", "- Secret acme/bob-sip", "+ Extension acme/robert"]);
    source.changes.clear();
    let password = "--from-literal=password=robert-dummy";
    cluster.kubectl_ok(&["create", "secret", "generic", "robert-sip", "-n", "acme", password]);
    source.until("the Secret that was missing", |source| !source.changes.is_empty()).await;
    assert_eq!(source.changes, ["+ Secret acme/robert-sip"]);
    source.changes.clear();
    cluster.kubectl_ok(&["delete", "secret", "robert-sip", "-n", "acme"]);
    source.until("a Secret that goes", |source| !source.changes.is_empty()).await;
    assert_eq!(source.changes, ["- Secret acme/robert-sip"]);

    // Labels of a Namespace are read, and a new status is a change.
    cluster.kubectl_ok(&["label", "namespace", "acme", "team=x"]);
    source
        .until("a label", |source| source.json("Namespace acme")["metadata"]["labels"]["team"] == "x")
        .await;
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NoSwitches",
        "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 1}]}});
    let patch = status.to_string();
    let arguments = ["patch", "tenant", "acme", "-n", "acme", "--subresource=status", "--type=merge", "-p"];
    cluster.kubectl_ok(&[&arguments[..], &[&patch]].concat());
    source
        .until("a status", |source| {
            source.json("Tenant acme/acme")["status"]["conditions"][0]["reason"] == "NoSwitches"
        })
        .await;
}

/// A newer CRD allows a field that this program does not know.
async fn unreadable(cluster: &Cluster, source: &mut Source) {
    let known = json!([{"op": "add",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/colour",
        "value": {"type": "string"}}]);
    let crd = ["patch", "crd", "extensions.centrex.dev", "--type=json", "-p"];
    cluster.kubectl_ok(&[&crd[..], &[&known.to_string()]].concat());
    let red = r#"{"spec": {"displayName": "Red", "colour": "red"}}"#;
    let deadline = Instant::now() + DEADLINE;
    // The API server prunes the field until it uses the new CRD.
    while source.invalid.is_empty() {
        assert!(Instant::now() < deadline, "the API server still prunes the field");
        cluster.patch("acme", "extension/carol", r#"{"spec": {"colour": null}}"#);
        cluster.kubectl(&["patch", "extension", "carol", "-n", "acme", "--type=merge", "-p", red]);
        source.changes_within(Duration::from_millis(500)).await;
    }
    let why = &source.invalid["Extension acme/carol"];
    assert!(why.starts_with("spec.colour: "), "{why}");
    assert_eq!(source.json("Extension acme/carol")["metadata"]["name"], "carol");
    assert!(source.objects.contains_key("Secret acme/carol-sip"));
    let patch = r#"{"spec": {"displayName": "Carol", "colour": null}}"#;
    cluster.patch("acme", "extension/carol", patch);
    source.until("read again", |source| source.invalid.is_empty()).await;
    assert_eq!(source.json("Extension acme/carol")["spec"]["displayName"], "Carol");
}

/// The API server stops and starts: meanwhile nothing is deleted, and afterwards changes are seen.
async fn outage(cluster: &Cluster, source: &mut Source) {
    source.changes_within(Duration::from_millis(500)).await;
    cluster.stop_api_server();
    assert_eq!(source.changes_within(Duration::from_secs(4)).await, [""; 0]);
    let failing = source.watches.statuses().iter().filter(|status| status.error.is_some()).count();
    assert!(failing > 10, "{failing} are failing: {:?}", source.watches.statuses());
    cluster.start_api_server();
    let patch = r#"{"spec": {"displayName": "Alice Again"}}"#;
    cluster.patch("acme", "extension/alice", patch);
    let began = Instant::now();
    source.until("what changed after an outage", |source| !source.changes.is_empty()).await;
    println!("seen after an outage: {:?}", began.elapsed());
    assert_eq!(source.changes, ["+ Extension acme/alice"]);
    let rest = source.changes_within(Duration::from_secs(16)).await;
    assert_eq!(rest, [""; 0], "unchanged objects are not sent again");
    let statuses = source.watches.statuses();
    assert!(statuses.iter().all(|status| status.error.is_none()), "{statuses:?}");
}

/// A client with the rights of a service account.
async fn client_of(cluster: &Cluster, namespace: &str, account: &str) -> kube::Client {
    let token = cluster.kubectl_ok(&["create", "token", account, "-n", namespace]);
    let mut kubeconfig = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    for user in &mut kubeconfig.auth_infos {
        let token = Some(token.trim().to_owned().into());
        user.auth_info = Some(kube::config::AuthInfo { token, ..Default::default() });
    }
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

fn role(namespace: &str, account: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reads, namespace: {namespace}}}
rules:
  - {{apiGroups: [centrex.dev], resources: ['*'], verbs: [get, list, watch]}}
  - {{apiGroups: [''], resources: [secrets, configmaps], verbs: [get, list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: reads, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads}}
subjects: [{{kind: ServiceAccount, name: {account}, namespace: source-a}}]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_in_each_namespace_is_enough() {
    let Some(cluster) = Cluster::shared("cluster source: namespaces with a Role") else { return };
    cluster.install_crds();
    let extension = |namespace: &str, name: &str| {
        json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Extension",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"tenantRef": {"name": "t"}, "number": "100"}})
        .to_string()
    };
    for namespace in ["source-a", "source-b", "source-c"] {
        cluster.kubectl_ok(&["create", "namespace", namespace]);
        cluster.apply(&extension(namespace, "e"));
        let password = "--from-literal=password=a-dummy-password";
        cluster.kubectl_ok(&["create", "secret", "generic", "e-sip", "-n", namespace, password]);
    }
    cluster.kubectl_ok(&["create", "serviceaccount", "operator", "-n", "source-a"]);
    cluster.apply(&role("source-a", "operator"));
    let client = client_of(cluster, "source-a", "operator").await;
    let mut source = Source::start(client, &["source-a", "source-b"]);

    // One namespace has no Role yet: the other is followed.
    source
        .until("the one that may be read", |source| source.objects.contains_key("Secret source-a/e-sip"))
        .await;
    cluster.apply(&extension("source-a", "f"));
    source.until("an event", |source| source.objects.contains_key("Extension source-a/f")).await;
    let refused = |line: &String| line.contains(" in namespace source-b: not listed yet: 403");
    source.until("only the other is missing", |source| source.watches.missing().iter().all(refused)).await;
    assert!(!source.complete);

    cluster.apply(&role("source-b", "operator"));
    source.until("complete", |source| source.complete).await;
    let keys: Vec<&str> = source.objects.keys().map(String::as_str).collect();
    let expected = ["Extension source-a/e", "Extension source-a/f", "Extension source-b/e"];
    assert_eq!(keys, [&expected[..], &["Secret source-a/e-sip", "Secret source-b/e-sip"]].concat());
    assert!(source.watches.statuses().iter().all(|status| status.namespace.is_some() && status.listed));
    cluster.kubectl_ok(&["delete", "namespace", "source-a", "source-b", "source-c", "--wait=false"]);
}
