//! Rights of the chart's accounts, tried on a real API server: the needed ones, and no others.

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::release::{Helm, NAME};
use crate::cluster::Cluster;
use crate::wait::{DEADLINE, until};

/// An account, with a token as a pod gets it.
pub struct Account<'a> {
    cluster: &'a Cluster,
    folder: TempDir,
}

impl<'a> Account<'a> {
    /// A ServiceAccount.
    pub fn new(cluster: &'a Cluster, namespace: &str, name: &str) -> Self {
        let token = cluster.kubectl_ok(&["create", "token", name, "-n", namespace]);
        let mut config: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(cluster.kubeconfig()).unwrap()).unwrap();
        let user = config["users"][0].as_object_mut().unwrap();
        user.insert("user".to_owned(), json!({ "token": token.trim() }));
        let account = Self { cluster, folder: tempfile::tempdir().unwrap() };
        std::fs::write(account.kubeconfig(), config.to_string()).unwrap();
        account
    }

    /// The kubeconfig of the account.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig().display());
        self.cluster.kubectl_with(&[&[&*kubeconfig], arguments].concat(), input)
    }

    /// Runs a request that must be allowed.
    pub fn may(&self, arguments: &[&str], input: &str) {
        let output = self.kubectl(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} {input}: {said}");
    }

    /// Runs a request that must be forbidden with this message.
    pub fn may_not(&self, arguments: &[&str], input: &str, words: &str) {
        let output = self.kubectl(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        let forbidden = said.contains("orbidden") && said.contains(words);
        assert!(
            !output.status.success() && forbidden,
            "not refused ({words}): {arguments:?} {input}: {said}"
        );
    }
}

/// Without reading CRDs, which would be forbidden first.
pub const CREATE: [&str; 4] = ["create", "--validate=false", "-f", "-"];
/// Messages of the API server for a refusal by RBAC and by a policy.
const RBAC: &str = "cannot";
const POLICY: &str = "ValidatingAdmissionPolicy";

fn secret(namespace: &str, name: &str, change: Value) -> String {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace}, "stringData": {"password": "a-dummy-password"}});
    json_patch(&mut secret, change);
    secret.to_string()
}

/// Merges a patch, as `kubectl patch --type=merge` does.
fn json_patch(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                match value {
                    Value::Null => drop(target.remove(&key)),
                    value => json_patch(target.entry(key).or_insert(Value::Null), value),
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

fn owner(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "name": name, "uid": "6f7b2a0e-3b9e-4f5c-9d55-0f1f2f3f4f5f"})
}

fn owned_by(owners: &[Value]) -> Value {
    json!({"metadata": {"ownerReferences": owners}})
}

/// Requests a token of any account of a namespace.
fn token_of(namespace: &str, name: &str) -> String {
    secret(
        namespace,
        name,
        json!({"type": "kubernetes.io/service-account-token", "stringData": null, "metadata": {
            "annotations": {"kubernetes.io/service-account.name": "default"},
            "ownerReferences": [owner("Extension", name.trim_end_matches("-sip"))]}}),
    )
}

const TENANT: &str = "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme, namespace: acme}\n\
    spec: {domains: [acme.example.com]}\n";
const EXTENSION: &str = "apiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {name: e100, namespace: acme}\n\
    spec: {tenantRef: {name: acme}, number: \"100\"}\n";

#[test]
fn the_operators_account_has_only_the_rights_it_needs() {
    let test = "chart: the operator's rights";
    let Some(cluster) = &Cluster::own(test) else { return };
    let Some(helm) = Helm::on(cluster, test) else { return };
    cluster.install_crds();
    for name in [NAME, "acme"] {
        cluster.kubectl_ok(&["create", "namespace", name]);
    }
    let without = ["crds.install=false", "admissionPolicy.enabled=false"];
    helm.release(&["install"], &without);
    let tenant = cluster.kubectl_with(&["apply", "-f", "-"], &format!("{TENANT}---\n{EXTENSION}"));
    assert!(tenant.status.success(), "{}", String::from_utf8_lossy(&tenant.stderr));
    let operator = Account::new(cluster, NAME, "centrex-operator");

    // RBAC alone would allow the account to request a token of any account.
    operator.may(&CREATE, &token_of("kube-system", "minted"));
    cluster.kubectl_ok(&["delete", "secret", "minted", "-n", "kube-system"]);
    helm.release(&["upgrade"], &["crds.install=false"]);
    // The API server applies a new policy a moment later.
    for refused in [&CREATE[..], &["label", "tenant", "acme", "-n", "acme", "in=force"]] {
        let in_force = until(DEADLINE, || {
            let tried = operator
                .kubectl(&[refused, &["--dry-run=server"]].concat(), &token_of("kube-system", "minted"));
            (!tried.status.success()).then_some(())
        });
        assert!(in_force.is_some(), "the policy never came into force: {refused:?}");
    }
    let policy = r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]"#;
    let webhook = ["patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p"];
    let in_force = until(DEADLINE, || {
        let tried = operator.kubectl(&[&webhook[..], &[policy, "--dry-run=server"]].concat(), "");
        (!tried.status.success()).then_some(())
    });
    assert!(in_force.is_some(), "the policy of the webhook never came into force");

    secrets_are_those_of_extensions(&operator);
    of_tenants_the_finalizer(&operator);
    of_the_webhook_the_authority(&operator);
    nothing_else(&operator);
    // The API server has type-checked the policies without an error.
    let path = "{range .items[*]}{.status.typeChecking.expressionWarnings}{end}";
    assert_eq!(helm.get(&["validatingadmissionpolicies"], path), [""; 0]);
}

fn secrets_are_those_of_extensions(operator: &Account<'_>) {
    let sip = owned_by(&[owner("Extension", "e100")]);
    operator.may(&CREATE, &secret("acme", "e100-sip", sip.clone()));
    let mut device = owned_by(&[owner("Device", "desk")]);
    operator.may(&CREATE, &secret("acme", "desk-device", device.clone()));
    device["stringData"] = json!({"token": "x"});
    let certificate = json!({"type": "kubernetes.io/tls", "stringData": {"password": null, "tls.crt": "-", "tls.key": "-"}});
    operator.may(&CREATE, &secret(NAME, "centrex-webhook-tls", certificate.clone()));
    operator.may(&["replace", "-f", "-"], &secret(NAME, "centrex-webhook-tls", certificate.clone()));
    let two = owned_by(&[owner("Extension", "e101"), owner("Tenant", "acme")]);
    let mut elsewhere = owner("Extension", "e101");
    elsewhere["apiVersion"] = "example.com/v1".into();
    let mut another_key = owned_by(&[owner("Extension", "e101")]);
    another_key["stringData"] = json!({"token": "x"});
    let bootstrap = json!({"type": "bootstrap.kubernetes.io/token", "stringData": {"password": null,
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}});
    for refused in [
        token_of("acme", "e101-sip"),
        token_of(NAME, "e101-sip"),
        token_of("kube-system", "minted"),
        secret("acme", "other", json!({})),
        secret("acme", "other", owned_by(&[owner("Extension", "other")])),
        secret("acme", "e101-sip", json!({})),
        secret("acme", "e101-sip", owned_by(&[owner("Tenant", "e101")])),
        secret("acme", "e101-sip", owned_by(&[owner("Extension", "e102")])),
        secret("acme", "e101-sip", owned_by(&[elsewhere])),
        secret("acme", "e101-sip", two),
        secret("acme", "e101-sip", another_key),
        secret("acme", "desk2-device", owned_by(&[owner("Device", "desk")])),
        secret("acme", "e101-sip", owned_by(&[owner("Device", "e101")])),
        secret("acme", "desk-device", device),
        secret("kube-system", "bootstrap-token-abcdef", bootstrap),
        secret("acme", "centrex-webhook-tls", certificate.clone()),
        secret(NAME, "another-tls", certificate),
        secret(NAME, "centrex-encryption-keys", json!({})),
    ] {
        operator.may_not(&CREATE, &refused, POLICY);
    }
    let theirs = ["secret", "e100-sip", "-n", "acme"];
    operator.may(&[&["get"][..], &theirs].concat(), "");
    operator.may_not(&[&["delete"][..], &theirs].concat(), "", RBAC);
    operator.may_not(&[&["label"][..], &theirs, &["a=b"]].concat(), "", RBAC);
}

fn of_tenants_the_finalizer(operator: &Account<'_>) {
    let tenant = |patch: Value| {
        let patch = patch.to_string();
        ["patch", "tenant", "acme", "-n", "acme", "--type=merge", "-p", &patch].map(str::to_owned)
    };
    let may = |patch: Value| operator.may(&tenant(patch).each_ref().map(String::as_str), "");
    let may_not = |patch: Value| operator.may_not(&tenant(patch).each_ref().map(String::as_str), "", POLICY);
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    may(finalizers(&["centrex.dev/tenant"]));
    may(finalizers(&[]));
    let patch = finalizers(&["example.com/other"]).to_string();
    let cluster = operator.cluster;
    cluster.patch("acme", "tenant/acme", &patch);
    may(finalizers(&["example.com/other", "centrex.dev/tenant"]));
    may_not(finalizers(&["centrex.dev/tenant"]));
    may_not(finalizers(&["example.com/other", "example.com/another"]));
    may(finalizers(&["example.com/other"]));
    cluster.patch("acme", "tenant/acme", &finalizers(&[]).to_string());

    may_not(json!({"spec": {"suspended": true}}));
    may_not(json!({"spec": {"domains": ["taken.example.com"]}}));
    may_not(json!({"metadata": {"labels": {"a": "b"}}}));
    may_not(json!({"metadata": {"annotations": {"a": "b"}}}));
    may_not(json!({"metadata": {"ownerReferences": [owner("Extension", "e100")]}}));
    // A write to the status changes no field of the spec.
    let status = json!({"spec": {"suspended": true}, "status": {"conditions": []}}).to_string();
    let patch =
        ["patch", "tenant", "acme", "-n", "acme", "--subresource=status", "--type=merge", "-p", &status];
    operator.may(&patch, "");
    let spec = cluster.kubectl_ok(&["get", "tenant", "acme", "-n", "acme", "-o=jsonpath={.spec.suspended}"]);
    assert_eq!(spec, "");
    operator.may(
        &CREATE,
        "{apiVersion: centrex.dev/v1alpha1, kind: Switch, metadata: {name: s}, spec: {hostname: s}}",
    );
    operator.may(&["delete", "switch", "s"], "");
}

fn of_the_webhook_the_authority(operator: &Account<'_>) {
    let patch = |patch: Value| {
        let patch = patch.to_string();
        ["patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", &patch].map(str::to_owned)
    };
    let bundle = |op: &str| json!([{"op": op, "path": "/webhooks/0/clientConfig/caBundle", "value": "LS0t"}]);
    operator.may(&patch(bundle("add")).each_ref().map(String::as_str), "");
    let everything =
        json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}]);
    for refused in [
        json!([{"op": "replace", "path": "/webhooks/0/rules", "value": everything}]),
        json!([{"op": "remove", "path": "/webhooks/0/matchConditions"}]),
        json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]),
        json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 30}]),
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig", "value": {"url": "https://example.com/"}}]),
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/service/name", "value": "other"}]),
        json!([{"op": "copy", "from": "/webhooks/0", "path": "/webhooks/-"},
            {"op": "replace", "path": "/webhooks/1/name", "value": "other.centrex.dev"}]),
        json!([{"op": "remove", "path": "/webhooks/0"}]),
    ] {
        operator.may_not(&patch(refused).each_ref().map(String::as_str), "", POLICY);
    }
}

fn nothing_else(operator: &Account<'_>) {
    for refused in [
        &["create", "token", "default", "-n", "acme"][..],
        &[
            "create",
            "clusterrolebinding",
            "x",
            "--clusterrole=cluster-admin",
            "--serviceaccount=centrex:centrex-operator",
        ],
        &[
            "create",
            "rolebinding",
            "x",
            "--clusterrole=admin",
            "--serviceaccount=centrex:centrex-operator",
            "-n",
            "acme",
        ],
        &["create", "role", "x", "--verb=get", "--resource=pods", "-n", "acme"],
        &["delete", "clusterrolebinding", "centrex-operator"],
        &["delete", "validatingadmissionpolicy", "centrex-operator-secrets"],
        &["delete", "validatingadmissionpolicybinding", "centrex-operator-secrets"],
        &["delete", "validatingwebhookconfiguration", NAME],
        &["delete", "crd", "tenants.centrex.dev"],
        &["create", "deployment", "x", "--image=x", "-n", NAME],
        &["delete", "deployment", "centrex-operator", "-n", NAME],
        &["create", "serviceaccount", "x", "-n", "acme"],
        &["create", "configmap", "x", "-n", "acme"],
        &["create", "namespace", "x"],
        &["label", "namespace", "acme", "a=b"],
        &["delete", "namespace", "acme"],
        &["get", "pods", "-A"],
        &["get", "nodes"],
        &["get", "events", "-A"],
        &["get", "clusterroles"],
        &["get", "leases", "-n", "kube-system"],
        &["get", "tenants", "-A", "--as=admin"],
        &["get", "--raw", "/metrics"],
        &["label", "extension", "e100", "-n", "acme", "a=b"],
        &["delete", "extension", "e100", "-n", "acme"],
        &["delete", "tenant", "acme", "-n", "acme"],
    ] {
        operator.may_not(refused, "", RBAC);
    }
    for refused in [
        EXTENSION.replace("e100", "e200"),
        TENANT.replace("name: acme", "name: another"),
        "{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: centrex}, spec: {containers: [{name: x, image: x}]}}".to_owned(),
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x, namespace: kube-system}}".to_owned(),
        "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: x}}".to_owned(),
        "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: x}}".to_owned(),
    ] {
        operator.may_not(&CREATE, &refused, RBAC);
    }
}
